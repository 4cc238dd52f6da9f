//! `/v1/workers` and `bulkhead workers`: who runs tasks.

use bulkhead_tests::Options;
use reqwest::Method;
use serde_json::{Value, json};

use crate::surroundings::{problem, server_with};

/// The id of the slots of a dispatcher itself.
const OWN_SLOTS: &str = "00000000-0000-0000-0000-000000000000";

#[test]
fn who_runs_tasks_is_listed() {
    let server = server_with(Options::slots(3), &["hello"]);
    let client = server.client();
    let listed = bulkhead_tests::eventually("there is somebody", || {
        let listed = client.get("/v1/workers").expect(200).json();
        if listed["workers"].as_array().is_some_and(|workers| workers.len() == 1) {
            Ok(listed)
        } else {
            Err(listed.to_string())
        }
    });
    let worker = &listed["workers"][0];
    assert_eq!((&worker["mode"], &worker["slots"]), (&json!(crate::SETTING.mode.as_str()), &json!(3)), "{worker}");
    assert_eq!(worker["draining"], false, "{worker}");
    assert_eq!(worker["worker_id"] == OWN_SLOTS, crate::SETTING.runs_where_it_answers(), "{worker}");
    let task = client.submit(&json!({"function": "hello", "args": ["Ada"]}));
    client.result(&task);
    assert_eq!(client.get(&format!("/v1/tasks/{task}")).expect(200).json()["worker_id"], worker["worker_id"]);
    let said = server.cli(&["workers", "ls", "--json"]).expect(0).json();
    assert_eq!(said.as_array().map(Vec::len), Some(1), "{said}");
    assert_eq!(said[0]["worker_id"], worker["worker_id"]);
    server.stop();
}

#[test]
fn a_worker_that_is_not_there_cannot_be_drained() {
    let server = server_with(Options::slots(1), &[]);
    let client = server.client();
    let drain = |id: &str| client.call(Method::POST, &format!("/v1/workers/{id}:drain"), bulkhead_tests::Part::none());
    problem(drain("01936f5e-8f6a-7b3c-9d4e-5f6a7b8c9d0e"), 404, "unknown-worker");
    problem(drain("nobody"), 404, "unknown-worker");
    let refused = server.cli(&["workers", "drain", "01936f5e-8f6a-7b3c-9d4e-5f6a7b8c9d0e"]).expect(1);
    assert!(refused.stderr.contains("unknown worker"), "{}", refused.stderr);
    assert_ne!(client.get("/readyz").expect(200).json()["slots"], Value::Null);
    server.stop();
}
