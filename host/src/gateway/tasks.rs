//! `/v1/tasks`: submission, listing, state, result, logs, cancelling.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use bulkhead_protocol::id::TaskId;
use bulkhead_protocol::task::Status;

use super::api::{self, DurationText, Problem as ProblemBody, ResultResponse, Submit, Submitted, Timestamp};
use super::body::{read_json, require_media_type};
use super::problem::{Kind, Problem};
use super::state::{Gateway, in_base64, unix_ms};
use super::submission::{Resolved, read_task, submit as store_task};
use super::{query, task_view};
use crate::dispatcher::Cancelled;
use crate::store::TaskFilter;

/// Tasks on a page when no `limit` is given.
const PAGE_TASKS: usize = 100;
/// Most tasks on a page.
const MAX_PAGE_TASKS: usize = 1000;
/// How long a killed attempt may take to be reaped and its end stored.
const KILL_TIME: Duration = Duration::from_secs(30);

/// Queues a call of a function with options.
#[utoipa::path(
    post, path = "/v1/tasks", tag = "tasks", request_body = Submit,
    responses(
        (status = 201, description = "Stored and queued; `Location` names the task.", body = Submitted),
        (status = 200, description = "The idempotency key belongs to this task already.", body = Submitted),
        (status = 404, description = "Unknown function.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "The idempotency key belongs to another request.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "A field is missing, unknown or out of range.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 429, description = "The queue is full.", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn submit(State(gateway): State<Arc<Gateway>>, request: Request) -> Result<Response, Problem> {
    require_media_type(request.headers(), &["application/json"])?;
    let received = gateway.receiver.receive(request.into_body(), in_base64(gateway.input_bound())).await?;
    let task = read_task(&gateway, read_json::<Submit>(&received.bytes)?, &mut Resolved::default()).await?;
    let (task_id, duplicate) = store_task(&gateway, task).await?;
    // A task that was there before may have come further.
    let (code, status) = match duplicate {
        true => (StatusCode::OK, gateway.store.state(task_id).await?.map_or(Status::Queued, |state| state.status)),
        false => (StatusCode::CREATED, Status::Queued),
    };
    let mut response = (code, Json(Submitted { task_id, status, duplicate })).into_response();
    name_task(&mut response, task_id);
    Ok(response)
}

/// Adds `Location` and the task's id to an answer.
pub(super) fn name_task(response: &mut Response, task_id: TaskId) {
    let headers = response.headers_mut();
    for (name, value) in
        [(header::LOCATION.as_str(), format!("/v1/tasks/{task_id}")), (api::TASK_ID_HEADER, task_id.to_string())]
    {
        if let Ok(value) = HeaderValue::try_from(value) {
            headers.insert(name, value);
        }
    }
}

/// Lists tasks, the newest first.
#[utoipa::path(
    get, path = "/v1/tasks", tag = "tasks",
    params(
        ("status" = Option<Status>, Query, description = "Only these."),
        ("function" = Option<String>, Query, description = "Only tasks of the function with this name."),
        ("since" = Option<String>, Query, description = "Only tasks submitted since: a time (RFC 3339), or how long ago (`1h`)."),
        ("label.KEY" = Option<String>, Query, description = "Only tasks with this label; may be given several times."),
        ("limit" = Option<usize>, Query, description = "Most tasks to list, 1 to 1000; 100 when absent."),
        ("cursor" = Option<String>, Query, description = "`cursor` of the page before."),
    ),
    responses(
        (status = 200, description = "A page of tasks.", body = api::TaskPage),
        (status = 422, description = "A parameter is unknown or out of range.", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn list(State(gateway): State<Arc<Gateway>>, uri: Uri) -> Result<Json<api::TaskPage>, Problem> {
    let pairs = query::read(&uri, &["status", "function", "since", "label.", "limit", "cursor"])?;
    let status = query::get(&pairs, "status").map(read_status).transpose()?;
    page(&gateway, TaskFilter { status, ..read_filter(&pairs)? }).await
}

/// Lists the tasks that ended because they crashed too often, the newest first.
#[utoipa::path(
    get, path = "/v1/dead-letters", tag = "tasks",
    params(
        ("function" = Option<String>, Query, description = "Only tasks of the function with this name."),
        ("since" = Option<String>, Query, description = "Only tasks submitted since: a time (RFC 3339), or how long ago (`1h`)."),
        ("label.KEY" = Option<String>, Query, description = "Only tasks with this label; may be given several times."),
        ("limit" = Option<usize>, Query, description = "Most tasks to list, 1 to 1000; 100 when absent."),
        ("cursor" = Option<String>, Query, description = "`cursor` of the page before."),
    ),
    responses(
        (status = 200, description = "A page of tasks.", body = api::TaskPage),
        (status = 422, description = "A parameter is unknown or out of range.", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn dead_letters(
    State(gateway): State<Arc<Gateway>>,
    uri: Uri,
) -> Result<Json<api::TaskPage>, Problem> {
    let pairs = query::read(&uri, &["function", "since", "label.", "limit", "cursor"])?;
    page(&gateway, TaskFilter { dead_letters: true, ..read_filter(&pairs)? }).await
}

/// The parameters that all listings of tasks take.
fn read_filter(pairs: &[(String, String)]) -> Result<TaskFilter, Problem> {
    let labels =
        pairs.iter().filter_map(|(name, value)| Some((name.strip_prefix("label.")?.to_owned(), value.clone())));
    Ok(TaskFilter {
        function_name: query::get(pairs, "function").map(str::to_owned),
        since_ms: query::get(pairs, "since").map(|since| read_since(since, unix_ms())).transpose()?,
        labels: labels.collect(),
        cursor: query::get(pairs, "cursor").map(|cursor| query::parse("cursor", cursor)).transpose()?,
        limit: query::limit(pairs, PAGE_TASKS, MAX_PAGE_TASKS)?,
        ..TaskFilter::default()
    })
}

async fn page(gateway: &Gateway, filter: TaskFilter) -> Result<Json<api::TaskPage>, Problem> {
    let page = gateway.store.tasks(&filter).await?;
    let tasks = page.tasks.iter().map(|(task, state)| task_view::in_listing(task, state, None)).collect();
    Ok(Json(api::TaskPage { tasks, cursor: page.cursor }))
}

fn read_status(text: &str) -> Result<Status, Problem> {
    let all = [Status::Queued, Status::Running, Status::Completed, Status::Failed];
    all.into_iter().find(|status| status.as_str().eq_ignore_ascii_case(text)).ok_or_else(|| {
        let known = all.iter().map(|status| status.as_str().to_owned()).collect();
        Problem::invalid("status", format!("`status`: {text:.64} is no status")).with_known(known)
    })
}

fn read_since(text: &str, now_ms: u64) -> Result<u64, Problem> {
    if let Ok(moment) = text.parse::<Timestamp>() {
        return Ok(moment.unix_ms);
    }
    match text.parse::<DurationText>() {
        Ok(ago) => Ok(now_ms.saturating_sub(crate::config::milliseconds(ago))),
        Err(_) => {
            let detail = format!("`since`: {text:.64} is neither a time (2026-01-31T12:00:00Z) nor how long ago (1h)");
            Err(Problem::invalid("since", detail))
        }
    }
}

/// Describes a task.
#[utoipa::path(
    get, path = "/v1/tasks/{id}", tag = "tasks",
    params(
        ("id" = String, Path, description = "The task."),
        ("wait" = Option<String>, Query, description = "Answer when the task has ended, or after this long: `30s`, `500ms`."),
    ),
    responses(
        (status = 200, description = "The task.", body = api::Task),
        (status = 404, description = "Unknown task.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 410, description = "The task ended too long ago.", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn get(
    State(gateway): State<Arc<Gateway>>,
    Path(id): Path<String>,
    uri: Uri,
) -> Result<Json<api::Task>, Problem> {
    let wait = query::wait(&query::read(&uri, &["wait"])?, gateway.bounds.wait.0)?;
    let id = task_view::parse_id(&id)?;
    if !wait.is_zero() {
        task_view::wait_state(&gateway, id, wait).await?;
    }
    describe(&gateway, id).await.map(Json)
}

async fn describe(gateway: &Gateway, id: TaskId) -> Result<api::Task, Problem> {
    let (task, state) = task_view::find(gateway, id).await?;
    task_view::task(gateway, &task, &state).await
}

/// Gives a task's result; null until the task has ended. A failed task is no failed request.
#[utoipa::path(
    get, path = "/v1/tasks/{id}/result", tag = "tasks",
    params(
        ("id" = String, Path, description = "The task."),
        ("wait" = Option<String>, Query, description = "Answer when the task has ended, or after this long: `30s`, `500ms`."),
    ),
    responses(
        (status = 200, description = "The result, or null so far.", body = ResultResponse),
        (status = 404, description = "Unknown task.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 410, description = "The task ended too long ago.", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn result(
    State(gateway): State<Arc<Gateway>>,
    Path(id): Path<String>,
    uri: Uri,
) -> Result<Json<ResultResponse>, Problem> {
    let wait = query::wait(&query::read(&uri, &["wait"])?, gateway.bounds.wait.0)?;
    task_view::result(&gateway, task_view::parse_id(&id)?, wait).await.map(Json)
}

/// Gives what the latest ended attempt of a task printed.
#[utoipa::path(
    get, path = "/v1/tasks/{id}/logs", tag = "tasks", params(("id" = String, Path, description = "The task.")),
    responses(
        (status = 200, description = "What it printed; empty before any attempt ended.", body = api::Logs),
        (status = 404, description = "Unknown task.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 410, description = "The task ended too long ago.", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn logs(
    State(gateway): State<Arc<Gateway>>,
    Path(id): Path<String>,
    uri: Uri,
) -> Result<Json<api::Logs>, Problem> {
    query::read(&uri, &[])?;
    let task_id = task_view::parse_id(&id)?;
    let state = task_view::wait_state(&gateway, task_id, Duration::ZERO).await?;
    let logs = gateway.store.logs(task_id).await?;
    let attempt = if logs.is_some() { state.attempt } else { 0 };
    let logs = logs.unwrap_or_default();
    let text = |printed: &[u8]| String::from_utf8_lossy(printed).into_owned();
    let (stdout, stderr) = (text(&logs.stdout), text(&logs.stderr));
    Ok(Json(api::Logs { task_id, attempt, stdout, stderr, truncated: logs.truncated }))
}

/// Cancels a task. Queued: it never runs. Running: its process is killed and reaped before the
/// answer says so. Cancelled before: the same answer again.
#[utoipa::path(
    delete, path = "/v1/tasks/{id}", tag = "tasks", params(("id" = String, Path, description = "The task.")),
    responses(
        (status = 200, description = "Cancelled; the task's last state.", body = api::Task),
        (status = 404, description = "Unknown task.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "The task had ended.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 410, description = "The task ended too long ago.", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn cancel(
    State(gateway): State<Arc<Gateway>>,
    Path(id): Path<String>,
    uri: Uri,
) -> Result<Json<api::Task>, Problem> {
    query::read(&uri, &[])?;
    let id = task_view::parse_id(&id)?;
    // A call that outlived its wait is ours; all others are the dispatchers', queued ones included.
    if gateway.calls.cancel(id) {
        task_view::wait_state(&gateway, id, KILL_TIME).await?;
    } else {
        match gateway.dispatcher.cancel(id).await {
            Cancelled::Unknown => return Err(task_view::missing(&gateway, id).await?),
            Cancelled::Unavailable => {
                return Err(Problem::new(Kind::StoreUnavailable, "the store does not answer; the task goes on"));
            }
            // What the task's end says is what counts.
            Cancelled::Cancelled | Cancelled::Ended | Cancelled::Elsewhere => {}
        }
    }
    let task = describe(&gateway, id).await?;
    let was_cancelled = task.outcome.as_ref().is_some_and(|outcome| outcome.kind == api::OutcomeKind::Cancelled);
    if task.status.is_terminal() && was_cancelled {
        return Ok(Json(task));
    }
    if !task.status.is_terminal() {
        let detail = "the attempt could not be ended in time; ask for the task's state, or try again";
        return Err(Problem::new(Kind::Internal, detail).with_task(id));
    }
    let detail = format!("the task had ended as {} before it could be cancelled", task.status.as_str());
    Err(Problem::new(Kind::TaskEnded, detail).with_task(id).with_outcome(task.outcome))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn since_is_a_time_or_how_long_ago() {
        assert_eq!(read_since("1970-01-01T00:00:01Z", 0).unwrap(), 1000);
        assert_eq!(read_since("1s", 5000).unwrap(), 4000);
        assert_eq!(read_since("1h", 5000).unwrap(), 0);
        assert!(read_since("yesterday", 5000).is_err());
    }

    #[test]
    fn statuses_read_in_any_case() {
        assert_eq!(read_status("failed").unwrap(), Status::Failed);
        let body = read_status("done").unwrap_err().into_body("r");
        assert_eq!((body.status, body.field.as_deref(), body.known.len()), (422, Some("status"), 4));
    }
}
