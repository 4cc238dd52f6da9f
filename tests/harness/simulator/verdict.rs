//! What must follow the end of an attempt: the rules of budgets and caps, written down a second time.

use bulkhead_dispatch::{Config, Record};
use bulkhead_protocol::outcome::Outcome;
use bulkhead_protocol::task::Spent;

use super::check::Violation;
use super::mirror::Broken;
use super::names::{A, Key};

/// The end of an attempt.
pub(super) struct End<'e> {
    /// Of which attempt.
    pub(super) key: Key,
    /// How.
    pub(super) outcome: &'e Outcome,
    /// Whether the dispatcher knows that it began.
    pub(super) began: bool,
    /// Tries that the task has after a failure.
    pub(super) retries: u32,
    /// Whether someone wants the task to end.
    pub(super) is_unwanted: bool,
}

impl End<'_> {
    /// Whether a record is what must follow, after what the task had used up before.
    ///
    /// # Errors
    /// The rule that it breaks.
    pub(super) fn check(&self, before: Spent, record: &Record, config: &Config) -> Result<(), Broken> {
        let (name, outcome) = (A(self.key.0, self.key.1), self.outcome);
        let Judged { spent, may_go_on, is_dead } = judge(before, outcome, self.began, self.retries, config);
        match record {
            Record::Requeue { spent: said, .. } if *said != spent => {
                let text = format!("{name} ended as {} after {before:?}: {said:?}", outcome.kind());
                Err((Violation::Budget, text))
            }
            Record::Requeue { .. } if !may_go_on => {
                let text = format!("{name} goes on after {} and {before:?}", outcome.kind());
                Err((if is_dead { Violation::CrashCap } else { Violation::Budget }, text))
            }
            Record::Finish { dead_letter, .. } if *dead_letter != is_dead && !self.is_unwanted => {
                Err((Violation::CrashCap, format!("{name} after {before:?}: dead letter {dead_letter}")))
            }
            Record::Finish { .. } if may_go_on && !self.is_unwanted => {
                Err((Violation::GivenUp, format!("{name} ends as {} after {before:?}", outcome.kind())))
            }
            _ => Ok(()),
        }
    }
}

/// What must follow the end of an attempt.
struct Judged {
    /// What the task has used up then.
    spent: Spent,
    /// Whether it is tried again.
    may_go_on: bool,
    /// Whether it crashed too often.
    is_dead: bool,
}

/// The rules. What a task has used up is no matter once it ends.
fn judge(before: Spent, outcome: &Outcome, began: bool, retries: u32, config: &Config) -> Judged {
    let mut spent = before;
    let (mut may_go_on, mut is_dead) = (true, false);
    match outcome {
        // A drain's doing, when it goes back; someone's wish, when it ends.
        Outcome::Cancelled => {}
        Outcome::WorkerLost if !began => {
            spent.returns += 1;
            may_go_on = spent.returns <= config.returns;
        }
        Outcome::WorkerLost | Outcome::SetupFailed { .. } => {
            spent.losses += 1;
            may_go_on = spent.losses <= config.losses;
        }
        Outcome::Succeeded | Outcome::Expired => may_go_on = false,
        _ => {
            let hopeless = matches!(outcome, Outcome::FunctionError { retryable: false, .. });
            spent.crashes += u32::from(outcome.is_crash());
            is_dead = outcome.is_crash() && spent.crashes >= config.crash_cap;
            may_go_on = !is_dead && !hopeless && spent.failures < retries;
            spent.failures += 1;
        }
    }
    Judged { spent, may_go_on, is_dead }
}
