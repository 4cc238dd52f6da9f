extern crate bulkhead_sdk as bulkhead;

#[bulkhead::function]
fn f<T>(_a: Vec<T>) {}

fn main() {}
