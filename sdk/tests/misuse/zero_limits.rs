extern crate bulkhead_sdk as bulkhead;

#[bulkhead::function(timeout = "0s")]
fn f() {}

#[bulkhead::function(memory = "0MiB")]
fn g() {}

#[bulkhead::function(threads = 0)]
fn h() {}

fn main() {}
