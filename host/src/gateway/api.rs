//! What travels over HTTP as JSON: one type per request and answer, for the gateway, for clients in
//! Rust (the command line is one) and for the OpenAPI document. No logic beyond reading and writing.

mod first;
mod function;
mod outcome;
mod problem;
mod task;
mod time;
mod worker;

pub use first::{ExecuteRequest, ExecuteResponse, RegisterRequest, RegisterResponse, ResultResponse, StatusResponse};
pub use function::{
    Alias, AliasRequest, FunctionDetail, FunctionPage, FunctionSummary, FunctionVersions, RegisteredFunction,
    RegisteredPackage, Removed, RemovedVersion,
};
pub use outcome::{Outcome, OutcomeKind};
pub use problem::Problem;
pub use task::{BatchAnswer, Logs, Progress, Retry, Spent, Submit, Submitted, Task, TaskPage};
pub use time::{DurationText, InvalidDuration, Timestamp};
pub use worker::{Worker, WorkerPage};

/// Names the task in answers of `invoke`.
pub const TASK_ID_HEADER: &str = "bulkhead-task-id";
/// Names the kind of outcome in answers of `invoke` that failed, as `FunctionError`.
pub const OUTCOME_HEADER: &str = "bulkhead-outcome";
/// Names the group of a batch.
pub const GROUP_ID_HEADER: &str = "bulkhead-group-id";
/// Label that every task of a batch carries, with the group's id.
pub const GROUP_LABEL: &str = "bulkhead.group";
/// Media type of input and result in bincode.
pub const BINCODE: &str = "application/x-bincode";
/// Media type of errors.
pub const PROBLEM_JSON: &str = "application/problem+json";
/// Media type of one JSON document per line.
pub const NDJSON: &str = "application/x-ndjson";
