extern crate bulkhead_sdk as bulkhead;

#[bulkhead::function]
fn f(_context: &mut bulkhead::Context) {}

fn main() {}
