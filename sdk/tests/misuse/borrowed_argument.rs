extern crate bulkhead_sdk as bulkhead;

#[bulkhead::function]
fn f(_a: &str, _b: &mut u8) {}

fn main() {}
