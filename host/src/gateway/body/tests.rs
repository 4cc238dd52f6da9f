use std::time::Duration;

use axum::http::HeaderValue;
use futures_util::stream;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::*;
use crate::config::Size;
use crate::gateway::api::DurationText;

const BOUND: Bound = Bound { name: "test_bytes", bytes: 100_000 };

fn receiver(body_memory: u64, timeout: Duration) -> Receiver {
    let (body_memory, body_timeout) = (Size(body_memory), DurationText(timeout));
    Receiver::new(&GatewayBounds { body_memory, body_timeout, ..GatewayBounds::default() })
}

/// A body in pieces, of which no length is announced.
fn pieces(count: usize, bytes: usize) -> Body {
    Body::from_stream(stream::iter((0..count).map(move |_| Ok::<_, std::io::Error>(vec![7; bytes]))))
}

#[tokio::test]
async fn bodies_at_their_bound_are_taken_and_beyond_it_refused() {
    let receiver = receiver(1 << 20, Duration::from_secs(5));
    for body in [Body::from(vec![7; 100_000]), pieces(10, 10_000), pieces(1, 100_000)] {
        assert_eq!(receiver.receive(body, BOUND).await.unwrap().bytes.len(), 100_000);
    }
    assert!(receiver.receive(Body::empty(), BOUND).await.unwrap().bytes.is_empty());
    for body in [Body::from(vec![7; 100_001]), pieces(11, 10_000), pieces(1, 100_001)] {
        let told = receiver.receive(body, BOUND).await.unwrap_err().into_body("r");
        assert_eq!((told.status, told.limit.as_deref(), told.limit_value), (413, Some("test_bytes"), Some(100_000)));
    }
}

#[tokio::test]
async fn a_large_body_waits_for_memory_and_a_small_one_does_not() {
    let receiver = receiver(150_000, Duration::from_secs(5));
    let held = receiver.receive(Body::from(vec![7; 100_000]), BOUND).await.unwrap();
    assert!(held.share.is_some());
    let small = receiver.receive(Body::from(vec![7; 1000]), BOUND).await.unwrap();
    assert!(small.share.is_none());
    let mut second = Box::pin(receiver.receive(Body::from(vec![7; 100_000]), BOUND));
    assert!(futures_util::poll!(&mut second).is_pending());
    drop(held);
    assert_eq!(second.await.unwrap().bytes.len(), 100_000);
}

#[tokio::test]
async fn a_body_that_never_ends_is_given_up() {
    let receiver = receiver(1 << 20, Duration::from_millis(10));
    let endless = Body::from_stream(stream::pending::<Result<Vec<u8>, std::io::Error>>());
    assert_eq!(receiver.receive(endless, BOUND).await.unwrap_err().kind(), Some(Kind::RequestTimeout));
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Sample {
    name: String,
    #[serde(default)]
    args: Option<Box<RawValue>>,
    #[serde(default)]
    inner: Option<Inner>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Inner {
    max: u32,
}

fn refused(json: &str) -> crate::gateway::api::Problem {
    read_json::<Sample>(json.as_bytes()).unwrap_err().into_body("r")
}

#[test]
fn json_that_is_none_is_told_with_its_place() {
    let told = refused("{\"name\": \"a\",\n \"args\": nope}");
    assert_eq!((told.status, told.line), (400, Some(2)));
    assert!(told.column.is_some_and(|column| column > 9));
    for cut in ["", "{", "{\"name\": \"a\"} trailing", "{\"name\": \"\u{1}\"}"] {
        assert_eq!(refused(cut).status, 400, "{cut}");
    }
    assert_eq!(read_json::<Sample>(b"{\"name\": \"\xFF\"}").unwrap_err().into_body("r").status, 400);
}

#[test]
fn json_that_does_not_fit_names_the_field() {
    let cases = [
        ("{}", "name"),
        ("{\"name\": \"a\", \"nmae\": 1}", "nmae"),
        ("{\"name\": 1}", "name"),
        ("{\"name\": \"a\", \"name\": \"b\"}", "name"),
        ("{\"name\": \"a\", \"inner\": {}}", "inner.max"),
        ("{\"name\": \"a\", \"inner\": {\"max\": -1}}", "inner.max"),
        ("{\"name\": \"a\", \"inner\": {\"max\": 1, \"min\": 1}}", "inner.min"),
    ];
    for (json, field) in cases {
        let told = refused(json);
        assert_eq!((told.status, told.field.as_deref()), (422, Some(field)), "{json}: {}", told.detail);
    }
}

#[test]
fn arguments_pass_untouched() {
    let sample: Sample = read_json(b"{\"name\": \"a\", \"args\": {\"x\":  1e3 , \"y\":[ ]}}").unwrap();
    assert_eq!(sample.args.unwrap().get(), "{\"x\":  1e3 , \"y\":[ ]}");
    assert_eq!(sample.name, "a");
    let sample: Sample = read_json(b"{\"name\": \"a\", \"inner\": {\"max\": 7}}").unwrap();
    assert_eq!(sample.inner.map(|inner| inner.max), Some(7));
}

#[test]
fn media_types_are_compared_without_case_and_parameters() {
    let check = |given: Option<&'static str>| {
        let mut headers = HeaderMap::new();
        if let Some(given) = given {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(given));
        }
        require_media_type(&headers, &["application/json"])
    };
    assert!(check(Some("application/json")).is_ok());
    assert!(check(Some("Application/JSON; charset=utf-8")).is_ok());
    for other in [None, Some("text/plain"), Some("application/x-www-form-urlencoded")] {
        let told = check(other).unwrap_err().into_body("r");
        assert_eq!((told.status, told.known.as_slice()), (415, &["application/json".to_owned()][..]));
    }
}
