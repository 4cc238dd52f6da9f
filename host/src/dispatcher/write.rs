//! The dispatcher's writes to the store.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use bulkhead_dispatch::CancelAnswer;
use bulkhead_protocol::id::TaskId;
use bulkhead_protocol::outcome::{Outcome, Report};
use bulkhead_protocol::task::Attempt;

use crate::store::{CancelQueued, Error, Store, Transition};

/// The report of an ended attempt, kept until the store has it.
pub(super) struct Ended {
    /// The attempt.
    pub(super) attempt: Attempt,
    /// What is known of its end. Shared with the write under way.
    pub(super) report: Arc<Report>,
    /// When it ended; milliseconds since the Unix epoch.
    pub(super) at_ms: u64,
}

/// A write that the store is to make.
pub(super) enum Write {
    /// The task ends.
    Finish {
        /// How; the report may know it as something else.
        outcome: Outcome,
        /// The report, where a process ran.
        report: Option<Arc<Report>>,
        /// When; milliseconds since the Unix epoch.
        at_ms: u64,
    },
    /// The task goes back to the queue.
    Requeue {
        /// How its attempt ended.
        outcome: Outcome,
        /// Before when it is not claimed; milliseconds since the Unix epoch.
        not_before_ms: u64,
    },
}

impl Write {
    /// Has the store make the write; says whether it was applied rather than stale.
    pub(super) async fn make(self, store: &Store, task: TaskId, attempt: Attempt) -> Result<bool, Error> {
        let transition = match self {
            Self::Finish { outcome, report, at_ms } => {
                // The store takes the report; if it fails, ours is still there for the next try.
                let report = match report {
                    Some(report) => Report { outcome, ..Report::clone(&report) },
                    None => Report::without_process(outcome),
                };
                store.finish(task, attempt, report, at_ms).await?
            }
            Self::Requeue { outcome, not_before_ms } => store.requeue(task, attempt, outcome, not_before_ms).await?,
        };
        Ok(transition == Transition::Applied)
    }
}

/// Has the store end a task that does not run.
pub(super) async fn cancel_stored(store: &Store, task: TaskId) -> CancelAnswer {
    match store.cancel_queued(task, unix_ms()).await {
        Ok(CancelQueued::Cancelled) => CancelAnswer::Cancelled,
        Ok(CancelQueued::Running) => CancelAnswer::Running,
        Ok(CancelQueued::Ended) => CancelAnswer::Ended,
        Ok(CancelQueued::Unknown) => CancelAnswer::Unknown,
        Err(error) => {
            tracing::warn!(task_id = %task, error = &error as &dyn std::error::Error, "a cancel was not stored");
            CancelAnswer::Failed
        }
    }
}

/// Milliseconds since the Unix epoch.
pub(super) fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
