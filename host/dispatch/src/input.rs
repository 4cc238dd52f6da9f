//! What a dispatcher is told.

use std::time::Duration;

use bulkhead_protocol::id::{FunctionId, TaskId, WorkerId};
use bulkhead_protocol::outcome::Outcome;
use bulkhead_protocol::task::{Attempt, Priority, RetryPolicy};

/// A task as it comes from the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// The task.
    pub task: TaskId,
    /// The function it runs.
    pub function: FunctionId,
    /// Its place in the order.
    pub priority: Priority,
    /// Its tries after a failure.
    pub retry: RetryPolicy,
    /// Its latest attempt so far; 0 when it never ran.
    pub attempt: Attempt,
    /// What ended that attempt; of no meaning when there was none.
    pub cut: Cut,
    /// Most attempts of its function that run at once; the newest arrival's word counts.
    pub concurrency: Option<u32>,
    /// Time since start after which it is too late for its first attempt.
    pub expires: Option<Duration>,
}

/// What ended the latest attempt of a task that arrives with one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// Nothing was recorded of its end: its worker or the whole server died.
    Lost,
    /// It failed, or was lost, and was put back to be tried again.
    Failed,
    /// It was killed by a drain and put back, which is nobody's fault.
    Drained,
}

/// How a worker gets its tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WorkerKind {
    /// The executor in this process: has room as long as a slot is free; sends no heartbeats.
    Local,
    /// A remote worker that is sent tasks as long as one of its slots is free.
    Push,
    /// A remote worker that asks for tasks with [`Input::Ready`]; a request that finds none is
    /// parked.
    Pull,
}

/// What the store said to a wish to cancel a task that no worker of this dispatcher runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CancelAnswer {
    /// It was queued and has now ended.
    Cancelled,
    /// An attempt runs.
    Running,
    /// It had ended.
    Ended,
    /// There is no such task.
    Unknown,
    /// The store failed to answer.
    Failed,
}

/// What a dispatcher is told. Times that go with it are since the driver's start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// The store handed over a task.
    Arrived(Arrival),
    /// The claim is answered: all of its tasks have arrived.
    Claimed,
    /// The claim failed.
    ClaimFailed,
    /// A worker is there; what it ran under the same id before is lost.
    Hello {
        /// The worker.
        worker: WorkerId,
        /// How it gets its tasks.
        kind: WorkerKind,
        /// Attempts that it runs at once.
        slots: u32,
    },
    /// A pull worker asks for up to `count` tasks; replaces what it asked for before.
    Ready {
        /// The worker.
        worker: WorkerId,
        /// How many.
        count: u32,
    },
    /// A worker lives.
    Heartbeat {
        /// The worker.
        worker: WorkerId,
    },
    /// A worker began an attempt: a sign of life, and the chance to stop what was given up.
    Started {
        /// The worker.
        worker: WorkerId,
        /// The task.
        task: TaskId,
        /// The attempt.
        attempt: Attempt,
    },
    /// An attempt ended and its process is reaped.
    Ended {
        /// The worker.
        worker: WorkerId,
        /// The task.
        task: TaskId,
        /// The attempt.
        attempt: Attempt,
        /// How.
        outcome: Outcome,
        /// Size of the report that the driver holds until it is recorded.
        bytes: u64,
    },
    /// A worker takes no more tasks and leaves when it has none.
    Goodbye {
        /// The worker.
        worker: WorkerId,
    },
    /// Someone wants a task to end.
    Cancel {
        /// The task.
        task: TaskId,
    },
    /// The store answered [`crate::Output::CancelStored`].
    CancelStored {
        /// The task.
        task: TaskId,
        /// What it said.
        answer: CancelAnswer,
    },
    /// The store has a [`crate::Output::Record`], or refused it as stale.
    Recorded {
        /// The task.
        task: TaskId,
        /// False when the task had passed that attempt already; then nothing changed.
        applied: bool,
    },
    /// The store failed to take a [`crate::Output::Record`].
    RecordFailed {
        /// The task.
        task: TaskId,
    },
    /// Begin nothing new; what runs may take `grace` to finish and is then killed and requeued.
    Drain {
        /// How long.
        grace: Duration,
    },
    /// Time has passed.
    Tick,
}

impl Input {
    /// The worker that speaks.
    pub(crate) fn worker(&self) -> Option<WorkerId> {
        match self {
            Self::Hello { worker, .. }
            | Self::Ready { worker, .. }
            | Self::Heartbeat { worker }
            | Self::Started { worker, .. }
            | Self::Ended { worker, .. }
            | Self::Goodbye { worker } => Some(*worker),
            _ => None,
        }
    }
}
