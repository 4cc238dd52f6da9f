extern crate bulkhead_sdk as bulkhead;

#[bulkhead::function]
fn f(_a: impl ToString) {}

fn main() {}
