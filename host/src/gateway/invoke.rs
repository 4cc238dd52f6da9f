//! `/v1/functions/{ref}/invoke`: call and wait. Where this process has slots of its own the call goes
//! straight to them (`direct`); else, and when the client wants it stored, it goes through the queue
//! (`queued`). Inputs and results pass untouched.

mod direct;
mod queued;

use std::sync::Arc;

use axum::Json;
use axum::body::{Body, HttpBody};
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use bulkhead_protocol::id::TaskId;
use bulkhead_protocol::outcome::{Logs, Outcome, Usage};
use bulkhead_protocol::task::{Encoding, Status, TaskOptions};
use bytes::Bytes;

use super::api::{self, Problem as ProblemBody, Submitted};
use super::body::media_type;
use super::prefer::{PREFERENCE_APPLIED, Prefer};
use super::problem::{Kind, Problem};
use super::query;
use super::state::{Gateway, SyncRuns};
use super::submission::{check_idempotency_key, check_timeout, resolve};
use super::tasks::name_task;

const JSON: &str = "application/json";
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// What a client asks for beside the input.
struct Wishes {
    encoding: Encoding,
    prefer: Prefer,
    options: TaskOptions,
}

/// Calls a function and answers with its bare result.
///
/// The body is the input: JSON (an object by parameter name, or an array by position), or the tuple
/// of the arguments in bincode. A client that goes away before the answer cancels the call, unless
/// it preferred a `wait` that is over already.
#[utoipa::path(
    post, path = "/v1/functions/{reference}/invoke", tag = "functions",
    params(
        ("reference" = String, Path, description = "`name`, `name@version`, `name:alias` or a function id."),
        ("timeout" = Option<String>, Query, description = "Wall time of the call, at most the server's cap; the function's own limit when absent."),
        ("Prefer" = Option<String>, Header, description = "`wait=N`: answer 202 when it takes longer than N seconds. `respond-async`: answer 202 at once."),
        ("Idempotency-Key" = Option<String>, Header, description = "Two calls with one key within 24 hours are one task."),
    ),
    request_body(content(
        (serde_json::Value = "application/json"),
        (Vec<u8> = "application/x-bincode"),
    ), description = "The input."),
    responses(
        (status = 200, description = "The bare result, in the encoding of the input.", body = serde_json::Value),
        (status = 202, description = "It goes on; `Location` names the task.", body = Submitted),
        (status = 404, description = "Unknown function.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 413, description = "Larger than an input may be.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "The input does not fit the function.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 429, description = "Too many synchronous calls at once, or the queue is full.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 499, description = "The call was cancelled.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 500, description = "The function failed; `outcome` says how.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "The server shuts down, or the sandbox could not be set up.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 504, description = "The function ran longer than it may.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 507, description = "The function ran out of memory.", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn invoke(
    State(gateway): State<Arc<Gateway>>,
    Path(reference): Path<String>,
    request: Request,
) -> Result<Response, Problem> {
    gateway.require_open()?;
    let (parts, body) = request.into_parts();
    let wishes = read_wishes(&gateway, &parts.headers, &parts.uri, &body)?;
    let function = resolve(&gateway, &reference).await?;
    let prefer = wishes.prefer;
    let is_to_be_stored = prefer.respond_async || wishes.options.idempotency_key.is_some();
    let answer = match &gateway.sync_runs {
        _ if is_to_be_stored => queued::submit(&gateway, &function, wishes, body).await,
        SyncRuns::Here(executor) => direct::run(&gateway, executor, function, wishes, body).await,
        SyncRuns::Queued => queued::run(&gateway, &function, wishes, body).await,
    };
    answer.map(|mut response| {
        if let Some(applied) = prefer.applied() {
            response.headers_mut().insert(PREFERENCE_APPLIED, applied);
        }
        response
    })
}

fn read_wishes(gateway: &Gateway, headers: &HeaderMap, uri: &Uri, body: &Body) -> Result<Wishes, Problem> {
    let encoding = read_encoding(headers, body)?;
    let prefer = Prefer::read(headers, gateway.bounds.wait.0);
    let pairs = query::read(uri, &["timeout"])?;
    let timeout = query::get(&pairs, "timeout").map(|text| query::parse("timeout", text)).transpose()?;
    let timeout_ms = timeout.map(|timeout| check_timeout(timeout, gateway.caps.timeout)).transpose()?;
    let idempotency_key = match headers.get(IDEMPOTENCY_KEY) {
        Some(key) => {
            let not_text = |_| Problem::invalid("Idempotency-Key", "the header `Idempotency-Key` is no ASCII text");
            let key = key.to_str().map_err(not_text)?;
            check_idempotency_key(key)?;
            Some(key.to_owned())
        }
        None => None,
    };
    Ok(Wishes { encoding, prefer, options: TaskOptions { timeout_ms, idempotency_key, ..TaskOptions::default() } })
}

fn read_encoding(headers: &HeaderMap, body: &Body) -> Result<Encoding, Problem> {
    // Nearly every request has it spelled just so; then nothing is copied.
    if headers.get(header::CONTENT_TYPE).is_some_and(|given| given == JSON) {
        return Ok(Encoding::Json);
    }
    match media_type(headers).as_str() {
        JSON => Ok(Encoding::Json),
        api::BINCODE => Ok(Encoding::Bincode),
        // A function without parameters, called without a body.
        "" if body.is_end_stream() => Ok(Encoding::Json),
        _ => Err(super::body::require_media_type(headers, &[JSON, api::BINCODE])
            .err()
            .unwrap_or_else(|| Problem::new(Kind::UnsupportedMediaType, "the media type is not taken"))),
    }
}

/// No body at all stands for no arguments.
fn input_of(encoding: Encoding, body: Bytes) -> Bytes {
    if body.is_empty() && encoding == Encoding::Json { Bytes::from_static(b"{}") } else { body }
}

/// The call goes on as a task.
fn goes_on(task_id: TaskId, status: Status, duplicate: bool) -> Response {
    let mut response = (StatusCode::ACCEPTED, Json(Submitted { task_id, status, duplicate })).into_response();
    name_task(&mut response, task_id);
    response
}

/// The bare result.
fn succeeded(id: TaskId, encoding: Encoding, result: Body) -> Response {
    let mut response = Response::new(result);
    let media_type = match encoding {
        Encoding::Json => HeaderValue::from_static(JSON),
        Encoding::Bincode => HeaderValue::from_static(api::BINCODE),
    };
    response.headers_mut().insert(header::CONTENT_TYPE, media_type);
    if let Ok(id) = HeaderValue::try_from(id.to_string()) {
        response.headers_mut().insert(api::TASK_ID_HEADER, id);
    }
    response
}

/// A failed call as a problem.
fn failed(gateway: &Gateway, id: TaskId, outcome: Outcome, usage: Usage, logs: &Logs) -> Problem {
    if outcome == Outcome::Cancelled && gateway.draining.is_cancelled() {
        let detail = "the server shut down before the call ended; the call was cancelled";
        return Problem::new(Kind::ShuttingDown, detail).with_task(id);
    }
    let described = api::Outcome::with_logs(outcome.clone(), usage, logs);
    Problem::of_outcome(&outcome, described).with_task(id)
}
