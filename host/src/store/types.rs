//! The words of the store's interface: what goes in, what comes out, and why it could not be done.

use std::path::PathBuf;
use std::sync::Arc;

use bulkhead_protocol::function::{Function, Isolation};
use bulkhead_protocol::id::{PackageId, TaskId, WorkerId};
use bulkhead_protocol::limits::Limits;
use bulkhead_protocol::task::{Encoding, Status, Task, TaskState};
use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// Why the store could not do as asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The folder cannot be made, read or written, or holds what this version cannot read.
    #[error("failed to use the data folder {path}")]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// Another server holds the folder.
    #[error("the data folder {path} is in use by another server")]
    InUse {
        /// The folder.
        path: PathBuf,
    },
    /// This process was taken for dead and another took over what it had claimed. Told once, by
    /// [`super::Store::claim`]; the next claim begins anew.
    #[error("another dispatcher took over what this one had claimed: it was silent for too long")]
    TakenOver,
    /// The store's address cannot be understood.
    #[error("{url:?} is no address of a store: {reason}")]
    Address {
        /// What was given, without its password.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The backend failed; nothing was acknowledged.
    #[error("the store is unavailable: {reason}")]
    Unavailable {
        /// What it said.
        reason: String,
    },
}

/// A function about to be registered; id and version are the store's to give.
#[derive(Clone, Debug)]
pub struct NewFunction {
    /// The name to register under.
    pub name: String,
    /// The package, already stored.
    pub package: PackageId,
    /// Its place in the package.
    pub index: u32,
    /// Its name in the package.
    pub entry: String,
    /// What one call may use.
    pub limits: Limits,
    /// How far calls are kept apart.
    pub isolation: Isolation,
    /// JSON text of the author's description.
    pub description: String,
    /// Milliseconds since the Unix epoch.
    pub registered_at_ms: u64,
}

/// What a registration gave.
#[derive(Clone, Debug)]
pub struct Registered {
    /// The function.
    pub function: Arc<Function>,
    /// Whether it is new; false when the newest version of the name is the same entry of the same package.
    pub created: bool,
}

/// What became of one submitted task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Submitted {
    /// Stored durably and queued.
    Stored,
    /// A task with the same idempotency key and the same function and input is there already.
    Duplicate(TaskId),
    /// The idempotency key belongs to a task with another function or input.
    Conflict(TaskId),
    /// [`MAX_QUEUED`] tasks are queued; this one was not stored.
    QueueFull,
}

/// Most tasks that wait in the durable queue.
pub const MAX_QUEUED: usize = 10_000_000;

/// How long an idempotency key stays with its task, in milliseconds after the submission.
pub const IDEMPOTENCY_WINDOW_MS: u64 = 24 * 60 * 60 * 1000;

/// How long the store remembers that a task was there, in milliseconds after it expired.
pub const TOMBSTONE_MS: u64 = 24 * 60 * 60 * 1000;

/// Most calls of [`super::Store::wait`] at one time; more are answered [`Error::Unavailable`].
pub const MAX_WAITERS: usize = 65_536;

/// A task as the queue hands it to a dispatcher.
#[derive(Clone, Debug)]
pub struct Claimed {
    /// The task with its input.
    pub task: Arc<Task>,
    /// How far it had come. `Running`: its dispatcher died (or the whole server) while that attempt ran,
    /// on [`TaskState::worker`]; else the attempt, if any, ended with the outcome and was requeued.
    pub state: TaskState,
}

/// How far a task has come, and what came of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Standing {
    /// How far.
    pub state: TaskState,
    /// What it gave; only of a completed task.
    pub completed: Option<Completed>,
}

/// What a completed task gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Completed {
    /// How input and result are written.
    pub encoding: Encoding,
    /// The result.
    pub result: Bytes,
}

/// Whether a fenced transition was carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transition {
    /// It was, durably.
    Applied,
    /// The task is past that attempt, at its end, or unknown; nothing changed.
    Stale,
}

/// What to list.
#[derive(Clone, Debug, Default)]
pub struct TaskFilter {
    /// Only these.
    pub status: Option<Status>,
    /// Only tasks that crashed too often.
    pub dead_letters: bool,
    /// Only tasks of the function with this name.
    pub function_name: Option<String>,
    /// Only tasks submitted at or after this; milliseconds since the Unix epoch.
    pub since_ms: Option<u64>,
    /// Only tasks with all of these labels.
    pub labels: Vec<(String, String)>,
    /// Only tasks older than this one: where the previous page ended.
    pub cursor: Option<TaskId>,
    /// Most tasks to return, 1 to 1000.
    pub limit: usize,
}

/// A page of tasks, newest first.
#[derive(Clone, Debug)]
pub struct TaskPage {
    /// The tasks; inputs are left out (empty) in listings. There may be fewer than asked for, even
    /// none, on a page that has a cursor: one call looks at a bounded number of tasks.
    pub tasks: Vec<(Task, TaskState)>,
    /// Where the next page begins; none at the end.
    pub cursor: Option<TaskId>,
}

/// What became of the wish to take over the task of an attempt that a worker has in hand.
#[derive(Clone, Debug)]
pub enum Recovered {
    /// The task is this dispatcher's now, and the attempt its newest.
    Taken(Claimed),
    /// Another dispatcher has it, or had it and is not known to be dead yet: ask again later.
    Owned,
    /// The attempt is not the newest, the task has ended, or it is unknown: whatever the worker says of
    /// it is of no interest.
    Stale,
}

/// What gateways ask of whichever dispatcher it concerns. Best effort: whoever was not connected
/// misses it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Control {
    /// End a task; the wish is also kept with the task.
    Cancel(TaskId),
    /// Let a worker finish what it has and leave.
    DrainWorker(WorkerId),
}

/// A worker as its dispatcher last saw it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkerRecord {
    /// The worker.
    pub id: WorkerId,
    /// Its name for people.
    pub name: String,
    /// `local`, `push` or `pull`.
    pub mode: String,
    /// Attempts that it runs at once.
    pub slots: u32,
    /// Attempts that it has.
    pub running: u32,
    /// Whether it takes no more tasks.
    pub draining: bool,
    /// Whether it takes none for now, as it cannot set them up.
    pub resting: bool,
    /// When it came; milliseconds since the Unix epoch.
    pub since_ms: u64,
    /// The dispatcher that it is connected to, by name.
    pub dispatcher: String,
}

/// What became of a wish to cancel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CancelQueued {
    /// It was queued and has now ended as `Cancelled`; it never runs (again).
    Cancelled,
    /// An attempt runs: the dispatcher must kill it.
    Running,
    /// It had ended.
    Ended,
    /// There is no such task.
    Unknown,
}
