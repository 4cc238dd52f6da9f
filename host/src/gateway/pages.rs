//! What is no call: the landing page, health, and the pages behind the `type` of problems.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::header;
use axum::response::{Html, IntoResponse};
use serde::Serialize;
use utoipa::ToSchema;

use super::api::Problem as ProblemBody;
use super::problem::{Kind, Problem};
use super::state::{Gateway, SyncRuns};

/// How long the store may take to answer for the server to be ready.
const READY_WITHIN: Duration = Duration::from_secs(1);

/// The state of a server.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct Health {
    /// Always `ok`; a server that is not says so with another HTTP status.
    status: &'static str,
    /// The server's version.
    version: &'static str,
    /// Attempts that can run at once: here, or on all workers that are connected.
    slots: u32,
    /// Tasks that wait in the queue.
    queued: usize,
}

/// Greets people who open the server in a browser.
pub(super) async fn landing() -> Html<&'static str> {
    Html(include_str!("landing.html"))
}

/// Tells that the process is alive.
#[utoipa::path(get, path = "/healthz", tag = "server", responses((status = 200, description = "Alive.", body = String)))]
pub(super) async fn healthz() -> &'static str {
    "ok\n"
}

/// Tells whether the server can take work: the store answers. There may be no worker at the moment.
#[utoipa::path(
    get, path = "/readyz", tag = "server",
    responses(
        (status = 200, description = "Ready.", body = Health),
        (status = 503, description = "The store does not answer, or the server shuts down.", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn readyz(State(gateway): State<Arc<Gateway>>) -> Result<Json<Health>, Problem> {
    gateway.require_open()?;
    let late = |_| Problem::new(Kind::StoreUnavailable, "the store does not answer in time");
    tokio::time::timeout(READY_WITHIN, health(&gateway)).await.map_err(late)?.map(Json)
}

async fn health(gateway: &Gateway) -> Result<Health, Problem> {
    let queued = gateway.store.queued().await?;
    let slots = match &gateway.sync_runs {
        SyncRuns::Here(executor) => executor.slots(),
        SyncRuns::Queued => gateway.store.workers().await?.iter().map(|worker| worker.slots).sum(),
    };
    Ok(Health { status: "ok", version: env!("CARGO_PKG_VERSION"), slots, queued })
}

/// Explains a kind of problem.
#[utoipa::path(
    get, path = "/errors/{slug}", tag = "server",
    params(("slug" = String, Path, description = "The last part of a problem's `type`.")),
    responses(
        (status = 200, description = "The page, Markdown.", body = String, content_type = "text/plain"),
        (status = 404, description = "No such kind of problem.", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn error_page(Path(slug): Path<String>) -> Result<impl IntoResponse, Problem> {
    let kind = Kind::by_slug(&slug)
        .ok_or_else(|| Problem::new(Kind::UnknownPath, format!("there is no kind of problem {slug:.64}")))?;
    // Browsers show plain text and would download Markdown.
    Ok(([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], kind.page()))
}
