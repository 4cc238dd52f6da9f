extern crate bulkhead_sdk as bulkhead;

#[bulkhead::function]
fn f(_a: &bulkhead::Context, _b: u8, _c: &bulkhead::Context) {}

fn main() {}
