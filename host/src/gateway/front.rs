//! What every request passes first and every answer last: the request's id, the check of `Host`,
//! panics, and the writing of problems. One hand-written service rather than a stack of layers,
//! because a synchronous call is measured against an echo.

use std::convert::Infallible;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tower::Service;

use super::api;
use super::problem::{Kind, Problem};

/// Names a request in answers and in the log.
pub(super) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// A longer id of a client is replaced by one of ours.
const MAX_REQUEST_ID_BYTES: usize = 128;

/// The router behind what every request and answer passes.
#[derive(Clone)]
pub struct Front {
    /// Answers requests.
    router: Router,
    /// Names those who come without an id.
    ids: Arc<RequestIds>,
    /// Names that `Host` may have; any when none.
    hosts: Option<Arc<[String]>>,
}

/// Makes ids that no two requests of this server share.
struct RequestIds {
    /// Random for each process, so that ids of two runs differ.
    run: String,
    /// Requests so far.
    count: AtomicU64,
}

impl RequestIds {
    fn next(&self) -> HeaderValue {
        let count = self.count.fetch_add(1, Ordering::Relaxed);
        HeaderValue::from_maybe_shared(bytes::Bytes::from(format!("{}-{count:x}", self.run)))
            .unwrap_or(HeaderValue::from_static("unknown"))
    }
}

impl Front {
    /// Puts itself before `router`. `hosts`: names that `Host` may have beside those of this machine
    /// itself; none takes any name.
    pub(super) fn new(router: Router, hosts: Option<Vec<String>>) -> Self {
        let (run, _) = uuid::Uuid::new_v4().as_u64_pair();
        let ids = RequestIds { run: format!("{:08x}", run >> 32), count: AtomicU64::new(1) };
        Self { router, ids: Arc::new(ids), hosts: hosts.map(Into::into) }
    }
}

impl Service<Request> for Front {
    type Response = Response;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        // A router is always ready.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request) -> Self::Future {
        let id = match request.headers().get(&REQUEST_ID) {
            Some(id) if is_fit(id) => id.clone(),
            _ => {
                let id = self.ids.next();
                request.headers_mut().insert(REQUEST_ID, id.clone());
                id
            }
        };
        if let Some(hosts) = &self.hosts
            && let Err(problem) = check_host(request.headers(), hosts)
        {
            return Box::pin(async move { Ok(finish(problem.into_response(), id)) });
        }
        let answer = AssertUnwindSafe(self.router.call(request)).catch_unwind();
        Box::pin(async move {
            let response = match answer.await {
                Ok(Ok(response)) => response,
                Ok(Err(never)) => match never {},
                // The panic hook has logged where; what it says may hold what others sent.
                Err(_) => Problem::new(Kind::Internal, "the server failed; its log says why").into_response(),
            };
            Ok(finish(response, id))
        })
    }
}

fn is_fit(id: &HeaderValue) -> bool {
    let fit = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.:/+=".contains(byte);
    (1..=MAX_REQUEST_ID_BYTES).contains(&id.len()) && id.as_bytes().iter().all(fit)
}

/// A page that a browser loaded from elsewhere must not reach a server on loopback by renaming its
/// own address to 127.0.0.1 (DNS rebinding): such requests still carry the page's name in `Host`.
fn check_host(headers: &HeaderMap, known: &[String]) -> Result<(), Problem> {
    let Some(host) = headers.get(header::HOST) else { return Ok(()) };
    let host = host.to_str().unwrap_or_default();
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    let loopback = name == "localhost"
        || name.ends_with(".localhost")
        || name.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback());
    if loopback || known.iter().any(|known| known.eq_ignore_ascii_case(&name)) {
        return Ok(());
    }
    let detail = "this server listens on loopback only and does not answer to the name in `Host`; \
                  add the name to `allowed_hosts` if a proxy sends it";
    Err(Problem::new(Kind::MisdirectedRequest, detail))
}

/// Writes out problems and names the request in the answer.
fn finish(mut response: Response, id: HeaderValue) -> Response {
    if !response.status().is_success() {
        response = write_problem(response, &id);
    }
    response.headers_mut().insert(REQUEST_ID, id);
    response
}

fn write_problem(mut response: Response, id: &HeaderValue) -> Response {
    let status = response.status();
    let problem = match response.extensions_mut().remove::<Problem>() {
        Some(problem) => problem,
        None if status.is_client_error() || status.is_server_error() => of_status(status),
        None => return response,
    };
    let request_id = id.to_str().unwrap_or_default();
    let retry_after_s = problem.retry_after_s();
    let body = problem.into_body(request_id);
    // A function's failure is its caller's business, and its words can hold what the caller sent.
    if body.status >= 500 && body.outcome.is_none() {
        tracing::warn!(request_id, status = body.status, problem = body.problem_type, detail = body.detail, "answered");
    }
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(api::PROBLEM_JSON));
    headers.remove(header::CONTENT_LENGTH);
    if let Some(retry_after_s) = retry_after_s {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(retry_after_s));
    }
    if let Some(task) = body.task_id.as_deref().and_then(|task| HeaderValue::from_str(task).ok()) {
        headers.insert(api::TASK_ID_HEADER, task);
    }
    if let Some(outcome) = &body.outcome {
        headers.insert(api::OUTCOME_HEADER, HeaderValue::from_static(outcome.kind.name()));
    }
    // Strings, numbers and a closed enum: nothing in it can fail to be JSON.
    *response.body_mut() = Body::from(serde_json::to_vec(&body).unwrap_or_default());
    response
}

/// A problem for an answer that a library made, as axum does for a method that a path does not take.
fn of_status(status: StatusCode) -> Problem {
    match status {
        StatusCode::METHOD_NOT_ALLOWED => Problem::new(
            Kind::MethodNotAllowed,
            "the path does not take this method; `Allow` names those that it takes",
        ),
        StatusCode::NOT_FOUND => Problem::new(Kind::UnknownPath, "nothing is here; /docs lists what is"),
        status if status.is_client_error() => {
            Problem::new(Kind::MalformedRequest, "the request cannot be read").with_status(status)
        }
        status => Problem::new(Kind::Internal, "the server failed; its log says why").with_status(status),
    }
}

#[cfg(test)]
mod tests;
