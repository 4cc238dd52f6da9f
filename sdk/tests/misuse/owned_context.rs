extern crate bulkhead_sdk as bulkhead;

#[bulkhead::function]
fn f(_context: bulkhead::Context) {}

fn main() {}
