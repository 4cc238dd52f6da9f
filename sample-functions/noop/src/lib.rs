//! Does nothing: what a call costs by itself. Benchmarks call both functions.

/// Does nothing, in a process of its own.
///
/// ```json
/// {}
/// ```
#[bulkhead::function(isolation = "fresh")]
pub fn noop() {}

/// Does nothing, in a warm process that has done nothing before.
///
/// ```json
/// {}
/// ```
#[bulkhead::function(isolation = "reuse")]
pub fn noop_reuse() {}

#[cfg(test)]
mod tests {
    use bulkhead::testing::Call;

    #[test]
    fn it_does_nothing() {
        for name in ["noop", "noop_reuse"] {
            Call::new(name).run().expect_ok::<()>();
            assert_eq!(Call::new(name).run_bincode(()), Ok(()));
        }
    }
}
