extern crate bulkhead_sdk as bulkhead;

#[bulkhead::function(name = "a/b")]
fn f() {}

#[bulkhead::function(name = "")]
fn g() {}

fn main() {}
