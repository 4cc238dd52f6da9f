use axum::routing::get;
use tower::ServiceExt;

use super::*;

fn front(hosts: Option<Vec<String>>) -> Front {
    let router = Router::new()
        .route("/ok", get(|headers: HeaderMap| async move { headers[REQUEST_ID].to_str().unwrap().to_owned() }))
        .route("/panic", get(|| async { panic!("secret") as String }))
        .route("/busy", get(|| async { Problem::new(Kind::TooManyRequests, "busy").with_task("t-1") }));
    Front::new(router, hosts)
}

async fn ask(hosts: Option<Vec<String>>, method: &str, path: &str, headers: &[(&str, &str)]) -> (Response, String) {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = front(hosts).oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    let (parts, body) = response.into_parts();
    let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
    (Response::from_parts(parts, Body::empty()), String::from_utf8(body.to_vec()).unwrap())
}

fn problem(response: &Response, body: &str) -> api::Problem {
    assert_eq!(response.headers()[header::CONTENT_TYPE], api::PROBLEM_JSON);
    let problem: api::Problem = serde_json::from_str(body).unwrap();
    assert_eq!(problem.status, response.status().as_u16());
    assert_eq!(problem.request_id, response.headers()[REQUEST_ID].to_str().unwrap());
    problem
}

#[tokio::test]
async fn a_fit_request_id_is_kept_and_another_replaced() {
    let longest = "a".repeat(MAX_REQUEST_ID_BYTES);
    for fit in ["abc-123", longest.as_str()] {
        let (response, seen) = ask(None, "GET", "/ok", &[("x-request-id", fit)]).await;
        assert_eq!((response.headers()[REQUEST_ID].to_str().unwrap(), seen.as_str()), (fit, fit));
    }
    let too_long = "a".repeat(MAX_REQUEST_ID_BYTES + 1);
    for unfit in ["", "a b", "<script>", too_long.as_str()] {
        let (response, seen) = ask(None, "GET", "/ok", &[("x-request-id", unfit)]).await;
        assert_eq!(response.headers()[REQUEST_ID].to_str().unwrap(), seen);
        assert_ne!(seen, unfit);
    }
}

#[test]
fn no_two_requests_share_an_id() {
    let ids = front(None).ids;
    assert_ne!(ids.next(), ids.next());
    assert_ne!(front(None).ids.next(), ids.next());
}

#[tokio::test]
async fn whatever_goes_wrong_is_a_problem() {
    let (response, body) = ask(None, "GET", "/nowhere", &[]).await;
    assert_eq!(problem(&response, &body).problem_type, "/errors/unknown-path");
    let (response, body) = ask(None, "DELETE", "/ok", &[]).await;
    assert_eq!(problem(&response, &body).problem_type, "/errors/method-not-allowed");
    assert_eq!(response.headers()[header::ALLOW], "GET,HEAD");
    let (response, body) = ask(None, "GET", "/panic", &[]).await;
    assert_eq!(problem(&response, &body).problem_type, "/errors/internal");
    assert!(!body.contains("secret"));
}

#[tokio::test]
async fn headers_repeat_what_the_body_says() {
    let (response, body) = ask(None, "GET", "/busy", &[]).await;
    assert!(problem(&response, &body).retryable);
    assert_eq!(response.headers()[header::RETRY_AFTER], "1");
    assert_eq!(response.headers()[api::TASK_ID_HEADER], "t-1");
}

#[tokio::test]
async fn a_server_on_loopback_answers_to_names_of_this_machine_only() {
    let status = async |host: &str, known: Option<Vec<String>>| {
        let (response, _) = ask(known, "GET", "/ok", &[("host", host)]).await;
        response.status().as_u16()
    };
    for own in
        ["localhost:8000", "127.0.0.1:8000", "127.0.0.1", "[::1]:8000", "bulkhead.localhost", "LOCALHOST", "localhost."]
    {
        assert_eq!(status(own, Some(Vec::new())).await, 200, "{own}");
    }
    for foreign in ["evil.example", "127.0.0.1.evil.example:8000", "[2001:db8::1]:8000", ""] {
        assert_eq!(status(foreign, Some(Vec::new())).await, 421, "{foreign}");
    }
    assert_eq!(status("faas.example:80", Some(vec!["FaaS.example".to_owned()])).await, 200);
    assert_eq!(status("evil.example", None).await, 200);
}
