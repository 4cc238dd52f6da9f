extern crate bulkhead_sdk as bulkhead;

#[bulkhead::function]
fn f() -> impl ToString {
    1
}

fn main() {}
