extern crate bulkhead_sdk as bulkhead;

#[bulkhead::function]
unsafe fn f(_a: u8) {}

fn main() {}
