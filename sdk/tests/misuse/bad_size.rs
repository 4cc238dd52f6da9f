extern crate bulkhead_sdk as bulkhead;

#[bulkhead::function(memory = "64")]
fn f() {}

#[bulkhead::function(tmp = "lots")]
fn g() {}

fn main() {}
