//! The dispatcher's writes to the store.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use bulkhead_dispatch::CancelAnswer;
use bulkhead_protocol::id::TaskId;
use bulkhead_protocol::outcome::{Outcome, Report};
use bulkhead_protocol::task::{Attempt, Spent};

use crate::store::{CancelQueued, Error, Store, Transition};

/// A write that the store is to make.
pub(super) enum Write {
    /// The task ends.
    Finish {
        /// How, with what is known of it.
        report: Arc<Report>,
        /// Whether it crashed too often.
        dead_letter: bool,
        /// When; milliseconds since the Unix epoch.
        at_ms: u64,
    },
    /// The task goes back to the queue.
    Requeue {
        /// How its attempt ended.
        outcome: Outcome,
        /// What it has used up so far.
        spent: Spent,
        /// Before when it is not claimed; milliseconds since the Unix epoch.
        not_before_ms: u64,
    },
}

impl Write {
    /// The end of a task: as the report says, unless it counts as something else.
    pub(super) fn finish(report: Option<Arc<Report>>, outcome: Outcome, dead_letter: bool, at_ms: u64) -> Self {
        let report = match report {
            Some(report) if report.outcome == outcome => report,
            Some(report) => Arc::new(Report { outcome, ..Report::clone(&report) }),
            None => Arc::new(Report::without_process(outcome)),
        };
        Self::Finish { report, dead_letter, at_ms }
    }

    /// Has the store make the write; says whether it was applied rather than stale.
    pub(super) async fn make(self, store: &Store, task: TaskId, attempt: Attempt) -> Result<bool, Error> {
        let transition = match self {
            Self::Finish { report, dead_letter, at_ms } => {
                store.finish(task, attempt, report, dead_letter, at_ms).await?
            }
            Self::Requeue { outcome, spent, not_before_ms } => {
                store.requeue(task, attempt, outcome, spent, not_before_ms).await?
            }
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
