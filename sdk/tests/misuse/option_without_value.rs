extern crate bulkhead_sdk as bulkhead;

#[bulkhead::function(network)]
fn f() {}

fn main() {}
