//! The four first endpoints. Their shapes stay for ever; fields may be added.

use bulkhead_protocol::id::{FunctionId, TaskId};
use bulkhead_protocol::task::Status;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::Outcome;

/// Body of `POST /register_function`.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RegisterRequest {
    /// A function that the package exports, or any name when the package exports exactly one.
    #[schema(example = "resize")]
    pub name: String,
    /// The package file in base64.
    #[schema(content_encoding = "base64")]
    pub payload: String,
}

/// Answer of `POST /register_function`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RegisterResponse {
    /// The registered version of the function.
    pub function_id: FunctionId,
    /// Its name.
    pub name: String,
    /// 1, 2, 3 … per name.
    pub version: u32,
}

/// Body of `POST /execute_function`: the function and either `payload` or `args`.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ExecuteRequest {
    /// What `POST /register_function` answered.
    #[schema(format = "uuid")]
    pub function_id: String,
    /// Base64 of the arguments' tuple in bincode 2, standard configuration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(content_encoding = "base64")]
    pub payload: Option<String>,
    /// The arguments in JSON: an object by parameter name, or an array by position.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<serde_json::Value>)]
    pub args: Option<Box<RawValue>>,
}

/// Answer of `POST /execute_function`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ExecuteResponse {
    /// The task: stored durably before this answer was given.
    pub task_id: TaskId,
}

/// Answer of `GET /status/{task_id}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StatusResponse {
    /// The task.
    pub task_id: TaskId,
    /// How far it has come.
    pub status: Status,
}

/// Answer of `GET /result/{task_id}` and `GET /v1/tasks/{id}/result`.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ResultResponse {
    /// The task.
    pub task_id: TaskId,
    /// How far it has come.
    pub status: Status,
    /// Null until the task has completed. Then the function's value for a task with JSON
    /// arguments, and base64 of the value in bincode (a string) for one with bincode arguments.
    #[schema(value_type = Option<serde_json::Value>)]
    pub result: Option<Box<RawValue>>,
    /// How the task ended; null until then.
    pub outcome: Option<Outcome>,
}
