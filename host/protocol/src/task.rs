//! Tasks: what a client asked for, and how far it has come.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::id::{FunctionId, TaskId, WorkerId};
use crate::outcome::{Outcome, Usage};

/// How the arguments of a task, and so its result, are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
#[repr(u8)]
pub enum Encoding {
    /// JSON: an object by parameter name or an array by position.
    #[default]
    Json = 0,
    /// bincode 2, standard configuration: the tuple of the arguments.
    Bincode = 1,
}

/// The input of a task: bytes that only the function's own process decodes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Input {
    /// How they are written.
    pub encoding: Encoding,
    /// The bytes, at most [`crate::limits::MAX_INPUT_BYTES`].
    #[serde(with = "serde_bytes")]
    pub bytes: Vec<u8>,
}

/// Higher runs first, strictly.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum Priority {
    /// After all else.
    Low,
    /// The default.
    #[default]
    Normal,
    /// Before all else.
    High,
}

/// When and how often a failed task is tried again by the function's own wish; the loss of a
/// worker has a budget of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(default, deny_unknown_fields)]
pub struct RetryPolicy {
    /// How many more attempts after the first, 0 to 100.
    pub max: u32,
    /// Wait before the second attempt in milliseconds; doubles each time, with jitter.
    pub backoff_ms: u64,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self { max: 0, backoff_ms: 1_000 }
    }
}

/// What a client may say with a task beside its input.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskOptions {
    /// Wall time in milliseconds; the function's own limit when absent.
    pub timeout_ms: Option<u64>,
    /// Milliseconds since the Unix epoch before which the task does not run.
    pub not_before_ms: Option<u64>,
    /// Its place in the queue.
    pub priority: Priority,
    /// Tries after a failure.
    pub retry: RetryPolicy,
    /// Free words to find the task by.
    pub labels: BTreeMap<String, String>,
    /// Two submissions with one key within the window are one task.
    pub idempotency_key: Option<String>,
    /// How long the result is kept, in milliseconds after the end.
    pub result_ttl_ms: Option<u64>,
}

/// One request to run a function with one input. Never changes once stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Task {
    /// Its id.
    pub id: TaskId,
    /// The function to run.
    pub function: FunctionId,
    /// The function's name at submission, for listings.
    pub function_name: String,
    /// The arguments.
    pub input: Input,
    /// The client's wishes.
    pub options: TaskOptions,
    /// Milliseconds since the Unix epoch.
    pub submitted_at_ms: u64,
}

/// The coarse word that clients poll.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "UPPERCASE")]
pub enum Status {
    /// Waits for a slot, or for its next attempt.
    Queued,
    /// An attempt runs.
    Running,
    /// Ended with a result.
    Completed,
    /// Ended without one.
    Failed,
}

impl Status {
    /// Whether the task has reached its end.
    pub fn is_terminal(self) -> bool {
        matches!(self, Self::Completed | Self::Failed)
    }

    /// The word in HTTP and on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "QUEUED",
            Self::Running => "RUNNING",
            Self::Completed => "COMPLETED",
            Self::Failed => "FAILED",
        }
    }
}

/// Numbers the tries at a task from 1; 0 before the first. The fence that makes late results
/// harmless.
pub type Attempt = u32;

/// What a task has used up of each budget. Stored with the task whenever it goes back to the queue, so
/// that budgets hold across restarts and dispatchers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spent {
    /// Failures of the function that were tried again.
    pub failures: u32,
    /// Attempts that crashed.
    pub crashes: u32,
    /// Attempts that the platform lost after they had begun.
    pub losses: u32,
    /// Attempts that the platform lost before they had begun: they waited at a worker that died.
    pub returns: u32,
}

/// What a running function last said of its progress.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// 0 to 1.
    pub fraction: f64,
    /// The function's own words.
    pub message: String,
}

/// How far a task has come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskState {
    /// The coarse word.
    pub status: Status,
    /// The newest attempt.
    pub attempt: Attempt,
    /// When the newest attempt began; milliseconds since the Unix epoch.
    pub started_at_ms: Option<u64>,
    /// When the task ended; milliseconds since the Unix epoch.
    pub ended_at_ms: Option<u64>,
    /// How the task ended, or how its latest attempt did when another follows.
    pub outcome: Option<Outcome>,
    /// What its latest attempt used.
    pub usage: Usage,
    /// What it has used up of each budget.
    pub spent: Spent,
    /// Where its newest attempt began; the nil id is the executor beside the dispatcher.
    pub worker: Option<WorkerId>,
    /// Whether it ended by crashing too often.
    pub dead_letter: bool,
}

impl TaskState {
    /// The state of a task that was just stored.
    pub fn queued() -> Self {
        Self {
            status: Status::Queued,
            attempt: 0,
            started_at_ms: None,
            ended_at_ms: None,
            outcome: None,
            usage: Usage::default(),
            spent: Spent::default(),
            worker: None,
            dead_letter: false,
        }
    }
}
