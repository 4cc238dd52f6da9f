//! A call that goes through the durable queue: stored, awaited, answered.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use bulkhead_protocol::function::Function;
use bulkhead_protocol::id::TaskId;
use bulkhead_protocol::outcome::{Logs, Outcome};
use bulkhead_protocol::task::{Encoding, Input, Status, Task};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{Wishes, failed, goes_on, input_of, succeeded};
use crate::gateway::body::Received;
use crate::gateway::prefer::Prefer;
use crate::gateway::problem::{Kind, Problem};
use crate::gateway::state::Gateway;
use crate::gateway::submission::{new_task, submit as store_task};
use crate::gateway::task_view;
use crate::store::Standing;
use crate::telemetry::stage::{self, Stage};

/// Wait before the store is asked again after it failed to say how far a call has come.
const ASK_AGAIN: Duration = Duration::from_millis(500);
/// How long the store may be down before a client who waits is told that its call goes on. Longer than
/// a store takes to restart.
const OUTAGE_PATIENCE: Duration = Duration::from_secs(30);

/// Runs a call whose client wants it stored: it goes on whatever the client does.
pub(super) async fn submit(
    gateway: &Arc<Gateway>,
    function: &Function,
    wishes: Wishes,
    body: Body,
) -> Result<Response, Problem> {
    let received = gateway.receiver.receive(body, gateway.input_bound()).await?;
    let (encoding, prefer) = (wishes.encoding, wishes.prefer);
    let task = task_of(function, wishes, &received);
    let (id, duplicate) = store_task(gateway, task).await?;
    drop(received);
    let call = Call { id, duplicate, encoding, prefer };
    // Its client knows how to ask for it again: a server that shuts down does not wait for it.
    follow(gateway, call, &gateway.draining).await
}

/// Runs a call whose client only wants its result: one that goes away before the answer cancels it.
pub(super) async fn run(
    gateway: &Arc<Gateway>,
    function: &Function,
    wishes: Wishes,
    body: Body,
) -> Result<Response, Problem> {
    let place = gateway.sync_place()?;
    let received = gateway.receiver.receive(body, gateway.input_bound()).await?;
    let (encoding, prefer) = (wishes.encoding, wishes.prefer);
    let task = task_of(function, wishes, &received);
    let id = task.id;
    // Before the task is stored: the client may leave while it is.
    let mut abandoned = Abandoned { gateway, task: Some(id), place: Some(place) };
    let stored = store_task(gateway, task).await;
    drop(received);
    let answer = match stored {
        Ok((id, duplicate)) => follow(gateway, Call { id, duplicate, encoding, prefer }, &gateway.grace_over).await,
        Err(problem) => Err(problem),
    };
    abandoned.task = None;
    answer
}

fn task_of(function: &Function, wishes: Wishes, received: &Received) -> Task {
    let bytes = input_of(wishes.encoding, received.bytes.clone()).to_vec();
    new_task(function, Input { encoding: wishes.encoding, bytes }, wishes.options)
}

/// A stored call.
struct Call {
    /// Its task.
    id: TaskId,
    /// Whether the task was there before.
    duplicate: bool,
    /// How its input and result are written.
    encoding: Encoding,
    /// What its client prefers.
    prefer: Prefer,
}

/// Waits for the end of a call for as long as its client wants to, or until `stop` is cancelled, and
/// answers.
async fn follow(gateway: &Gateway, call: Call, stop: &CancellationToken) -> Result<Response, Problem> {
    let Call { id, duplicate, encoding, prefer } = call;
    let until = match prefer {
        Prefer { respond_async: true, .. } => Some(Instant::now()),
        Prefer { wait, .. } => wait.map(|wait| Instant::now() + wait),
    };
    let mut status = Status::Queued;
    let mut down_since = None;
    loop {
        let now = Instant::now();
        let left = until.map_or(gateway.bounds.wait.0, |until| until.saturating_duration_since(now));
        match task_view::wait_for_result(gateway, id, left, stop).await {
            Ok(standing) if standing.state.status.is_terminal() && !prefer.respond_async => {
                return ended(gateway, id, encoding, standing).await;
            }
            Ok(standing) => {
                status = standing.state.status;
                down_since = None;
            }
            // The task is stored, and its client was not told so yet: a failure would have it called again.
            Err(problem) if problem.kind() == Some(Kind::StoreUnavailable) => {
                let since = *down_since.get_or_insert(now);
                if now.saturating_duration_since(since) > OUTAGE_PATIENCE {
                    return Ok(goes_on(id, status, duplicate));
                }
                tokio::time::sleep(ASK_AGAIN).await;
            }
            Err(problem) => return Err(problem),
        }
        // A server that shuts down leaves the task to the next one.
        if until.is_some_and(|until| until <= Instant::now()) || stop.is_cancelled() {
            return Ok(goes_on(id, status, duplicate));
        }
    }
}

async fn ended(gateway: &Gateway, id: TaskId, encoding: Encoding, standing: Standing) -> Result<Response, Problem> {
    let Standing { state, completed } = standing;
    if let Some(completed) = completed {
        stage::reached(Stage::Answered, id);
        return Ok(succeeded(id, encoding, Body::from(completed.result)));
    }
    let outcome = state.outcome.unwrap_or(Outcome::Succeeded);
    let logs = match outcome {
        Outcome::Cancelled => Logs::default(),
        _ => gateway.store.logs(id).await?.unwrap_or_default(),
    };
    Err(failed(gateway, id, outcome, state.usage, &logs))
}

/// Cancels a task when it is dropped: its client went away.
struct Abandoned<'a> {
    /// Cancels.
    gateway: &'a Arc<Gateway>,
    /// What to cancel; none once there is an answer.
    task: Option<TaskId>,
    /// Its place among the synchronous calls, which it has until it is cancelled.
    place: Option<OwnedSemaphorePermit>,
}

impl Drop for Abandoned<'_> {
    fn drop(&mut self) {
        let Some(task) = self.task else { return };
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let (gateway, place) = (Arc::clone(self.gateway), self.place.take());
        runtime.spawn(async move {
            let _place = place;
            // Whether it was in time is of no interest to anybody any more.
            gateway.dispatcher.cancel(task).await
        });
    }
}
