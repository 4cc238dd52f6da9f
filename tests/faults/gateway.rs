//! A gateway that dies while clients wait.

use std::time::Instant;

use bulkhead_tests::{Client, Layout, Mode, Part, Sleepers};
use reqwest::Method;
use serde_json::{Value, json};

use crate::setup::{cluster, completed, pull_and_push};

pull_and_push!(killed_with_waiters);

/// Waiters ask again and get what they waited for; no call is made twice by that.
fn killed_with_waiters(mode: Mode) {
    let mut cluster = cluster(Layout::new(mode).workers(2).slots(2), &["sleep"]);
    let client = cluster.client();
    // All of what follows until the kill is to be done while they run.
    let running = Sleepers::start(&client, 4, 12_000);
    let before = stored(&client);
    let milliseconds = running.milliseconds;
    let waiters: Vec<_> = running
        .tasks
        .iter()
        .map(|task| {
            let (client, task) = (client.clone(), task.clone());
            std::thread::spawn(move || {
                let first = client.try_call(Method::GET, &format!("/v1/tasks/{task}/result?wait=60s"), Part::none());
                assert!(first.is_err(), "the gateway was killed, and yet: {first:?}");
                completed(&client, &task, &json!(milliseconds))
            })
        })
        .collect();
    let callers: Vec<_> = (0..4)
        .map(|number| {
            std::thread::spawn({
                let client = client.clone();
                move || call_until_answered(&client, number)
            })
        })
        .collect();
    // The calls wait in the queue behind what runs.
    bulkhead_tests::eventually("all calls are stored", || {
        let stored = stored(&client);
        if stored == before + 4 { Ok(()) } else { Err(format!("{stored} tasks")) }
    });
    cluster.gateways[0].kill();
    let restarted = Instant::now();
    cluster.gateways[0].restart();
    cluster.gateways[0].wait_for("listening");
    for waiter in waiters {
        let view = waiter.join().expect("the waiter gets its result");
        assert_eq!(view["attempt"], 1, "{view}");
    }
    println!("R3 {}: waiters had their results {:?} after the restart", mode.as_str(), restarted.elapsed());
    for caller in callers {
        assert_eq!(caller.join().expect("the caller gets its result"), 300);
    }
    assert_eq!(stored(&client), before + 4, "a call became two tasks");
    cluster.stop();
}

/// How many tasks there are.
#[track_caller]
fn stored(client: &Client) -> usize {
    client.get("/v1/tasks?limit=100").expect(200).json()["tasks"].as_array().map_or(0, Vec::len)
}

/// A synchronous call with a key of its own, made again until somebody answers.
fn call_until_answered(client: &Client, number: usize) -> Value {
    let part = Part::json(&json!([300])).header("idempotency-key", format!("call-{number}"));
    client.insist(&Method::POST, "/v1/functions/sleep/invoke", &part).expect(200).json()
}
