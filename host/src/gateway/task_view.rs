//! Reads tasks from the store and words them for clients.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bulkhead_protocol::id::TaskId;
use bulkhead_protocol::outcome::Outcome;
use bulkhead_protocol::task::{Encoding, Progress, Spent, Status, Task, TaskState};
use bytes::Bytes;
use serde_json::value::RawValue;
use tokio_util::sync::CancellationToken;

use super::api::{self, DurationText, ResultResponse, Timestamp};
use super::problem::{Kind, Problem};
use super::state::{Gateway, SyncRuns};
use crate::store::{Completed, Standing};

/// The task that a path names.
pub(super) fn parse_id(text: &str) -> Result<TaskId, Problem> {
    text.parse().map_err(|_| Problem::new(Kind::UnknownTask, format!("there is no task {text:.64}")))
}

/// Why a task is not in the store.
///
/// # Errors
/// The store's own problem, when it does not answer.
pub(super) async fn missing(gateway: &Gateway, id: TaskId) -> Result<Problem, Problem> {
    if gateway.store.is_expired(id).await? {
        return Ok(Problem::new(Kind::ExpiredTask, "the task ended too long ago to be kept").with_task(id));
    }
    Ok(Problem::new(Kind::UnknownTask, format!("there is no task {id}")).with_task(id))
}

/// Waits until a task has ended, `wait` is over or the server drains; tells how far it has come.
pub(super) async fn wait_state(gateway: &Gateway, id: TaskId, wait: Duration) -> Result<TaskState, Problem> {
    let state = tokio::select! {
        state = gateway.store.wait(id, wait) => state?,
        () = gateway.draining.cancelled(), if !wait.is_zero() => gateway.store.state(id).await?,
    };
    match state {
        Some(state) => Ok(state),
        None => Err(missing(gateway, id).await?),
    }
}

/// Waits until a task has ended, `wait` is over or `stop` is cancelled; tells how far it has come and what it gave.
pub(super) async fn wait_for_result(
    gateway: &Gateway,
    id: TaskId,
    wait: Duration,
    stop: &CancellationToken,
) -> Result<Standing, Problem> {
    let standing = tokio::select! {
        standing = gateway.store.wait_for_result(id, wait) => standing?,
        () = stop.cancelled(), if !wait.is_zero() => gateway.store.wait_for_result(id, Duration::ZERO).await?,
    };
    match standing {
        Some(standing) => Ok(standing),
        None => Err(missing(gateway, id).await?),
    }
}

/// A task and how far it has come.
pub(super) async fn find(gateway: &Gateway, id: TaskId) -> Result<(Arc<Task>, TaskState), Problem> {
    match gateway.store.task(id).await? {
        Some(found) => Ok(found),
        None => Err(missing(gateway, id).await?),
    }
}

/// The answer about a task's result, after waiting for it.
pub(super) async fn result(gateway: &Gateway, id: TaskId, wait: Duration) -> Result<ResultResponse, Problem> {
    let Standing { state, completed } = wait_for_result(gateway, id, wait, &gateway.draining).await?;
    let status = state.status;
    if !status.is_terminal() {
        return Ok(ResultResponse { task_id: id, status, result: None, outcome: None });
    }
    let outcome = outcome(gateway, id, &state).await?;
    let result = completed.map(|Completed { encoding, result }| in_json(encoding, &result)).transpose()?;
    Ok(ResultResponse { task_id: id, status, result, outcome })
}

/// A result as a value in a JSON document.
fn in_json(encoding: Encoding, result: &Bytes) -> Result<Box<RawValue>, Problem> {
    let text = match encoding {
        // The process that wrote it is not trusted to have written JSON: parsing here keeps it from
        // closing the document around it.
        Encoding::Json => String::from_utf8(result.to_vec()).ok(),
        Encoding::Bincode => Some(format!("\"{}\"", STANDARD.encode(result))),
    };
    text.and_then(|text| RawValue::from_string(text).ok())
        .ok_or_else(|| Problem::new(Kind::ProtocolViolation, "the function's process gave a result that is no JSON"))
}

/// How a task or its latest attempt ended, with the end of what a failure printed.
async fn outcome(gateway: &Gateway, id: TaskId, state: &TaskState) -> Result<Option<api::Outcome>, Problem> {
    let Some(outcome) = state.outcome.clone() else { return Ok(None) };
    if outcome.is_success() || outcome == Outcome::Cancelled {
        return Ok(Some(api::Outcome::without_logs(outcome, state.usage)));
    }
    let logs = gateway.store.logs(id).await?.unwrap_or_default();
    Ok(Some(api::Outcome::with_logs(outcome, state.usage, &logs)))
}

/// Everything about a task but its input and result.
pub(super) async fn task(gateway: &Gateway, task: &Task, state: &TaskState) -> Result<api::Task, Problem> {
    let outcome = outcome(gateway, task.id, state).await?;
    let progress = match state.status {
        Status::Running => progress(gateway, task.id).await?,
        _ => None,
    };
    let progress = progress.map(|progress| api::Progress { fraction: progress.fraction, message: progress.message });
    Ok(api::Task { progress, ..in_listing(task, state, outcome) })
}

/// What a running attempt last said, here or elsewhere.
async fn progress(gateway: &Gateway, id: TaskId) -> Result<Option<Progress>, Problem> {
    if let SyncRuns::Here(executor) = &gateway.sync_runs
        && let Some(progress) = executor.progress(id)
    {
        return Ok(Some(progress));
    }
    Ok(gateway.store.progress(id).await?)
}

/// A task as listings show it: without what its attempt printed, and without progress.
pub(super) fn in_listing(task: &Task, state: &TaskState, outcome: Option<api::Outcome>) -> api::Task {
    let backoff = DurationText(Duration::from_millis(task.options.retry.backoff_ms));
    let described = |outcome: &Outcome| api::Outcome::without_logs(outcome.clone(), state.usage);
    api::Task {
        task_id: task.id,
        status: state.status,
        function_id: task.function,
        function: task.function_name.clone(),
        encoding: task.input.encoding,
        attempt: state.attempt,
        worker_id: state.worker,
        spent: Some(state.spent).filter(|spent| *spent != Spent::default()).map(|spent| api::Spent {
            failures: spent.failures,
            crashes: spent.crashes,
            losses: spent.losses,
            returns: spent.returns,
        }),
        dead_letter: state.dead_letter,
        submitted_at: Timestamp::from_unix_ms(task.submitted_at_ms),
        not_before: task.options.not_before_ms.map(Timestamp::from_unix_ms),
        started_at: state.started_at_ms.map(Timestamp::from_unix_ms),
        ended_at: state.ended_at_ms.map(Timestamp::from_unix_ms),
        outcome: outcome.or_else(|| state.outcome.as_ref().map(described)),
        progress: None,
        priority: task.options.priority,
        retry: api::Retry { max: task.options.retry.max, backoff: Some(backoff) },
        timeout_ms: task.options.timeout_ms,
        labels: task.options.labels.clone(),
        idempotency_key: task.options.idempotency_key.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_result_cannot_close_the_document_around_it() {
        let json = |bytes: &'static [u8]| in_json(Encoding::Json, &Bytes::from_static(bytes));
        assert_eq!(json(b"{\"a\":1}").unwrap().get(), "{\"a\":1}");
        for hostile in [&b"1,\"status\":\"FAILED\""[..], b"", b"1}", b"\xFF", b"nonsense"] {
            assert_eq!(json(hostile).unwrap_err().kind(), Some(Kind::ProtocolViolation));
        }
    }

    #[test]
    fn a_bincode_result_is_base64() {
        let result = in_json(Encoding::Bincode, &Bytes::from_static(&[0xFF, 0, 1])).unwrap();
        assert_eq!(result.get(), "\"/wAB\"");
    }

    #[test]
    fn an_id_that_is_none_is_an_unknown_task() {
        assert_eq!(parse_id("not-a-task").unwrap_err().status().as_u16(), 404);
        assert!(parse_id("01936f3e-7b5c-7d6a-9f35-0123456789ab").is_ok());
    }
}
