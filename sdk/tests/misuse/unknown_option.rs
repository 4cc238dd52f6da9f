extern crate bulkhead_sdk as bulkhead;

#[bulkhead::function(timeut = "5s")]
fn f() {}

fn main() {}
