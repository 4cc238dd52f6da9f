extern crate bulkhead_sdk as bulkhead;

#[bulkhead::function]
extern "C" fn f(_a: u8) {}

fn main() {}
