extern crate bulkhead_sdk as bulkhead;

#[bulkhead::function]
fn f(context: &bulkhead::Context) -> &str {
    context.task_id()
}

fn main() {}
