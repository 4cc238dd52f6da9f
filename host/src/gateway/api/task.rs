//! Tasks: submission, listing, state, logs.

use std::collections::BTreeMap;

use bulkhead_protocol::id::{FunctionId, TaskId, WorkerId};
use bulkhead_protocol::task::{Encoding, Priority, Status};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::{DurationText, Outcome, Problem, Timestamp};

/// Body of `POST /v1/tasks`, and each line of `POST /v1/tasks:batch`: the function, either `args`
/// or `payload`, and wishes that all have defaults.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Submit {
    /// `name`, `name@version`, `name:alias` or a function id.
    #[schema(example = "resize:prod")]
    pub function: String,
    /// The arguments in JSON: an object by parameter name, or an array by position.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<serde_json::Value>)]
    pub args: Option<Box<RawValue>>,
    /// Base64 of the arguments' tuple in bincode 2, standard configuration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(content_encoding = "base64")]
    pub payload: Option<String>,
    /// Wall time of one attempt, at most the server's cap; the function's own limit when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<DurationText>,
    /// How long to wait before the first attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delay: Option<DurationText>,
    /// Its place in the queue.
    #[serde(default)]
    pub priority: Priority,
    /// Tries after a failure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry: Option<Retry>,
    /// Two submissions with one key within 24 hours are one task.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idempotency_key: Option<String>,
    /// Free words to find the task by.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// How long the result is kept after the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result_ttl: Option<DurationText>,
}

/// When and how often a failed task is tried again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Retry {
    /// How many more attempts after the first, 0 to 100.
    pub max: u32,
    /// Wait before the second attempt; doubles each time, with jitter. One second when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backoff: Option<DurationText>,
}

/// Answer of `POST /v1/tasks`, and of `invoke` when it answers 202.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Submitted {
    /// The task: stored durably before this answer was given.
    pub task_id: TaskId,
    /// How far it had come.
    pub status: Status,
    /// True when the idempotency key belonged to this task already.
    #[serde(default)]
    pub duplicate: bool,
}

/// One line of the answer of `POST /v1/tasks:batch`: `task_id`, or `problem`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BatchAnswer {
    /// The line of the request that this answers, from 0.
    pub index: usize,
    /// The group of the whole batch.
    pub group_id: String,
    /// The stored task.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task_id: Option<TaskId>,
    /// True when the idempotency key belonged to this task already.
    #[serde(default)]
    pub duplicate: bool,
    /// Why this line was refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<Problem>,
}

/// A task: answer of `GET /v1/tasks/{id}` and of its `DELETE`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Task {
    /// Its id.
    pub task_id: TaskId,
    /// How far it has come.
    pub status: Status,
    /// The version that it runs.
    pub function_id: FunctionId,
    /// The function's name.
    pub function: String,
    /// How its arguments and result are written.
    pub encoding: Encoding,
    /// The newest attempt; 0 before the first.
    pub attempt: u32,
    /// Where the newest attempt began; all zeros for the slots of a dispatcher itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worker_id: Option<WorkerId>,
    /// What it has used up of its budgets; absent while that is nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spent: Option<Spent>,
    /// Whether it ended by crashing too often.
    #[serde(default)]
    pub dead_letter: bool,
    /// When it was submitted.
    pub submitted_at: Timestamp,
    /// Before when it does not run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_before: Option<Timestamp>,
    /// When the newest attempt began.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// How it ended, or how its latest attempt did when another follows.
    pub outcome: Option<Outcome>,
    /// What the running attempt last said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress: Option<Progress>,
    /// Its place in the queue.
    pub priority: Priority,
    /// Tries after a failure.
    pub retry: Retry,
    /// Wall time of one attempt in milliseconds, where the task asked for one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
    /// The words that it was submitted with.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// The key that it was submitted with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idempotency_key: Option<String>,
}

/// What a task has used up of its budgets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Spent {
    /// Failures of the function that were tried again.
    pub failures: u32,
    /// Attempts that crashed.
    pub crashes: u32,
    /// Attempts that were lost with their worker after they had begun.
    pub losses: u32,
    /// Attempts that were lost with their worker before they had begun.
    pub returns: u32,
}

/// What a running function says of its progress.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Progress {
    /// 0 to 1.
    pub fraction: f64,
    /// The function's own words.
    pub message: String,
}

/// Answer of `GET /v1/tasks` and `GET /v1/dead-letters`, the newest first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TaskPage {
    /// The tasks.
    pub tasks: Vec<Task>,
    /// Give it as `cursor` for the next page; null at the end.
    pub cursor: Option<TaskId>,
}

/// Answer of `GET /v1/tasks/{id}/logs`: what the latest ended attempt printed. Bytes that are no
/// UTF-8 read as U+FFFD.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Logs {
    /// The task.
    pub task_id: TaskId,
    /// The attempt that printed it; 0 before any ended.
    pub attempt: u32,
    /// What it wrote on stdout.
    pub stdout: String,
    /// What it wrote on stderr.
    pub stderr: String,
    /// Whether some was cut.
    pub truncated: bool,
}
