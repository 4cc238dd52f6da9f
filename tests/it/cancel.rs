//! Cancelling: a queued task never runs, a running one is dead before the answer says so.

use bulkhead_tests::{Client, Options, eventually};
use serde_json::{Value, json};

use crate::surroundings::{problem, server_with, without_usage};

fn submit_sleep(client: &Client, milliseconds: u64) -> String {
    client.submit(&json!({"function": "sleep", "args": [milliseconds]}))
}

fn wait_until_running(client: &Client, task: &str) {
    eventually("the task runs", || {
        let status = client.get(&format!("/status/{task}")).expect(200).json();
        if status["status"] == "RUNNING" { Ok(()) } else { Err(status.to_string()) }
    });
}

fn cancel(client: &Client, task: &str) -> Value {
    let answer = client.delete(&format!("/v1/tasks/{task}")).expect(200).json();
    assert_eq!((&answer["task_id"], &answer["status"]), (&json!(task), &json!("FAILED")));
    assert_eq!(without_usage(&answer["outcome"]), json!({"kind": "Cancelled"}));
    answer
}

#[test]
fn a_queued_task_never_runs() {
    let server = server_with(Options::slots(1), &["sleep"]);
    let client = server.client();
    let running = submit_sleep(&client, 60_000);
    wait_until_running(&client, &running);
    let queued = submit_sleep(&client, 1);
    let cancelled = cancel(&client, &queued);
    assert_eq!((&cancelled["attempt"], &cancelled["started_at"]), (&json!(0), &Value::Null));
    // Cancelled before: the same answer again.
    assert_eq!(cancel(&client, &queued), cancelled);
    cancel(&client, &running);
    // The slot is free again, and the cancelled one did not take it.
    let last = submit_sleep(&client, 1);
    assert_eq!(client.result(&last)["result"], 1);
    assert_eq!(client.get(&format!("/v1/tasks/{queued}")).expect(200).json()["attempt"], 0);
    server.stop();
}

#[test]
fn the_process_of_a_running_task_is_gone_before_the_answer() {
    let server = server_with(Options::slots(1), &["sleep", "faulty"]);
    let client = server.client();
    for (function, arguments) in [("sleep", json!([60_000])), ("spins_blocking_all_signals", json!([]))] {
        let task = client.submit(&json!({"function": function, "args": arguments}));
        let before = eventually("the function itself runs", || {
            let said = client.get(&format!("/v1/tasks/{task}")).expect(200).json()["progress"].is_object();
            let processes = server.processes();
            // Starting a runner takes less than a fifth of a second of the processor.
            let busy = processes.iter().any(|process| process.cpu_ticks >= 20);
            if said || busy { Ok(processes) } else { Err(format!("{processes:?}")) }
        });
        cancel(&client, &task);
        let gone = before.iter().filter(|process| process.is_gone().is_ok()).count();
        assert_eq!(gone, 1, "of {before:?} the child and nothing else ends with the call");
        assert_eq!(client.get(&format!("/v1/tasks/{task}/result")).expect(200).json()["status"], "FAILED");
    }
    server.stop();
}

#[test]
fn what_has_ended_or_never_was_cannot_be_cancelled() {
    let server = server_with(Options::default(), &["sleep"]);
    let client = server.client();
    let task = submit_sleep(&client, 0);
    client.result(&task);
    let ended = problem(client.delete(&format!("/v1/tasks/{task}")), 409, "task-ended");
    assert_eq!(ended["detail"], "the task had ended as COMPLETED before it could be cancelled");
    assert_eq!((&ended["task_id"], &ended["outcome"]["kind"]), (&json!(task), &json!("Succeeded")));
    assert_eq!(client.result(&task)["result"], 0);
    let unknown = "01936f5e-8f6a-7b3c-9d4e-5f6a7b8c9d0e";
    problem(client.delete(&format!("/v1/tasks/{unknown}")), 404, "unknown-task");
}

#[test]
fn a_call_that_outlived_its_wait_can_be_cancelled() {
    let server = server_with(Options::slots(1), &["sleep"]);
    let client = server.client();
    let part = bulkhead_tests::Part::json(&json!([60_000])).header("prefer", "wait=0");
    let answer = client.call(reqwest::Method::POST, "/v1/functions/sleep/invoke", part).expect(202).json();
    let task = answer["task_id"].as_str().expect("an id");
    cancel(&client, task);
    let next = submit_sleep(&client, 2);
    assert_eq!(client.result(&next)["result"], 2);
    server.stop();
}

#[test]
fn a_client_that_goes_away_ends_its_call() {
    let server = server_with(Options::slots(1), &["sleep"]);
    let client = server.client();
    let waiting = bulkhead_tests::block_on(async {
        let part = bulkhead_tests::Part::json(&json!([60_000]));
        let call = client.send(reqwest::Method::POST, "/v1/functions/sleep/invoke", part);
        tokio::time::timeout(std::time::Duration::from_secs(2), call).await
    });
    assert!(waiting.is_err(), "a call of a minute had an answer");
    // The only slot is free long before the minute is over.
    let next = submit_sleep(&client, 3);
    let task = client.get(&format!("/v1/tasks/{next}?wait=30s")).expect(200).json();
    assert_eq!(task["status"], "COMPLETED", "{task}");
    server.stop();
}
