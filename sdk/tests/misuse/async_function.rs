extern crate bulkhead_sdk as bulkhead;

#[bulkhead::function]
async fn f(_a: u8) -> u8 {
    _a
}

fn main() {}
