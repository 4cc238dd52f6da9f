//! `POST /v1/tasks:batch`: many tasks in one request, one JSON document per line, an answer per line.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use bulkhead_protocol::task::Task;

use super::api::{self, BatchAnswer, GROUP_LABEL, Problem as ProblemBody, Submit};
use super::body::{Bound, read_json, require_media_type};
use super::front::REQUEST_ID;
use super::problem::{Kind, Problem};
use super::state::Gateway;
use super::submission::{Resolved, read_submitted, read_task};

/// Queues many calls: stored in one durable step, each line with an answer of its own.
#[utoipa::path(
    post, path = "/v1/tasks:batch", tag = "tasks",
    request_body(content = String, content_type = "application/x-ndjson", description = "A `Submit` document per line; empty lines are skipped."),
    responses(
        (status = 200, description = "A `BatchAnswer` document per line, in order.", body = BatchAnswer, content_type = "application/x-ndjson"),
        (status = 413, description = "Larger than a batch may be.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "No line, or more than a batch may have.", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn submit(State(gateway): State<Arc<Gateway>>, request: Request) -> Result<Response, Problem> {
    gateway.require_open()?;
    require_media_type(request.headers(), &[api::NDJSON, "application/ndjson", "application/jsonl"])?;
    let request_id = request.headers().get(REQUEST_ID).cloned();
    let request_id = request_id.as_ref().and_then(|id| id.to_str().ok()).unwrap_or_default();
    let bound = Bound { name: "batch_bytes", bytes: gateway.bounds.batch_bytes.0 };
    let received = gateway.receiver.receive(request.into_body(), bound).await?;
    let lines = || received.bytes.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty());
    let (count, most) = (lines().count(), gateway.bounds.batch_tasks);
    if !(1..=most).contains(&count) {
        return Err(Problem::invalid(
            "body",
            format!("{count} lines are not between 1 and {most}, the bound batch_tasks"),
        ));
    }
    let group_id = uuid::Uuid::now_v7().to_string();
    let mut answers = Vec::with_capacity(count);
    let mut tasks = Vec::with_capacity(count);
    let mut resolved = Resolved::default();
    for (index, line) in lines().enumerate() {
        let mut answer =
            BatchAnswer { index, group_id: group_id.clone(), task_id: None, duplicate: false, problem: None };
        match read_line(&gateway, line, &group_id, &mut resolved).await {
            Ok(task) => tasks.push((index, task)),
            // Nothing is stored yet, and no other line would fare better.
            Err(problem) if problem.kind() == Some(Kind::StoreUnavailable) => return Err(problem),
            Err(problem) => answer.problem = Some(problem.into_body(request_id)),
        }
        answers.push(answer);
    }
    store(&gateway, tasks, &mut answers, request_id).await?;
    let mut body = Vec::with_capacity(count * 128);
    for answer in &answers {
        // Strings, numbers and a closed enum: nothing in it can fail to be JSON.
        body.extend_from_slice(&serde_json::to_vec(answer).unwrap_or_default());
        body.push(b'\n');
    }
    let mut response = Body::from(body).into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(api::NDJSON));
    if let Ok(group_id) = HeaderValue::try_from(group_id) {
        response.headers_mut().insert(api::GROUP_ID_HEADER, group_id);
    }
    Ok(response)
}

async fn read_line(gateway: &Gateway, line: &[u8], group_id: &str, resolved: &mut Resolved) -> Result<Task, Problem> {
    let mut task = read_task(gateway, read_json::<Submit>(line)?, resolved).await?;
    task.options.labels.insert(GROUP_LABEL.to_owned(), group_id.to_owned());
    Ok(task)
}

/// Stores the tasks of a batch and writes what became of each into its answer.
async fn store(
    gateway: &Gateway,
    tasks: Vec<(usize, Task)>,
    answers: &mut [BatchAnswer],
    request_id: &str,
) -> Result<(), Problem> {
    let places: Vec<_> = tasks.iter().map(|(index, task)| (*index, task.id)).collect();
    let tasks: Vec<Task> = tasks.into_iter().map(|(_, task)| task).collect();
    if tasks.is_empty() {
        return Ok(());
    }
    let submitted = gateway.store.submit(tasks).await?;
    for ((index, id), submitted) in places.into_iter().zip(submitted) {
        let answer = &mut answers[index];
        match read_submitted(id, submitted) {
            Ok((task_id, duplicate)) => {
                answer.task_id = Some(task_id);
                answer.duplicate = duplicate;
            }
            Err(problem) => answer.problem = Some(problem.into_body(request_id)),
        }
    }
    Ok(())
}
