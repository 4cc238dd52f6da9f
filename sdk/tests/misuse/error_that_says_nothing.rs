extern crate bulkhead_sdk as bulkhead;

struct Silent;

#[bulkhead::function]
fn f() -> Result<u8, Silent> {
    Err(Silent)
}

fn main() {}
