extern crate bulkhead_sdk as bulkhead;

#[bulkhead::function(timeout = "5 parsecs")]
fn f() {}

#[bulkhead::function(cpu = 5)]
fn g() {}

fn main() {}
