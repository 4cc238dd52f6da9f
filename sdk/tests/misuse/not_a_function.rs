extern crate bulkhead_sdk as bulkhead;

#[bulkhead::function]
struct S;

fn main() {}
