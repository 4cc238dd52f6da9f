//! Join keys that do not fit: a clear error on both sides, and nobody hangs.

use std::process::Command;

use bulkhead_tests::{Cluster, Layout, Member, Mode, SHORT, eventually, run_within, unused_port};
use serde_json::json;

use crate::built::executables;
use crate::setup::{cluster, completed, pull_and_push};

pull_and_push!(wrong_and_missing_keys);

/// What dispatcher and workers prove to each other here.
const JOIN_KEY: &str = "a key for tests and nothing else";

/// Starts a worker with a key of its own, and waits until both sides have said what is wrong with it.
#[track_caller]
fn refused(cluster: &Cluster, key: Option<&str>, worker_says: &str, dispatcher_says: &str) {
    let mut launch = cluster.worker_launch(9);
    launch.variables.retain(|(name, _)| *name != "BULKHEAD_JOIN_KEY");
    launch.variables.extend(key.map(|key| ("BULKHEAD_JOIN_KEY", key.into())));
    let before = cluster.dispatchers[0].log().len();
    let worker = Member::start("a worker that must not join", launch);
    eventually("both sides say what is wrong", || {
        let (worker, dispatcher) = (worker.log(), cluster.dispatchers[0].log()[before..].to_owned());
        let said = worker.contains(worker_says) && dispatcher.contains(dispatcher_says);
        if said { Ok(()) } else { Err(format!("--- worker\n{worker}\n--- dispatcher\n{dispatcher}")) }
    });
    assert_eq!(cluster.joined().len(), 1, "it joined all the same");
}

fn wrong_and_missing_keys(mode: Mode) {
    let with_key = cluster(Layout { join_key: Some(JOIN_KEY.to_owned()), ..Layout::new(mode) }, &["hello"]);
    refused(&with_key, Some("another key of the right length"), "join key", "join key is another one");
    refused(&with_key, None, "join key", "no join key");
    let client = with_key.client();
    let task = client.submit(&json!({"function": "hello", "args": ["Ada"]}));
    completed(&client, &task, &json!("Hello, Ada!"));
    with_key.stop();

    let without = cluster(Layout::new(mode), &["hello"]);
    refused(&without, Some(JOIN_KEY), "join key", "has a join key, and this dispatcher has none");
    // Beyond this machine it does not even begin without one.
    let mut dispatcher: Command = {
        let executables = executables();
        executables.clean_command(&executables.bulkhead)
    };
    let (port, url) = (unused_port().to_string(), without.redis[0].url());
    dispatcher.args(["dispatcher", "-m", mode.as_str(), "-p", &port, "--redis", &url]);
    dispatcher.env("BULKHEAD_DISPATCHER_HOST", "0.0.0.0").current_dir(without.folder());
    let ended = run_within(dispatcher, b"", SHORT).expect(1);
    assert!(ended.stderr.contains("without a join key"), "{}", ended.stderr);
    without.stop();
}
