//! What a dispatcher wants done.

use std::time::Duration;

use bulkhead_protocol::id::{TaskId, WorkerId};
use bulkhead_protocol::outcome::Outcome;
use bulkhead_protocol::task::{Attempt, Spent};

/// A change of a task's state that the store is to make, fenced by the attempt it goes with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// The task ends. The driver adds the attempt's report where it has one.
    Finish {
        /// How.
        outcome: Outcome,
        /// Whether it crashed too often.
        dead_letter: bool,
    },
    /// The task goes back to the queue.
    Requeue {
        /// How its attempt ended.
        outcome: Outcome,
        /// What it has used up so far.
        spent: Spent,
        /// Time since start before which it is not claimed again.
        not_before: Duration,
    },
}

/// Why a task was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Refusal {
    /// [`crate::Config::window`] tasks are held already.
    WindowFull,
    /// The task is held already.
    Duplicate,
}

/// What became of a wish to cancel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cancelled {
    /// Ended as cancelled, in the store, with every process of it reaped.
    Cancelled,
    /// It had ended, or ended by itself before the wish could be carried out.
    Ended,
    /// There is no such task.
    Unknown,
    /// An attempt runs that this dispatcher did not assign.
    Elsewhere,
    /// The store failed to answer; the task stays as it was.
    Unavailable,
}

/// What a dispatcher wants done. The driver decides nothing: it carries these out in order, the
/// slow ones side by side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Claim up to `max` tasks from the store. Takes the place of a claim under way.
    Claim {
        /// How many.
        max: usize,
    },
    /// Give up the claim under way.
    StopClaiming,
    /// The task that just arrived is not taken.
    Refuse {
        /// The task.
        task: TaskId,
        /// Why.
        reason: Refusal,
    },
    /// The task is given back unrun: a later dispatcher on this store runs it.
    Release {
        /// The task.
        task: TaskId,
    },
    /// Run an attempt on a worker. The driver tells the store when it began, without waiting, and comes
    /// with [`crate::Input::Fenced`] if that is refused.
    Assign {
        /// The worker.
        worker: WorkerId,
        /// The task.
        task: TaskId,
        /// The attempt.
        attempt: Attempt,
    },
    /// Kill an attempt; it still ends with a report. May be said again, and about attempts that the
    /// worker has only waiting.
    CancelAttempt {
        /// The worker.
        worker: WorkerId,
        /// The task.
        task: TaskId,
        /// The attempt.
        attempt: Attempt,
    },
    /// Ask the store for the task of an attempt that a worker has in hand, and answer with
    /// [`crate::Input::Recovered`]. At most one of these is under way for a task, and at most 256 in all.
    /// The worker may be gone by now: after a failure the store is asked all the same, because it may
    /// have handed the task over.
    Recover {
        /// The worker.
        worker: WorkerId,
        /// The task.
        task: TaskId,
        /// The attempt.
        attempt: Attempt,
    },
    /// Tell a worker to finish what it has and leave.
    AskToDrain {
        /// The worker.
        worker: WorkerId,
    },
    /// Write to the store and answer with [`crate::Input::Recorded`] or
    /// [`crate::Input::RecordFailed`]. There is never more than one of these under way for a task.
    Record {
        /// The task.
        task: TaskId,
        /// The attempt that it goes with; 0 for a task that never ran.
        attempt: Attempt,
        /// What to write.
        record: Record,
    },
    /// Ask the store to end a task that does not run, and answer with
    /// [`crate::Input::CancelStored`].
    CancelStored {
        /// The task.
        task: TaskId,
    },
    /// Tell all who wanted a task to end.
    CancelAnswered {
        /// The task.
        task: TaskId,
        /// What became of it.
        result: Cancelled,
    },
    /// The task has ended, in the store, by crashing too often.
    DeadLetter {
        /// The task.
        task: TaskId,
        /// Its last attempt.
        attempt: Attempt,
    },
    /// Drop the report of this worker's attempt, if there is one, and let the worker forget it if it is
    /// connected: the attempt was given up, is unknown, or its end is known to be stored.
    Discard {
        /// The worker that sent it.
        worker: WorkerId,
        /// The task.
        task: TaskId,
        /// The attempt.
        attempt: Attempt,
    },
    /// Drop the input and reports of a task: nothing more is asked about it before it arrives again.
    Forget {
        /// The task.
        task: TaskId,
    },
    /// Cut the link to a worker: it was silent for too long, or speaks without a hello. Its attempts are
    /// fenced off.
    Evict {
        /// The worker.
        worker: WorkerId,
    },
    /// A worker that said goodbye has nothing left, in hand or unrecorded, and may go.
    Dismiss {
        /// The worker.
        worker: WorkerId,
    },
    /// The drain is over: nothing runs and the store has everything.
    Drained,
    /// Send [`crate::Input::Tick`] at this time since start, in place of what was said before.
    WakeAt(Option<Duration>),
}
