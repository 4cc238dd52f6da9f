//! Redis Cluster of three nodes, one of which dies and is replaced.

use bulkhead_tests::{Cluster, Layout, Mode, Part, Persistence, RedisCluster};
use reqwest::Method;
use serde_json::json;

use crate::built::{executables, packages};
use crate::setup::{completed, pull_and_push, submit_sleep, wait_until_running};

pull_and_push!(a_node_dies_and_is_replaced);

/// While a third of the keys is away clients are told to come back; nothing that was acknowledged is lost.
fn a_node_dies_and_is_replaced(mode: Mode) {
    let packages = packages();
    let redis = RedisCluster::start(Persistence::Always);
    let url = redis.url();
    let mut cluster = Cluster::start_on(executables(), Layout::new(mode).workers(2).slots(2), redis.nodes, &url);
    let client = cluster.client();
    for name in ["hello", "sleep"] {
        client.register(packages.get(name)).expect(201);
    }
    let mut tasks = Vec::new();
    for node in 0..cluster.redis.len() {
        let running = submit_sleep(&client, 3000);
        wait_until_running(&client, &running, 1);
        let hello = |number: usize| {
            let key = format!("{node}-{number}");
            let document = json!({"function": "hello", "args": [key], "idempotency_key": key});
            let answer = client.insist(&Method::POST, "/v1/tasks", &Part::json(&document)).json();
            (answer["task_id"].as_str().expect("an id").to_owned(), format!("Hello, {key}!"))
        };
        tasks.extend((0..50).map(hello));
        cluster.redis[node].kill();
        // A new process on the folder of the old one: what a cluster's operator puts in its place.
        let replaced = std::thread::scope(|scope| {
            let submitting = scope.spawn(|| (50..100).map(hello).collect::<Vec<_>>());
            cluster.redis[node].restart();
            submitting.join().expect("everything is taken in the end")
        });
        tasks.extend(replaced);
        completed(&client, &running, &json!(3000));
    }
    for (task, result) in &tasks {
        completed(&client, task, &json!(result));
    }
    cluster.stop();
}
