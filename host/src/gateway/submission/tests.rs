use super::*;
use crate::gateway::api::Retry;

const BOUND: Bound = Bound { name: "input_bytes", bytes: 8 };
const LONGEST: DurationText = DurationText(Duration::from_secs(3600));

fn input(args: Option<&str>, payload: Option<&str>) -> Result<Input, (u16, Option<String>)> {
    let args = args.map(|args| RawValue::from_string(args.to_owned()).unwrap());
    read_input(args.as_deref(), payload, BOUND).map_err(|problem| {
        let told = problem.into_body("r");
        (told.status, told.field)
    })
}

#[test]
fn an_input_comes_in_one_of_two_forms() {
    let json = input(Some("{\"a\":1}"), None).unwrap();
    assert_eq!((json.encoding, json.bytes.as_slice()), (Encoding::Json, &b"{\"a\":1}"[..]));
    let bincode = input(None, Some("/wAB")).unwrap();
    assert_eq!((bincode.encoding, bincode.bytes), (Encoding::Bincode, vec![0xFF, 0, 1]));
    assert_eq!(input(None, None), Err((422, Some("args".to_owned()))));
    assert_eq!(input(Some("1"), Some("AA==")), Err((422, Some("payload".to_owned()))));
}

#[test]
fn base64_may_lack_padding_and_nothing_else() {
    for text in ["AA==", "AA"] {
        assert_eq!(input(None, Some(text)).unwrap().bytes, [0]);
    }
    for wrong in ["A", "A*==", "AA===", "A A=", "_w=="] {
        assert_eq!(input(None, Some(wrong)), Err((400, None)), "{wrong}");
    }
}

#[test]
fn an_input_has_a_bound() {
    assert!(input(Some("12345678"), None).is_ok());
    assert_eq!(input(Some("123456789"), None), Err((413, None)));
    assert_eq!(input(None, Some("AAAAAAAAAAAA")), Err((413, None)));
}

fn options(submit: Submit) -> Result<TaskOptions, String> {
    read_options(&submit, LONGEST).map_err(|problem| problem.into_body("r").field.unwrap())
}

fn seconds(seconds: u64) -> Option<DurationText> {
    Some(DurationText(Duration::from_secs(seconds)))
}

#[test]
fn absent_options_take_their_defaults() {
    assert_eq!(options(Submit::default()).unwrap(), TaskOptions::default());
    let now = options(Submit { delay: seconds(0), ..Submit::default() }).unwrap();
    assert_eq!(now.not_before_ms, None);
}

#[test]
fn options_arrive_in_milliseconds() {
    let retry = Some(Retry { max: 3, backoff: seconds(2) });
    let before_ms = unix_ms();
    let asked = Submit { timeout: seconds(5), delay: seconds(60), result_ttl: seconds(9), retry, ..Submit::default() };
    let options = options(asked).unwrap();
    assert_eq!((options.timeout_ms, options.result_ttl_ms), (Some(5000), Some(9000)));
    assert_eq!(options.retry, RetryPolicy { max: 3, backoff_ms: 2000 });
    assert!(options.not_before_ms.unwrap() >= before_ms + 60_000);
}

#[test]
fn durations_and_retries_hold_at_and_beyond_their_edges() {
    let with = |field: &str, value: Option<DurationText>| match field {
        "timeout" => Submit { timeout: value, ..Submit::default() },
        "delay" => Submit { delay: value, ..Submit::default() },
        "result_ttl" => Submit { result_ttl: value, ..Submit::default() },
        _ => Submit { retry: Some(Retry { max: 1, backoff: value }), ..Submit::default() },
    };
    let month = MAX_DELAY.as_secs();
    for (field, most) in [("timeout", 3600), ("delay", month), ("result_ttl", month), ("retry.backoff", 3600)] {
        assert!(options(with(field, seconds(most))).is_ok(), "{field}");
        assert_eq!(options(with(field, seconds(most + 1))), Err(field.to_owned()));
    }
    assert_eq!(options(with("timeout", seconds(0))), Err("timeout".to_owned()));
    let retries = |max| options(Submit { retry: Some(Retry { max, backoff: None }), ..Submit::default() });
    assert!(retries(MAX_RETRIES).is_ok());
    assert_eq!(retries(MAX_RETRIES + 1), Err("retry.max".to_owned()));
}

#[test]
fn labels_and_keys_hold_at_and_beyond_their_edges() {
    let labels =
        |pairs: Vec<(String, String)>| options(Submit { labels: pairs.into_iter().collect(), ..Submit::default() });
    let many = |count: usize| (0..count).map(|index| (format!("k{index}"), String::new())).collect();
    assert!(labels(many(MAX_LABELS)).is_ok());
    assert_eq!(labels(many(MAX_LABELS + 1)), Err("labels".to_owned()));
    assert!(labels(vec![("k".repeat(MAX_LABEL_KEY_BYTES), "v".repeat(MAX_LABEL_VALUE_BYTES))]).is_ok());
    assert!(labels(vec![("k".repeat(MAX_LABEL_KEY_BYTES + 1), String::new())]).is_err());
    assert!(labels(vec![(String::new(), String::new())]).is_err());
    assert_eq!(labels(vec![("k".to_owned(), "v".repeat(MAX_LABEL_VALUE_BYTES + 1))]), Err("labels.k".to_owned()));
    assert!(labels(vec![(GROUP_LABEL.to_owned(), String::new())]).is_err());
    let key = |bytes: usize| options(Submit { idempotency_key: Some("k".repeat(bytes)), ..Submit::default() });
    assert!(key(1).is_ok() && key(MAX_IDEMPOTENCY_KEY_BYTES).is_ok());
    assert!(key(0).is_err() && key(MAX_IDEMPOTENCY_KEY_BYTES + 1).is_err());
}

#[test]
fn what_the_store_says_reaches_the_client() {
    let (id, earlier) = (TaskId(uuid::Uuid::from_u128(1)), TaskId(uuid::Uuid::from_u128(2)));
    assert_eq!(read_submitted(id, Submitted::Stored).unwrap(), (id, false));
    assert_eq!(read_submitted(id, Submitted::Duplicate(earlier)).unwrap(), (earlier, true));
    let conflict = read_submitted(id, Submitted::Conflict(earlier)).unwrap_err().into_body("r");
    assert_eq!((conflict.status, conflict.task_id), (409, Some(earlier.to_string())));
    let full = read_submitted(id, Submitted::QueueFull).unwrap_err();
    assert_eq!((full.status().as_u16(), full.retry_after_s()), (429, Some(1)));
}
