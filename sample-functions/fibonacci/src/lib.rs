//! Naive recursion: a processor at full load, for as long as one likes.

use bulkhead::Error;

/// The largest argument: about half a minute of one core, and each further one multiplies that by 1.6.
const MAX_N: u32 = 50;

/// The `n`th Fibonacci number, from `fibonacci(0) = 0`, by the slow definition.
///
/// ```json
/// {"n": 30}
/// ```
///
/// # Errors
///
/// `n_too_large` beyond 50.
#[bulkhead::function]
pub fn fibonacci(n: u32) -> Result<u64, Error> {
    if n > MAX_N {
        return Err(Error::new(format!("expected n up to {MAX_N}, found {n}")).with_code("n_too_large"));
    }
    Ok(by_definition(n))
}

fn by_definition(n: u32) -> u64 {
    if n < 2 { u64::from(n) } else { by_definition(n - 1) + by_definition(n - 2) }
}

#[cfg(test)]
mod tests {
    use bulkhead::{json, testing::Call};

    #[test]
    fn it_computes() {
        for (n, expected) in [(0, 0), (1, 1), (2, 1), (20, 6765)] {
            let outcome = Call::new("fibonacci").args(json!({ "n": n })).run();
            assert_eq!(outcome.expect_ok::<u64>(), expected);
        }
    }

    #[test]
    fn it_refuses_what_would_not_end() {
        let outcome = Call::new("fibonacci").args([51]).run();
        assert_eq!(outcome.expect_error_code(), "n_too_large");
    }
}
