extern crate bulkhead_sdk as bulkhead;

#[bulkhead::function]
fn f((_a, _b): (u8, u8), _: u8) {}

fn main() {}
