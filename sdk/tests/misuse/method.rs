extern crate bulkhead_sdk as bulkhead;

struct S;

impl S {
    #[bulkhead::function]
    fn f(&self, _a: u8) {}
}

fn main() {}
