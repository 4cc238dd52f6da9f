//! `/v1/functions/{ref}/invoke`: call and wait. The call goes straight to the executor; only when it
//! outlives the client's patience does the store learn of it. Inputs and results pass untouched.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::body::{Body, HttpBody};
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use bulkhead_protocol::function::Function;
use bulkhead_protocol::id::TaskId;
use bulkhead_protocol::outcome::{Outcome, Report};
use bulkhead_protocol::task::{Encoding, Input, Status, Task, TaskOptions};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::api::{self, Problem as ProblemBody, Submitted};
use super::body::{Received, media_type};
use super::calls::{ONLY_ATTEMPT, Outliving};
use super::prefer::{PREFERENCE_APPLIED, Prefer};
use super::problem::{Kind, Problem};
use super::state::{Gateway, unix_ms};
use super::submission::{check_idempotency_key, check_timeout, new_task, resolve, submit};
use super::tasks::name_task;
use super::{query, task_view};
use crate::executor::Call;

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
    let answer = if prefer.respond_async || wishes.options.idempotency_key.is_some() {
        let received = gateway.receiver.receive(body, gateway.input_bound()).await?;
        invoke_queued(&gateway, &function, wishes, received).await
    } else {
        invoke_now(&gateway, function, wishes, body).await
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

/// Runs a call without the queue.
async fn invoke_now(
    gateway: &Arc<Gateway>,
    function: Arc<Function>,
    wishes: Wishes,
    body: Body,
) -> Result<Response, Problem> {
    let Ok(permit) = Arc::clone(&gateway.sync_calls).try_acquire_owned() else {
        let most = gateway.bounds.sync_calls as u64;
        let detail = format!("{most} synchronous calls run or wait already; try again, or submit a task");
        return Err(Problem::over_limit(Kind::TooManyRequests, "sync_calls", most, None, detail));
    };
    let received = gateway.receiver.receive(body, gateway.input_bound()).await?;
    let input = input_of(wishes.encoding, received.bytes);
    let id = TaskId(uuid::Uuid::now_v7());
    let started_at_ms = unix_ms();
    let call = Call {
        task: id,
        attempt: ONLY_ATTEMPT,
        encoding: wishes.encoding,
        input: input.clone(),
        timeout: wishes.options.timeout_ms.map(Duration::from_millis),
        config: gateway.function_config(&function.name),
        function: Arc::clone(&function),
    };
    let cancel = CancellationToken::new();
    let Some(wait) = wishes.prefer.wait else {
        // Dropped with the handler when the client goes away, which ends the process.
        let report = gateway.executor.run(call, cancel).await;
        return answer(gateway, id, wishes.encoding, report);
    };
    let executor = gateway.executor.clone();
    let token = cancel.clone();
    let share = received.share;
    let mut run: BoxFuture<'static, Report> = Box::pin(async move {
        // Held for as long as the call runs, also when it outlives this request.
        let _held = (permit, share);
        executor.run(call, token).await
    });
    if let Ok(report) = tokio::time::timeout(wait, &mut run).await {
        return answer(gateway, id, wishes.encoding, report);
    }
    let input = Input { encoding: wishes.encoding, bytes: input.to_vec() };
    let task = Task { id, submitted_at_ms: started_at_ms, ..new_task(&function, input, wishes.options) };
    gateway.calls.adopt(Outliving { task, started_at_ms, run, cancel }).await?;
    Ok(goes_on(id, Status::Running, false))
}

/// Runs a call through the durable queue.
async fn invoke_queued(
    gateway: &Arc<Gateway>,
    function: &Function,
    wishes: Wishes,
    received: Received,
) -> Result<Response, Problem> {
    let Wishes { encoding, prefer, options } = wishes;
    let input = Input { encoding, bytes: input_of(encoding, received.bytes).to_vec() };
    let (id, duplicate) = submit(gateway, new_task(function, input, options)).await?;
    drop(received.share);
    let until = match prefer {
        Prefer { respond_async: true, .. } => Some(Instant::now()),
        Prefer { wait, .. } => wait.map(|wait| Instant::now() + wait),
    };
    loop {
        let left = until.map_or(gateway.bounds.wait.0, |until| until.saturating_duration_since(Instant::now()));
        let state = task_view::wait_state(gateway, id, left).await?;
        if state.status.is_terminal() && !prefer.respond_async {
            let outcome = state.outcome.unwrap_or(Outcome::Succeeded);
            let logs = gateway.store.logs(id).await?.unwrap_or_default();
            let result = gateway.store.result(id).await?.unwrap_or_default().to_vec();
            return answer(gateway, id, encoding, Report { outcome, usage: state.usage, logs, result });
        }
        // The task is stored: a server that shuts down leaves it to the next one.
        if until.is_some_and(|until| until <= Instant::now()) || gateway.draining.is_cancelled() {
            return Ok(goes_on(id, state.status, duplicate));
        }
    }
}

fn goes_on(task_id: TaskId, status: Status, duplicate: bool) -> Response {
    let mut response = (StatusCode::ACCEPTED, Json(Submitted { task_id, status, duplicate })).into_response();
    name_task(&mut response, task_id);
    response
}

/// The bare result, or the failure as a problem.
fn answer(gateway: &Gateway, id: TaskId, encoding: Encoding, report: Report) -> Result<Response, Problem> {
    if !report.outcome.is_success() {
        if report.outcome == Outcome::Cancelled && gateway.draining.is_cancelled() {
            let detail = "the server shut down before the call ended; the call was cancelled";
            return Err(Problem::new(Kind::ShuttingDown, detail).with_task(id));
        }
        let described = api::Outcome::with_logs(report.outcome.clone(), report.usage, &report.logs);
        return Err(Problem::of_outcome(&report.outcome, described).with_task(id));
    }
    let mut response = Response::new(Body::from(report.result));
    let media_type = match encoding {
        Encoding::Json => HeaderValue::from_static(JSON),
        Encoding::Bincode => HeaderValue::from_static(api::BINCODE),
    };
    response.headers_mut().insert(header::CONTENT_TYPE, media_type);
    if let Ok(id) = HeaderValue::try_from(id.to_string()) {
        response.headers_mut().insert(api::TASK_ID_HEADER, id);
    }
    Ok(response)
}
