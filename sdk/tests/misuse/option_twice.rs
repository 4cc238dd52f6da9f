extern crate bulkhead_sdk as bulkhead;

#[bulkhead::function(threads = 1, threads = 2)]
fn f() {}

fn main() {}
