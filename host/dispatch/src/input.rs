//! What a dispatcher is told.

use std::time::Duration;

use bulkhead_protocol::id::{FunctionId, TaskId, WorkerId};
use bulkhead_protocol::outcome::Outcome;
use bulkhead_protocol::task::{Attempt, Priority, RetryPolicy, Spent};

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
    /// What the task had used up when it last went back to the store; an attempt that was lost since is
    /// charged here.
    pub spent: Spent,
    /// Most attempts of its function that run at once; the newest arrival's word counts.
    pub concurrency: Option<u32>,
    /// Time since start after which it is too late for its first attempt.
    pub expires: Option<Duration>,
}

/// What ended the latest attempt of a task that arrives with one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// Nothing was recorded of its end: its dispatcher died, and with it the executor beside it; a
    /// remote worker may still run it, and is given [`crate::Config::orphan_wait`] to say so.
    Lost {
        /// Where it ran; none when that is not known.
        worker: Option<WorkerId>,
    },
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

/// What the store said of an attempt that a worker has in hand and this dispatcher does not know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RecoverAnswer {
    /// The task is this dispatcher's now and the attempt its newest, or the next after its newest: it
    /// began without the store's knowledge.
    Taken(Arrival),
    /// Another dispatcher has it, or is not known to be dead yet.
    Owned,
    /// The attempt is of no interest any more.
    Stale,
    /// The store failed to answer.
    Failed,
}

/// What a dispatcher is told. Times that go with it are since the driver's start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// The store handed over a task that was claimed.
    Arrived(Arrival),
    /// The claim is answered: all of its tasks have arrived.
    Claimed,
    /// The claim failed.
    ClaimFailed,
    /// A worker is there, for the first time or again. Of what it was assigned before under the same
    /// id, all that it does not have `in_hand` is lost; what it has in hand goes on if it is this
    /// dispatcher's, and is looked for with [`crate::Output::Recover`] if not. What it asked for and how
    /// much may wait there is forgotten. The driver sees to it that one id is one process, and bounds
    /// `in_hand`.
    Hello {
        /// The worker.
        worker: WorkerId,
        /// How it gets its tasks.
        kind: WorkerKind,
        /// Attempts that it runs at once.
        slots: u32,
        /// Every attempt that it was assigned and whose end was not acknowledged. The ends among them it
        /// says again.
        in_hand: Vec<(TaskId, Attempt)>,
    },
    /// A worker takes nothing for now, or takes tasks again. A hello ends the rest.
    Resting {
        /// The worker.
        worker: WorkerId,
        /// Whether it rests.
        resting: bool,
    },
    /// From now on up to `ahead` attempts may wait at a worker beyond its slots.
    Ahead {
        /// The worker.
        worker: WorkerId,
        /// How many.
        ahead: u32,
    },
    /// The connection to a worker broke: it is assigned nothing, and evicted unless it says hello again
    /// within [`crate::Config::reconnect_wait`].
    Disconnected {
        /// The worker.
        worker: WorkerId,
    },
    /// A worker is to finish what it has and leave. Of no meaning for the executor in this process and
    /// for unknown workers.
    DrainWorker {
        /// The worker.
        worker: WorkerId,
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
    /// A worker began an attempt: from now on its loss is charged to the task. Also the chance to stop
    /// what was given up. Attempts of [`WorkerKind::Local`] begin as they are assigned.
    Started {
        /// The worker.
        worker: WorkerId,
        /// The task.
        task: TaskId,
        /// The attempt.
        attempt: Attempt,
    },
    /// An attempt ended and its process is reaped. Said again by a worker, it changes nothing; the driver
    /// keeps the first report.
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
    /// A worker takes no more tasks. It waits for [`crate::Output::Dismiss`], which comes when it has none
    /// and the store has all that it reported.
    Goodbye {
        /// The worker.
        worker: WorkerId,
    },
    /// The store answered [`crate::Output::Recover`].
    Recovered {
        /// The task.
        task: TaskId,
        /// The attempt.
        attempt: Attempt,
        /// What it said.
        answer: RecoverAnswer,
    },
    /// The store refused the start of an attempt: another dispatcher has taken the task over, or it
    /// has ended. The attempt is killed and its end is of no interest. Of no meaning when the attempt
    /// does not run any more.
    Fenced {
        /// The task.
        task: TaskId,
        /// The attempt.
        attempt: Attempt,
    },
    /// Another dispatcher took over what this one had claimed. What waits here is dropped; what runs
    /// goes on, and the store's fence decides over its end. A claim under way is answered by an input of
    /// its own. Told before anything that is claimed anew arrives.
    TakenOver,
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
            | Self::Ahead { worker, .. }
            | Self::Resting { worker, .. }
            | Self::Heartbeat { worker }
            | Self::Started { worker, .. }
            | Self::Ended { worker, .. }
            | Self::Goodbye { worker } => Some(*worker),
            _ => None,
        }
    }
}
