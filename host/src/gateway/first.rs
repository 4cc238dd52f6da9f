//! The four first endpoints: register, execute, status, result.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, Request, State};
use axum::http::{StatusCode, Uri};
use bulkhead_protocol::function::check_name;
use bulkhead_protocol::task::TaskOptions;
use bytes::Bytes;

use super::api::{ExecuteRequest, ExecuteResponse, Problem as ProblemBody, RegisterRequest, RegisterResponse};
use super::api::{ResultResponse, StatusResponse};
use super::body::{read_json, require_media_type};
use super::problem::{Kind, Problem};
use super::registration::{self, Selection};
use super::state::{Gateway, in_base64};
use super::submission::{decode_base64, new_task, read_input, submit};
use super::{query, task_view};

const JSON: &[&str] = &["application/json"];

/// Registers one function of a package.
#[utoipa::path(
    post, path = "/register_function", tag = "first endpoints", request_body = RegisterRequest,
    responses(
        (status = 201, description = "Registered.", body = RegisterResponse),
        (status = 200, description = "The newest version of the name was this function already.", body = RegisterResponse),
        (status = 400, description = "Malformed JSON, base64 or package.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 413, description = "Larger than a package may be.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "A field is missing, or the package is refused.", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn register_function(
    State(gateway): State<Arc<Gateway>>,
    request: Request,
) -> Result<(StatusCode, Json<RegisterResponse>), Problem> {
    require_media_type(request.headers(), JSON)?;
    let received = gateway.receiver.receive(request.into_body(), in_base64(gateway.package_bound())).await?;
    let asked: RegisterRequest = read_json(&received.bytes)?;
    drop(received.bytes);
    check_name(&asked.name).map_err(|error| Problem::invalid("name", error.to_string()))?;
    let package = Bytes::from(decode_base64("payload", &asked.payload)?);
    drop(asked.payload);
    let selection = Selection { name: Some(asked.name), alias: None };
    let (_, registered) = registration::register(&gateway, package, received.share, selection).await?;
    let registered = registered.into_iter().next();
    let registered = registered.ok_or_else(|| Problem::new(Kind::Internal, "the store gave no answer"))?;
    let status = if registered.created { StatusCode::CREATED } else { StatusCode::OK };
    let function = registered.function;
    let answer = RegisterResponse { function_id: function.id, name: function.name.clone(), version: function.version };
    Ok((status, Json(answer)))
}

/// Queues a call of a function.
#[utoipa::path(
    post, path = "/execute_function", tag = "first endpoints", request_body = ExecuteRequest,
    responses(
        (status = 201, description = "Stored and queued.", body = ExecuteResponse),
        (status = 400, description = "Unknown function, or malformed JSON or base64.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 413, description = "Larger than an input may be.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "A field is missing or unknown.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 429, description = "The queue is full.", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn execute_function(
    State(gateway): State<Arc<Gateway>>,
    request: Request,
) -> Result<(StatusCode, Json<ExecuteResponse>), Problem> {
    require_media_type(request.headers(), JSON)?;
    let received = gateway.receiver.receive(request.into_body(), in_base64(gateway.input_bound())).await?;
    let asked: ExecuteRequest = read_json(&received.bytes)?;
    let input = read_input(asked.args.as_deref(), asked.payload.as_deref(), gateway.input_bound())?;
    let unknown = || {
        let detail = format!("there is no function with the id {:.64}", asked.function_id);
        Problem::new(Kind::UnknownFunction, detail).with_status(StatusCode::BAD_REQUEST)
    };
    let id = asked.function_id.parse().map_err(|_| unknown())?;
    let function = gateway.store.function(id).await?.ok_or_else(unknown)?;
    let (task_id, _) = submit(&gateway, new_task(&function, input, TaskOptions::default())).await?;
    Ok((StatusCode::CREATED, Json(ExecuteResponse { task_id })))
}

/// Tells how far a task has come.
#[utoipa::path(
    get, path = "/status/{task_id}", tag = "first endpoints", params(("task_id" = String, Path, description = "The task.")),
    responses(
        (status = 200, description = "How far it has come.", body = StatusResponse),
        (status = 404, description = "Unknown task.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 410, description = "The task ended too long ago.", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn status(
    State(gateway): State<Arc<Gateway>>,
    Path(id): Path<String>,
    uri: Uri,
) -> Result<Json<StatusResponse>, Problem> {
    query::read(&uri, &[])?;
    let task_id = task_view::parse_id(&id)?;
    match gateway.store.state(task_id).await? {
        Some(state) => Ok(Json(StatusResponse { task_id, status: state.status })),
        None => Err(task_view::missing(&gateway, task_id).await?),
    }
}

/// Gives a task's result; null until the task has ended.
#[utoipa::path(
    get, path = "/result/{task_id}", tag = "first endpoints",
    params(
        ("task_id" = String, Path, description = "The task."),
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
