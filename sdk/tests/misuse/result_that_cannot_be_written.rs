extern crate bulkhead_sdk as bulkhead;

struct Opaque;

#[bulkhead::function]
fn f() -> Opaque {
    Opaque
}

fn main() {}
