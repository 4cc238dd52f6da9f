//! `/v1/tasks`: submit with options, get, list, result, logs.

use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bulkhead_tests::{Client, Options, Part};
use reqwest::Method;
use serde_json::{Value, json};

use crate::surroundings::{function_id, server_with, task_ids};

fn ids(page: &Value) -> Vec<String> {
    let tasks = page["tasks"].as_array().expect("a list");
    tasks.iter().map(|task| task["task_id"].as_str().expect("an id").to_owned()).collect()
}

fn list(client: &Client, query: &str) -> Vec<String> {
    ids(&client.get(&format!("/v1/tasks?{query}")).expect(200).json())
}

#[test]
fn a_task_is_stored_run_and_described() {
    let server = server_with(Options::default(), &["hello"]);
    let client = server.client();
    let document = json!({
        "function": "hello", "args": {"who": "Ada"}, "timeout": "5s", "priority": "high", "result_ttl": "1h",
        "labels": {"team": "blue"}, "retry": {"max": 2, "backoff": "10ms"}, "idempotency_key": "once",
    });
    let answer = client.post("/v1/tasks", &document).expect(201);
    let task = answer.json()["task_id"].as_str().expect("an id").to_owned();
    assert_eq!(answer.header("location"), format!("/v1/tasks/{task}"));
    assert_eq!(answer.json(), json!({"task_id": task, "status": "QUEUED", "duplicate": false}));

    let described = client.get(&format!("/v1/tasks/{task}?wait=60s")).expect(200).json();
    let expected = json!({
        "task_id": task, "status": "COMPLETED", "function_id": function_id(&client, "hello"), "function": "hello",
        "encoding": "json", "attempt": 1, "priority": "high", "retry": {"max": 2, "backoff": "10ms"},
        "timeout_ms": 5000, "labels": {"team": "blue"}, "idempotency_key": "once",
    });
    for (member, value) in expected.as_object().expect("an object") {
        assert_eq!(described[member], *value, "{member} of {described}");
    }
    assert_eq!(described["outcome"]["kind"], "Succeeded");
    let moment = |member: &str| described[member].as_str().expect("a moment").to_owned();
    assert!(
        moment("submitted_at") <= moment("started_at") && moment("started_at") <= moment("ended_at"),
        "{described}"
    );
    assert!(described["outcome"]["usage"]["wall_us"].as_u64().is_some_and(|wall| wall > 0), "{described}");
    assert!(described["outcome"]["usage"]["peak_memory_bytes"].as_u64().is_some_and(|peak| peak > 0), "{described}");
    assert_eq!(client.get(&format!("/v1/tasks/{task}/result/")).expect(200).json()["result"], "Hello, Ada!");

    let again = client.post("/v1/tasks", &document).expect(200).json();
    assert_eq!(again, json!({"task_id": task, "status": "COMPLETED", "duplicate": true}));
    assert_eq!(task_ids(&client), [task]);
    server.stop();
}

#[test]
fn arguments_in_bincode_give_base64() {
    let server = server_with(Options::default(), &["hello"]);
    let client = server.client();
    let task = client.submit(&json!({"function": "hello", "payload": STANDARD.encode(b"\x03Ada")}));
    assert_eq!(client.result(&task)["result"], STANDARD.encode(b"\x0bHello, Ada!"));
    assert_eq!(client.get(&format!("/v1/tasks/{task}")).expect(200).json()["encoding"], "bincode");
}

#[test]
fn a_delayed_task_waits_for_its_time() {
    let server = server_with(Options::default(), &["hello"]);
    let client = server.client();
    let before_ms = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_millis();
    let task = client.submit(&json!({"function": "hello", "args": ["Ada"], "delay": "1200ms"}));
    let early = client.get(&format!("/v1/tasks/{task}")).expect(200).json();
    assert_eq!((&early["status"], &early["attempt"]), (&json!("QUEUED"), &json!(0)));
    assert!(early["not_before"].is_string(), "{early}");
    assert_eq!(client.result(&task)["result"], "Hello, Ada!");
    let took_ms = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_millis() - before_ms;
    assert!(took_ms >= 1200, "it ended after {took_ms} ms");
}

#[test]
fn a_retryable_error_is_tried_again_and_another_is_not() {
    let server = server_with(Options::default(), &["bank-transfer"]);
    let client = server.client();
    let transfer = |opens_at: u32, amount: u64| {
        client.submit(&json!({
            "function": "transfer", "retry": {"max": 3, "backoff": "10ms"},
            "args": {
                "balances": {"ada": 500, "bob": 20}, "from": "ada", "to": "bob", "amount": amount,
                "opens_at_attempt": opens_at,
            },
        }))
    };
    let attempts = |task: &str| client.get(&format!("/v1/tasks/{task}")).expect(200).json()["attempt"].clone();
    let third = transfer(3, 80);
    assert_eq!(client.result(&third)["result"], json!({"balances": {"ada": 420, "bob": 100}, "attempt": 3}));
    assert_eq!(attempts(&third), 3);
    let never = transfer(9, 80);
    assert_eq!(client.result(&never)["outcome"]["code"], "closed");
    assert_eq!(attempts(&never), 4);
    let poor = transfer(1, 501);
    assert_eq!(client.result(&poor)["outcome"]["code"], "insufficient_funds");
    assert_eq!(attempts(&poor), 1);
}

#[test]
fn the_list_has_filters_and_pages() {
    let server = server_with(Options::default(), &["hello", "fibonacci"]);
    let client = server.client();
    let mut hellos = Vec::new();
    for index in 0..5 {
        let team = if index % 2 == 0 { "blue" } else { "red" };
        let labels = json!({"team": team, "index": index.to_string()});
        hellos.push(client.submit(&json!({"function": "hello", "args": ["Ada"], "labels": labels})));
    }
    let failing = client.submit(&json!({"function": "fibonacci", "args": [51]}));
    hellos.iter().chain([&failing]).for_each(|task| drop(client.result(task)));
    hellos.reverse();
    assert_eq!(list(&client, "function=hello"), hellos);
    assert_eq!(list(&client, "status=completed"), hellos);
    assert_eq!(list(&client, "status=FAILED"), std::slice::from_ref(&failing));
    assert_eq!(list(&client, "label.team=red"), [hellos[1].clone(), hellos[3].clone()]);
    assert_eq!(list(&client, "label.team=red&label.index=3"), [hellos[1].clone()]);
    assert_eq!(list(&client, "label.team=green"), Vec::<String>::new());
    assert_eq!(list(&client, "since=1h").len(), 6);
    assert_eq!(list(&client, "since=2999-01-01T00:00:00Z"), Vec::<String>::new());

    let mut paged = Vec::new();
    let mut path = "/v1/tasks?limit=2".to_owned();
    loop {
        let page = client.get(&path).expect(200).json();
        assert!(ids(&page).len() <= 2, "{page}");
        paged.extend(ids(&page));
        let Some(cursor) = page["cursor"].as_str() else { break };
        path = format!("/v1/tasks?limit=2&cursor={cursor}");
    }
    let all: Vec<String> = [failing].into_iter().chain(hellos).collect();
    assert_eq!(paged, all);
}

#[test]
fn logs_are_what_the_function_printed() {
    let server = server_with(Options::default(), &["faulty", "bank-transfer"]);
    let client = server.client();
    let task = client.submit(&json!({"function": "stderr_flood", "args": {"bytes": 128}}));
    assert_eq!(client.result(&task)["result"], 128);
    let line = "the flood is rising, and it rises, and it rises, and it rises...";
    let logs = client.get(&format!("/v1/tasks/{task}/logs")).expect(200).json();
    let expected = json!({"task_id": task, "attempt": 1, "stdout": "", "stderr": line.repeat(2), "truncated": false});
    assert_eq!(logs, expected);

    let args = json!({"balances": {"ada": 5, "bob": 0}, "from": "ada", "to": "bob", "amount": 5});
    let task = client.submit(&json!({"function": "transfer", "args": args}));
    client.result(&task);
    let logs = client.get(&format!("/v1/tasks/{task}/logs/")).expect(200).json();
    let printed = format!("{}{}", logs["stdout"].as_str().expect("text"), logs["stderr"].as_str().expect("text"));
    assert!(printed.contains("moved 5 cents"), "{logs}");
}

#[test]
fn progress_is_seen_while_it_runs() {
    let server = server_with(Options::default(), &["sleep"]);
    let client = server.client();
    let task = client.submit(&json!({"function": "sleep", "args": [20_000]}));
    let progress = bulkhead_tests::eventually("progress", || {
        let task = client.get(&format!("/v1/tasks/{task}")).expect(200).json();
        if task["progress"].is_object() { Ok(task["progress"].clone()) } else { Err(task.to_string()) }
    });
    assert_eq!(progress["message"], "asleep");
    assert!(progress["fraction"].as_f64().is_some_and(|fraction| (0.1..=1.0).contains(&fraction)), "{progress}");
    client.call(Method::DELETE, &format!("/v1/tasks/{task}"), Part::none()).expect(200);
}
