extern crate bulkhead_sdk as bulkhead;

#[bulkhead::function(network = "yes")]
fn f() {}

fn main() {}
