//! Which path goes to which handler.

use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::routing::{MethodRouter, get, post, put};
use utoipa_swagger_ui::SwaggerUi;

use super::front::Front;
use super::problem::{Kind, Problem};
use super::state::Gateway;
use super::{batch, first, functions, invoke, openapi, pages, tasks, workers};

/// The whole gateway as one service.
pub fn service(gateway: &Arc<Gateway>) -> Front {
    Front::new(routes().with_state(Arc::clone(gateway)), gateway.hosts.clone())
}

fn routes() -> Router<Arc<Gateway>> {
    let mut router = Router::new()
        .route("/", get(pages::landing))
        .merge(SwaggerUi::new("/docs").url("/openapi.json", openapi::document()))
        .fallback(unknown_path);
    for (path, methods) in table() {
        // The router matches whole segments: a verb behind an id is its handler's to read.
        let path = path.split_once("}:").map_or(path.to_owned(), |(before, _)| format!("{before}}}"));
        // With and without a trailing slash: the same handler, no redirect.
        router = router.route(&path, methods.clone()).route(&format!("{path}/"), methods);
    }
    router
}

/// Every path that is described in the OpenAPI document.
fn table() -> Vec<(&'static str, MethodRouter<Arc<Gateway>>)> {
    vec![
        ("/register_function", post(first::register_function)),
        ("/execute_function", post(first::execute_function)),
        ("/status/{task_id}", get(first::status)),
        ("/result/{task_id}", get(first::result)),
        ("/v1/functions", get(functions::list).post(functions::register)),
        ("/v1/functions/{reference}", get(functions::describe).delete(functions::remove)),
        ("/v1/functions/{reference}/versions", get(functions::versions)),
        ("/v1/functions/{reference}/aliases/{alias}", put(functions::set_alias)),
        ("/v1/functions/{reference}/invoke", post(invoke::invoke)),
        ("/v1/tasks", get(tasks::list).post(tasks::submit)),
        ("/v1/tasks:batch", post(batch::submit)),
        ("/v1/tasks/{id}", get(tasks::get).delete(tasks::cancel)),
        ("/v1/tasks/{id}/result", get(tasks::result)),
        ("/v1/tasks/{id}/logs", get(tasks::logs)),
        ("/v1/dead-letters", get(tasks::dead_letters)),
        ("/v1/workers", get(workers::list)),
        ("/v1/workers/{id}:drain", post(workers::drain)),
        ("/healthz", get(pages::healthz)),
        ("/readyz", get(pages::readyz)),
        ("/errors/{slug}", get(pages::error_page)),
    ]
}

async fn unknown_path(request: Request) -> Problem {
    let path = request.uri().path();
    Problem::new(Kind::UnknownPath, format!("nothing is at {path:.128}; /docs lists what is"))
}

#[cfg(test)]
mod tests;
