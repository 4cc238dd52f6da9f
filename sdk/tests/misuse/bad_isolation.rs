extern crate bulkhead_sdk as bulkhead;

#[bulkhead::function(isolation = "none")]
fn f() {}

fn main() {}
