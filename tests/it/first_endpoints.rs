//! Register, execute, status, result: the shapes that stay for ever.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bulkhead_protocol::codec;
use bulkhead_tests::{Client, Options};
use serde_json::{Value, json};

use crate::surroundings::{packages, server_with, start, without_usage};

fn register(client: &Client, slash: &str, name: &str, package: &[u8]) -> (u16, Value) {
    let document = json!({"name": name, "payload": STANDARD.encode(package)});
    let answer = client.post(&format!("/register_function{slash}"), &document);
    (answer.status, answer.json())
}

fn execute(client: &Client, slash: &str, document: &Value) -> String {
    let answer = client.post(&format!("/execute_function{slash}"), document).expect(201).json();
    assert_eq!(answer.as_object().expect("an object").len(), 1, "{answer}");
    answer["task_id"].as_str().expect("an id").to_owned()
}

fn result(client: &Client, slash: &str, task: &str) -> Value {
    client.get(&format!("/result/{task}{slash}?wait=60s")).expect(200).json()
}

#[test]
fn a_function_is_registered_executed_and_answers_with_and_without_a_slash() {
    let server = start(Options::default());
    let client = server.client();
    for (slash, status) in [("", 201), ("/", 200)] {
        let (answered, registered) = register(&client, slash, "hello", packages().get("hello"));
        assert_eq!(answered, status);
        assert_eq!((&registered["name"], &registered["version"]), (&json!("hello"), &json!(1)));
        let function = registered["function_id"].as_str().expect("an id");

        let task = execute(&client, slash, &json!({"function_id": function, "args": {"who": "Ada"}}));
        let answer = result(&client, slash, &task);
        assert_eq!(answer["task_id"], task);
        assert_eq!(answer["status"], "COMPLETED");
        assert_eq!(answer["result"], "Hello, Ada!");
        assert_eq!(without_usage(&answer["outcome"]), json!({"kind": "Succeeded"}));
        let status = client.get(&format!("/status/{task}{slash}")).expect(200).json();
        assert_eq!(status, json!({"task_id": task, "status": "COMPLETED"}));
    }
    server.stop();
}

#[test]
fn one_package_gives_functions_of_several_names_and_a_single_one_any_name() {
    let server = start(Options::default());
    let client = server.client();
    let (status, renamed) = register(&client, "", "greeter", packages().get("hello"));
    assert_eq!((status, &renamed["name"], &renamed["version"]), (201, &json!("greeter"), &json!(1)));
    let (status, reuse) = register(&client, "", "noop_reuse", packages().get("noop"));
    assert_eq!((status, &reuse["name"]), (201, &json!("noop_reuse")));
    let names: Vec<Value> = client.get("/v1/functions").json()["functions"]
        .as_array()
        .map(|functions| functions.iter().map(|function| function["name"].clone()).collect())
        .expect("a list");
    assert_eq!(names, ["greeter", "noop_reuse"]);
    assert_eq!(client.invoke("greeter", &json!(["Ada"])).expect(200).json(), "Hello, Ada!");
}

#[test]
fn arguments_in_bincode_get_a_result_in_bincode() {
    let server = server_with(Options::default(), &["hello", "fibonacci"]);
    let client = server.client();
    let call = |name: &str, payload: Vec<u8>| {
        let function = client.get(&format!("/v1/functions/{name}")).json()["function_id"].clone();
        let document = json!({"function_id": function, "payload": STANDARD.encode(payload)});
        let answer = result(&client, "", &execute(&client, "", &document));
        assert_eq!(answer["status"], "COMPLETED", "{answer}");
        STANDARD.decode(answer["result"].as_str().expect("base64")).expect("base64")
    };
    // As documented to the byte: a length of 3, and the letters; a length of 11, and the letters.
    assert_eq!(call("hello", b"\x03Ada".to_vec()), b"\x0bHello, Ada!");
    let number = call("fibonacci", codec::encode(&(20u32,)).expect("a tuple"));
    assert_eq!(codec::decode::<u64>(&number).expect("a number"), 6765);
}

#[test]
fn the_result_is_null_until_the_end_and_waiting_gets_it() {
    let server = server_with(Options::slots(1), &["sleep"]);
    let client = server.client();
    let function = client.get("/v1/functions/sleep").json()["function_id"].clone();
    // The second cannot begin before the first has ended.
    let first = execute(&client, "", &json!({"function_id": function, "args": [6000]}));
    let second = execute(&client, "", &json!({"function_id": function, "args": {"milliseconds": 0}}));
    let early = client.get(&format!("/result/{second}")).expect(200).json();
    assert_eq!(early, json!({"task_id": second, "status": "QUEUED", "result": null, "outcome": null}));
    let short = client.get(&format!("/result/{second}?wait=1ms")).expect(200).json();
    assert_eq!(short["result"], Value::Null);
    assert_eq!(result(&client, "", &second)["result"], 0);
    assert_eq!(result(&client, "", &first)["result"], 6000);
}

#[test]
fn a_failed_task_is_no_failed_request() {
    let server = server_with(Options::default(), &["fibonacci"]);
    let client = server.client();
    let function = client.get("/v1/functions/fibonacci").json()["function_id"].clone();
    let task = execute(&client, "", &json!({"function_id": function, "args": [51]}));
    let answer = result(&client, "", &task);
    assert_eq!((&answer["status"], &answer["result"]), (&json!("FAILED"), &Value::Null));
    let expected = json!({
        "kind": "FunctionError", "code": "n_too_large", "message": "expected n up to 50, found 51", "retryable": false,
    });
    assert_eq!(without_usage(&answer["outcome"]), expected);
}
