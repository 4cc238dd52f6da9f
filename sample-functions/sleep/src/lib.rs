//! Waits, as a call to a slow service does: a slot is taken and the processor is not.

use std::{thread, time::Duration};

use bulkhead::Context;

/// How often a sleeper says how far it is.
const STEPS: u32 = 10;

/// Sleeps for `milliseconds` and gives them back.
///
/// ```json
/// {"milliseconds": 50}
/// ```
#[bulkhead::function]
pub fn sleep(context: &Context, milliseconds: u64) -> u64 {
    let step = Duration::from_millis(milliseconds) / STEPS;
    for done in 1..=STEPS {
        thread::sleep(step);
        context.progress(f64::from(done) / f64::from(STEPS), "asleep");
    }
    milliseconds
}

#[cfg(test)]
mod tests {
    use bulkhead::testing::Call;

    #[test]
    fn it_sleeps_and_says_so() {
        let (outcome, log) = Call::new("sleep").args([20]).run_with_log();
        assert_eq!(outcome.expect_ok::<u64>(), 20);
        assert_eq!(log.last().unwrap().progress, Some(1.0));
    }
}
