extern crate bulkhead_sdk as bulkhead;

#[bulkhead::function]
fn f(_a: u8)
where
    u8: Copy,
{
}

fn main() {}
