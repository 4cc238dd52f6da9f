//! Whether a failed attempt is tried again.

use std::time::Duration;

use bulkhead_protocol::outcome::Outcome;
use bulkhead_protocol::task::{Attempt, RetryPolicy};

use crate::config::Config;
use crate::input::Cut;
use crate::random::Random;

/// What a task has used up of each budget.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct History {
    /// Failures of the function that were tried again.
    pub(crate) failures: u32,
    /// Attempts that crashed.
    pub(crate) crashes: u32,
    /// Attempts that the platform lost.
    pub(crate) losses: u32,
}

impl History {
    /// What can be said of a task that comes from the store after a restart, which knows only the
    /// number of its attempts: as many of them count as failures of the function as its policy
    /// allows, the rest as losses. So a task never gets more than 1 + retries + losses attempts,
    /// however often the server restarts; and without a retry policy the count is exact.
    pub(crate) fn guess(attempt: Attempt, cut: Cut, policy: RetryPolicy) -> Self {
        let ended = match cut {
            Cut::Failed => attempt,
            Cut::Lost | Cut::Drained => attempt.saturating_sub(1),
        };
        let failures = ended.min(policy.max);
        let lost = if cut == Cut::Lost { 1 } else { 0 };
        Self { failures, crashes: 0, losses: ended - failures + lost }
    }
}

/// What follows the end of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The task ends with it.
    End {
        /// Because it crashed too often.
        dead_letter: bool,
    },
    /// It is tried again after a while.
    Again {
        /// How long a while.
        after: Duration,
    },
}

/// Judges the end of an attempt and charges it to the task's history.
///
/// The platform's failures are charged to the platform's budget and never to the function's, nor
/// the reverse: a function that did not ask for retries runs twice only if a worker was lost.
pub(crate) fn judge(
    outcome: &Outcome,
    policy: RetryPolicy,
    history: &mut History,
    config: &Config,
    random: &mut Random,
) -> Verdict {
    if outcome.is_platform() {
        history.losses = history.losses.saturating_add(1);
        return if history.losses > config.losses {
            Verdict::End { dead_letter: false }
        } else if let Outcome::SetupFailed { .. } = outcome {
            Verdict::Again { after: random.backoff(config.setup_backoff, history.losses, config.retry_backoff_max) }
        } else {
            Verdict::Again { after: Duration::ZERO }
        };
    }
    if outcome.is_crash() {
        history.crashes = history.crashes.saturating_add(1);
        if history.crashes >= config.crash_cap {
            return Verdict::End { dead_letter: true };
        }
    }
    if !may_differ_next_time(outcome) || history.failures >= policy.max {
        return Verdict::End { dead_letter: false };
    }
    history.failures += 1;
    let base = Duration::from_millis(policy.backoff_ms);
    Verdict::Again { after: random.backoff(base, history.failures, config.retry_backoff_max) }
}

/// Whether the same function with the same input may end otherwise. What depends on input and
/// package alone never does; of its own errors the author knows best.
fn may_differ_next_time(outcome: &Outcome) -> bool {
    match outcome {
        Outcome::FunctionError { retryable, .. } => *retryable,
        Outcome::Panicked { .. }
        | Outcome::Crashed { .. }
        | Outcome::Exited { .. }
        | Outcome::TimedOut { .. }
        | Outcome::OutOfMemory { .. }
        | Outcome::LimitExceeded { .. }
        | Outcome::ProtocolViolation { .. }
        | Outcome::SetupFailed { .. }
        | Outcome::WorkerLost => true,
        Outcome::Succeeded
        | Outcome::InvalidInput { .. }
        | Outcome::PolicyViolation { .. }
        | Outcome::LoadFailed { .. }
        | Outcome::Cancelled
        | Outcome::Expired => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWICE: RetryPolicy = RetryPolicy { max: 2, backoff_ms: 0 };

    #[test]
    fn a_guessed_history_bounds_the_attempts_of_a_task() {
        let never = RetryPolicy { max: 0, backoff_ms: 0 };
        let guess = |attempt, cut, policy| {
            let history = History::guess(attempt, cut, policy);
            (history.failures, history.losses)
        };
        assert_eq!(guess(1, Cut::Lost, never), (0, 1));
        assert_eq!(guess(3, Cut::Lost, never), (0, 3));
        assert_eq!(guess(1, Cut::Drained, never), (0, 0));
        assert_eq!(guess(3, Cut::Lost, TWICE), (2, 1));
        assert_eq!(guess(2, Cut::Failed, TWICE), (2, 0));
        assert_eq!(guess(4, Cut::Failed, TWICE), (2, 2));
    }

    #[test]
    fn outcomes_that_cannot_change_are_not_tried_again() {
        let judged = |outcome| judge(&outcome, TWICE, &mut History::default(), &Config::default(), &mut Random::new(0));
        let error = |retryable| Outcome::FunctionError { code: "busy".into(), message: String::new(), retryable };
        let end = Verdict::End { dead_letter: false };
        assert_eq!(judged(error(false)), end);
        assert_eq!(judged(Outcome::LoadFailed { reason: String::new() }), end);
        assert_eq!(judged(Outcome::Succeeded), end);
        assert_eq!(judged(error(true)), Verdict::Again { after: Duration::ZERO });
        assert_eq!(judged(Outcome::TimedOut { limit_ms: 1 }), Verdict::Again { after: Duration::ZERO });
    }
}
