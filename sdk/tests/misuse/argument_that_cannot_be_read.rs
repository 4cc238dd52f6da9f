extern crate bulkhead_sdk as bulkhead;

struct Opaque;

#[bulkhead::function]
fn f(_a: Opaque) {}

fn main() {}
