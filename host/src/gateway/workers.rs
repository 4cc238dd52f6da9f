//! `/v1/workers`: who runs tasks, and letting one of them leave.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{StatusCode, Uri};
use bulkhead_protocol::id::WorkerId;

use super::api::{Problem as ProblemBody, Timestamp, Worker, WorkerPage};
use super::problem::{Kind, Problem};
use super::query;
use super::state::Gateway;
use crate::dispatcher::DrainAsked;
use crate::store::WorkerRecord;

/// What follows a worker's id in the path by which it is drained.
const DRAIN: &str = ":drain";

/// Lists the workers that are connected to a dispatcher now, and the slots that dispatchers have
/// themselves (`local`).
#[utoipa::path(
    get, path = "/v1/workers", tag = "workers",
    responses((status = 200, description = "The workers.", body = WorkerPage)),
)]
pub(super) async fn list(State(gateway): State<Arc<Gateway>>, uri: Uri) -> Result<Json<WorkerPage>, Problem> {
    query::read(&uri, &[])?;
    let workers = gateway.store.workers().await?.into_iter().map(describe).collect();
    Ok(Json(WorkerPage { workers }))
}

/// Lets a worker finish what it has and leave; it gets no more tasks. The answer comes before it has
/// left: the listing says `draining` until it is gone.
#[utoipa::path(
    post, path = "/v1/workers/{id}:drain", tag = "workers",
    params(("id" = String, Path, description = "The worker.")),
    responses(
        (status = 202, description = "Its dispatcher was told; the worker as it was then.", body = Worker),
        (status = 404, description = "No such worker is connected.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "The slots of a dispatcher end with its process.", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn drain(
    State(gateway): State<Arc<Gateway>>,
    Path(segment): Path<String>,
    uri: Uri,
) -> Result<(StatusCode, Json<Worker>), Problem> {
    query::read(&uri, &[])?;
    // The router takes whole segments only.
    let Some(text) = segment.strip_suffix(DRAIN) else {
        let detail = format!("nothing is at /v1/workers/{segment:.64}; a worker drains by POST /v1/workers/ID:drain");
        return Err(Problem::new(Kind::UnknownPath, detail));
    };
    let unknown = || Problem::new(Kind::UnknownWorker, format!("no worker {text:.64} is connected"));
    let id: WorkerId = text.parse().map_err(|_| unknown())?;
    let worker = gateway.store.workers().await?.into_iter().find(|worker| worker.id == id);
    match gateway.dispatcher.drain_worker(id).await? {
        DrainAsked::Asked => Ok((StatusCode::ACCEPTED, Json(describe(worker.ok_or_else(unknown)?)))),
        DrainAsked::Unknown => Err(unknown()),
        DrainAsked::Local => {
            Err(Problem::invalid("id", "these are the slots of a dispatcher, which drain when its process is ended"))
        }
    }
}

fn describe(worker: WorkerRecord) -> Worker {
    Worker {
        worker_id: worker.id,
        name: worker.name,
        mode: worker.mode,
        slots: worker.slots,
        running: worker.running,
        draining: worker.draining,
        resting: worker.resting,
        since: Timestamp::from_unix_ms(worker.since_ms),
        dispatcher: worker.dispatcher,
    }
}
