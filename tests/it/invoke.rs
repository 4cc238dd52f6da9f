//! `/v1/functions/{ref}/invoke`: call and wait, or not.

use bulkhead_protocol::codec;
use bulkhead_tests::{Answer, Client, Options, Part, eventually};
use reqwest::Method;
use serde_json::{Value, json};

use crate::surroundings::{problem, server_with, task_ids};

fn invoke(client: &Client, function: &str, part: Part) -> Answer {
    client.call(Method::POST, &format!("/v1/functions/{function}/invoke"), part)
}

fn is_task_id(text: &str) -> bool {
    text.parse::<bulkhead_protocol::id::TaskId>().is_ok_and(|id| id.unix_ms().is_some())
}

#[test]
fn the_answer_is_the_bare_result_by_name_or_by_position() {
    let server = server_with(Options::default(), &["hello", "echo", "noop"]);
    let client = server.client();
    for arguments in [json!({"who": "Ada"}), json!(["Ada"])] {
        let answer = client.invoke("hello", &arguments).expect(200);
        assert_eq!(answer.text(), "\"Hello, Ada!\"");
        assert_eq!(answer.header("content-type"), "application/json");
        assert!(is_task_id(answer.header("bulkhead-task-id")), "{:?}", answer.headers);
    }
    // No body stands for no arguments, with and without a slash, with and without a media type.
    assert_eq!(client.call(Method::POST, "/v1/functions/noop/invoke/", Part::none()).expect(200).text(), "null");
    assert_eq!(invoke(&client, "noop", Part::typed("application/json; charset=utf-8", "")).expect(200).text(), "null");
    for value in [json!(null), json!("ü\u{0}\""), json!(1e300), json!({"a": {"b": [[], {}]}}), json!(u64::MAX)] {
        assert_eq!(client.invoke("echo", &json!([value])).expect(200).json(), value);
    }
    // A call that runs where it is answered and ends within its request is no task.
    let calls = if crate::SETTING.runs_where_it_answers() { 0 } else { 9 };
    assert_eq!(task_ids(&client).len(), calls);
    server.stop();
}

#[test]
fn bincode_goes_through_untouched() {
    let server = server_with(Options::default(), &["echo", "fibonacci"]);
    let client = server.client();
    let answer = invoke(&client, "fibonacci", Part::bincode(&(20u32,))).expect(200);
    assert_eq!(answer.header("content-type"), "application/x-bincode");
    assert_eq!(codec::decode::<u64>(&answer.body).expect("a number"), 6765);
    // A sequence of bytes: its length, and the bytes.
    for length in [0, 1, 250, 251, 70_000] {
        let bytes: Vec<u8> = (0..length).map(|index: u32| index as u8).collect();
        let input = codec::encode(&(bytes,)).expect("a tuple");
        let answer = invoke(&client, "echo", Part::typed("application/x-bincode", input.clone())).expect(200);
        assert!(answer.body == input, "{length} bytes came back as {} of {}", answer.body.len(), input.len());
    }
}

#[test]
fn who_prefers_not_to_wait_gets_a_task() {
    let server = server_with(Options::default(), &["sleep", "hello"]);
    let client = server.client();
    let part = Part::json(&json!({"who": "Ada"})).header("prefer", "respond-async");
    let answer = invoke(&client, "hello", part).expect(202);
    assert_eq!(answer.header("preference-applied"), "respond-async");
    let submitted = answer.json();
    let task = submitted["task_id"].as_str().expect("an id");
    assert_eq!(answer.header("location"), format!("/v1/tasks/{task}"));
    assert_eq!(client.result(task)["result"], "Hello, Ada!");

    // Longer than the wait: the very call goes on as a task.
    let answer = invoke(&client, "sleep", Part::json(&json!([5000])).header("prefer", "wait=1")).expect(202);
    assert_eq!((answer.header("preference-applied"), &answer.json()["status"]), ("wait=1", &json!("RUNNING")));
    let task = answer.header("bulkhead-task-id").to_owned();
    assert_eq!(client.result(&task)["result"], 5000);
    let described = client.get(answer.header("location")).expect(200).json();
    assert_eq!((&described["attempt"], &described["function"]), (&json!(1), &json!("sleep")));

    // Shorter than the wait: as if nothing had been preferred.
    let answer = invoke(&client, "sleep", Part::json(&json!([0])).header("prefer", "wait=30")).expect(200);
    assert_eq!((answer.header("preference-applied"), answer.text().as_str()), ("wait=30", "0"));
    server.stop();
}

#[test]
fn calls_with_one_idempotency_key_are_one_task() {
    let server = server_with(Options::default(), &["echo"]);
    let client = server.client();
    let call = |value: &Value| invoke(&client, "echo", Part::json(&json!([value])).header("idempotency-key", "k-1"));
    let first = call(&json!(1)).expect(200);
    let second = call(&json!(1)).expect(200);
    assert_eq!((first.text(), second.text()), ("1".to_owned(), "1".to_owned()));
    assert_eq!(task_ids(&client), [first.header("bulkhead-task-id")]);
    let conflict = problem(call(&json!(2)), 409, "idempotency-conflict");
    assert_eq!(conflict["detail"], "the idempotency key belongs to a task with another function or input");
}

#[test]
fn a_timeout_of_the_call_counts() {
    let server = server_with(Options::default(), &["sleep"]);
    let client = server.client();
    let answer = client.post("/v1/functions/sleep/invoke?timeout=200ms", &json!([60_000]));
    assert_eq!(answer.header("bulkhead-outcome"), "TimedOut");
    let problem = problem(answer, 504, "timed-out");
    assert_eq!(problem["detail"], "the function ran longer than its limit of 200 ms");
    assert_eq!(problem["outcome"]["limit_ms"], 200);
}

#[test]
fn more_synchronous_calls_than_the_bound_are_refused_and_the_others_go_on() {
    let options = Options::config("slots = 1\ngateway.sync_calls = 1\n");
    let server = server_with(options, &["sleep"]);
    let client = server.client();
    let busy = client.clone();
    let first = std::thread::spawn(move || busy.invoke("sleep", &json!([6000])).expect(200).json());
    // The call is no task, so its process is what there is to see of it.
    eventually("the call runs", || if server.processes().len() == 4 { Ok(()) } else { Err("not yet".into()) });
    let refused = client.invoke("sleep", &json!([0]));
    assert_eq!(refused.header("retry-after"), "1");
    let refused = problem(refused, 429, "too-many-requests");
    assert_eq!((&refused["limit"], &refused["limit_value"]), (&json!("sync_calls"), &json!(1)));
    assert_eq!(first.join().expect("the first call ends well"), 6000);
    assert_eq!(client.invoke("sleep", &json!([0])).expect(200).json(), 0);
}
