//! Whether a failed attempt is tried again.

use std::time::Duration;

use bulkhead_protocol::outcome::Outcome;
use bulkhead_protocol::task::{RetryPolicy, Spent};

use crate::config::Config;
use crate::random::Random;

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

/// Judges the end of an attempt and charges it to the task's spent.
///
/// The platform's failures are charged to the platform's budget and never to the function's, nor
/// the reverse: a function that did not ask for retries runs twice only if a worker was lost.
pub(crate) fn judge(
    outcome: &Outcome,
    policy: RetryPolicy,
    spent: &mut Spent,
    config: &Config,
    random: &mut Random,
) -> Verdict {
    if outcome.is_platform() {
        let verdict = lost(spent, config);
        return match (verdict, outcome) {
            (Verdict::Again { .. }, Outcome::SetupFailed { .. }) => {
                Verdict::Again { after: random.backoff(config.setup_backoff, spent.losses, config.retry_backoff_max) }
            }
            _ => verdict,
        };
    }
    if outcome.is_crash() {
        spent.crashes = spent.crashes.saturating_add(1);
        if spent.crashes >= config.crash_cap {
            return Verdict::End { dead_letter: true };
        }
    }
    if !may_differ_next_time(outcome) || spent.failures >= policy.max {
        return Verdict::End { dead_letter: false };
    }
    spent.failures = spent.failures.saturating_add(1);
    let base = Duration::from_millis(policy.backoff_ms);
    Verdict::Again { after: random.backoff(base, spent.failures, config.retry_backoff_max) }
}

/// Charges an attempt that the platform lost after it had begun.
pub(crate) fn lost(spent: &mut Spent, config: &Config) -> Verdict {
    spent.losses = spent.losses.saturating_add(1);
    within(spent.losses, config.losses)
}

/// Charges an attempt that the platform lost before it had begun. The task itself cannot have had a
/// part in that, so the budget is a wide one; but there is one, because a worker that dies may not have
/// come to say that it began.
pub(crate) fn returned(spent: &mut Spent, config: &Config) -> Verdict {
    spent.returns = spent.returns.saturating_add(1);
    within(spent.returns, config.returns)
}

/// At once again within the platform's budget, the end beyond it.
fn within(spent: u32, budget: u32) -> Verdict {
    if spent > budget { Verdict::End { dead_letter: false } } else { Verdict::Again { after: Duration::ZERO } }
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
    fn losses_and_returns_have_budgets_of_their_own() {
        let config = Config { losses: 1, returns: 2, ..Config::default() };
        let mut spent = Spent::default();
        let (again, end) = (Verdict::Again { after: Duration::ZERO }, Verdict::End { dead_letter: false });
        assert_eq!([returned(&mut spent, &config), returned(&mut spent, &config)], [again, again]);
        assert_eq!([lost(&mut spent, &config), lost(&mut spent, &config)], [again, end]);
        assert_eq!(returned(&mut spent, &config), end);
        assert_eq!(spent, Spent { failures: 0, crashes: 0, losses: 2, returns: 3 });
    }

    #[test]
    fn outcomes_that_cannot_change_are_not_tried_again() {
        let judged = |outcome| judge(&outcome, TWICE, &mut Spent::default(), &Config::default(), &mut Random::new(0));
        let error = |retryable| Outcome::FunctionError { code: "busy".into(), message: String::new(), retryable };
        let end = Verdict::End { dead_letter: false };
        assert_eq!(judged(error(false)), end);
        assert_eq!(judged(Outcome::LoadFailed { reason: String::new() }), end);
        assert_eq!(judged(Outcome::Succeeded), end);
        assert_eq!(judged(error(true)), Verdict::Again { after: Duration::ZERO });
        assert_eq!(judged(Outcome::TimedOut { limit_ms: 1 }), Verdict::Again { after: Duration::ZERO });
    }
}
