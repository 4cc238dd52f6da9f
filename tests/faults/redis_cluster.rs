//! Redis Cluster of three nodes, one of which dies and is replaced.

use bulkhead_tests::{
    Client, Cluster, LONG, Layout, Mode, Part, Persistence, Redis, RedisCluster, RedisOptions, Sleepers,
    eventually_within, is_master, join_as_replica, wait_until_replicated,
};
use reqwest::Method;
use serde_json::json;

use crate::built::{executables, packages};
use crate::setup::{completed, pull_and_push};

pull_and_push!(a_node_dies_and_is_replaced, a_node_is_lost_for_good_and_its_replica_takes_over);

/// Submits a task until it is taken; gives its id and its result.
#[track_caller]
fn insist_on_hello(client: &Client, key: &str) -> (String, String) {
    let document = json!({"function": "hello", "args": [key], "idempotency_key": key});
    let answer = client.insist(&Method::POST, "/v1/tasks", &Part::json(&document)).json();
    (answer["task_id"].as_str().expect("an id").to_owned(), format!("Hello, {key}!"))
}

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
        let running = Sleepers::start(&client, 1, 3000);
        let hello = |number: usize| insist_on_hello(&client, &format!("{node}-{number}"));
        tasks.extend((0..50).map(hello));
        cluster.redis[node].kill();
        // A new process on the folder of the old one: what a cluster's operator puts in its place.
        let replaced = std::thread::scope(|scope| {
            let submitting = scope.spawn(|| (50..100).map(hello).collect::<Vec<_>>());
            cluster.redis[node].restart();
            submitting.join().expect("everything is taken in the end")
        });
        tasks.extend(replaced);
        completed(&client, &running.tasks[0], &json!(running.milliseconds));
    }
    for (task, result) in &tasks {
        completed(&client, task, &json!(result));
    }
    cluster.stop();
}

/// Each node in turn is lost with its disk: its replica takes over, and a new node comes behind it. Replication
/// does not wait, so that what was written last can be lost so; here the replicas had everything.
fn a_node_is_lost_for_good_and_its_replica_takes_over(mode: Mode) {
    let packages = packages();
    let redis = RedisCluster::start_with_replicas(Persistence::Always);
    let url = redis.url();
    let mut cluster = Cluster::start_on(executables(), Layout::new(mode).workers(2).slots(2), redis.nodes, &url);
    let client = cluster.client();
    for name in ["hello", "sleep"] {
        client.register(packages.get(name)).expect(201);
    }
    let mut tasks = Vec::new();
    for round in 0..3 {
        let running = Sleepers::start(&client, 1, 8000);
        tasks.extend((0..20).map(|number| insist_on_hello(&client, &format!("{round}-{number}"))));
        for (task, result) in &tasks {
            completed(&client, task, &json!(result));
        }
        // The first that is a master of those that were there from the start; those behind them are new.
        let lost = cluster.redis.iter().position(is_master).expect("somebody has the keys");
        wait_until_replicated(&cluster.redis[lost]);
        drop(cluster.redis.remove(lost));
        tasks.extend((20..40).map(|number| insist_on_hello(&client, &format!("{round}-{number}"))));
        eventually_within(LONG, "a replica takes over", || {
            let masters = cluster.redis.iter().filter(|node| is_master(node)).count();
            if masters == 3 { Ok(()) } else { Err(format!("{masters} masters")) }
        });
        let new = Redis::start(RedisOptions { cluster: true, ..RedisOptions::durable() });
        join_as_replica(&new, &cluster.redis[0]);
        cluster.redis.push(new);
        completed(&client, &running.tasks[0], &json!(running.milliseconds));
    }
    for (task, result) in &tasks {
        completed(&client, task, &json!(result));
    }
    cluster.stop();
}
