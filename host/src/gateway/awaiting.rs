//! What a server answers while it waits for its store at the start: it lives, and is not ready.

use axum::Router;
use axum::routing::get;

use super::front::Front;
use super::pages;
use super::problem::{Kind, Problem};
use crate::config::Config;

/// Answers `/healthz` as ever and everything else as while the store is down.
pub fn awaiting_store(config: &Config) -> Front {
    let router = Router::new()
        .route("/healthz", get(pages::healthz))
        .route("/healthz/", get(pages::healthz))
        .fallback(|| async { Problem::new(Kind::StoreUnavailable, "the server starts, and waits for its store") });
    Front::new(router, config.host.is_loopback().then(|| config.allowed_hosts.clone()))
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::extract::Request;
    use axum::http::header;
    use tower::ServiceExt;

    use super::*;

    #[tokio::test]
    async fn it_lives_and_is_not_ready() {
        for (path, status) in [("/healthz", 200), ("/readyz", 503), ("/v1/tasks", 503)] {
            let request = Request::get(path).body(Body::empty()).unwrap();
            let answer = awaiting_store(&Config::default()).oneshot(request).await.unwrap();
            assert_eq!(answer.status().as_u16(), status, "{path}");
            assert_eq!(answer.headers().contains_key(header::RETRY_AFTER), status == 503, "{path}");
        }
    }
}
