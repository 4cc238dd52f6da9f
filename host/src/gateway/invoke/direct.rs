//! A call that runs in the executor of this process, past the queue. Only when it outlives the
//! client's patience does the store learn of it.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use bulkhead_protocol::function::Function;
use bulkhead_protocol::id::TaskId;
use bulkhead_protocol::outcome::Report;
use bulkhead_protocol::task::{Encoding, Input, Status, Task};
use futures_util::future::BoxFuture;
use tokio_util::sync::CancellationToken;

use super::{Wishes, failed, goes_on, input_of, succeeded};
use crate::executor::{Call, Executor};
use crate::gateway::calls::{ONLY_ATTEMPT, Outliving};
use crate::gateway::problem::Problem;
use crate::gateway::state::{Gateway, unix_ms};
use crate::gateway::submission::new_task;

/// Runs a call without the queue.
pub(super) async fn run(
    gateway: &Arc<Gateway>,
    executor: &Executor,
    function: Arc<Function>,
    wishes: Wishes,
    body: Body,
) -> Result<Response, Problem> {
    let place = gateway.sync_place()?;
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
        let report = executor.run(call, cancel).await;
        return answer(gateway, id, wishes.encoding, report);
    };
    let executor = executor.clone();
    let token = cancel.clone();
    let share = received.share;
    let mut run: BoxFuture<'static, Report> = Box::pin(async move {
        // Held for as long as the call runs, also when it outlives this request.
        let _held = (place, share);
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

fn answer(gateway: &Gateway, id: TaskId, encoding: Encoding, report: Report) -> Result<Response, Problem> {
    if report.outcome.is_success() {
        return Ok(succeeded(id, encoding, Body::from(report.result)));
    }
    Err(failed(gateway, id, report.outcome, report.usage, &report.logs))
}
