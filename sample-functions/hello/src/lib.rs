//! The smallest function: greets somebody by name.

/// Greets somebody.
///
/// ```json
/// {"who": "Ada"}
/// ```
#[bulkhead::function]
pub fn hello(who: String) -> String {
    format!("Hello, {who}!")
}

#[cfg(test)]
mod tests {
    use bulkhead::{json, testing::Call};

    #[test]
    fn it_greets() {
        let outcome = Call::new("hello").args(json!({"who": "Ada"})).run();
        assert_eq!(outcome.expect_ok::<String>(), "Hello, Ada!");
    }
}
