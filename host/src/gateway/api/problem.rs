//! The body of every error answer.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Outcome;

/// An error as RFC 9457 describes it, sent as `application/problem+json`. The members from `field`
/// on are there only where they say something.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Problem {
    /// The page that explains this kind of problem, relative to the server: `/errors/unknown-function`.
    #[serde(rename = "type")]
    pub problem_type: String,
    /// The kind of problem in few words; the same for every problem of the type.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What happened this time.
    pub detail: String,
    /// The `X-Request-Id` of the answer, to find it in the server's log.
    pub request_id: String,
    /// Whether the same request may succeed later.
    pub retryable: bool,
    /// The field of the request that is wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// The line of malformed JSON, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<usize>,
    /// The column of malformed JSON, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub column: Option<usize>,
    /// The limit that was reached, by name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<String>,
    /// The value of that limit, in the unit of its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit_value: Option<u64>,
    /// What was asked for instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked_value: Option<u64>,
    /// What could have been named instead.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub known: Vec<String>,
    /// The task that this is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task_id: Option<String>,
    /// How the function's attempt ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Outcome>,
}
