//! Hosts of their own: what goes over the wires, and what happens when one is cut.

use std::sync::Arc;
use std::time::Duration;

use bulkhead_tests::{
    Cluster, Hosts, Layout, Mode, Network, RedisOptions, Sleepers, eventually_within, is_root, require_or_skip,
};
use reqwest::Method;
use serde_json::json;

use crate::setup::{cluster, completed, moment, pull_and_push, submit_sleep, view};

pull_and_push!(worker_cut_off, dispatcher_cut_off, nothing_of_an_input_is_seen);

/// What dispatcher and workers prove to each other here.
const JOIN_KEY: &str = "a key for tests and nothing else";

/// A network, if this user may make one.
fn network() -> Option<Arc<Network>> {
    let why = "the tests do not run as root, so they cannot make network namespaces";
    require_or_skip(is_root(), why).then(Network::new)
}

/// A cluster with Redis and gateway on one host, the dispatcher on another, and two workers on hosts of
/// their own.
#[track_caller]
fn spread(network: &Arc<Network>, mode: Mode, tls: bool, crates: &[&str]) -> (Cluster, Hosts) {
    let (front, dispatcher, workers) = (network.host(), network.host(), vec![network.host(), network.host()]);
    let redis = RedisOptions { host: Some(front.clone()), tls, ..RedisOptions::durable() };
    let hosts = Hosts { front, dispatcher, workers };
    let layout = Layout {
        redis,
        hosts: Some(hosts.clone()),
        join_key: Some(JOIN_KEY.to_owned()),
        ..Layout::new(mode).workers(2)
    };
    (cluster(layout, crates), hosts)
}

/// A worker behind a cut wire is taken for dead; when the wire is whole again its late result changes
/// nothing, and it is a worker like any other.
fn worker_cut_off(mode: Mode) {
    /// Long enough for the wire to be whole again while the second attempt runs.
    const SLEEP_MS: u64 = 15_000;
    let Some(network) = network() else { return };
    let (cluster, hosts) = spread(&network, mode, false, &["sleep"]);
    let client = cluster.client();
    let task = submit_sleep(&client, SLEEP_MS);
    let first = cluster.runner_of(&task);
    hosts.workers[first].cut();
    eventually_within(Duration::from_secs(60), "the task begins elsewhere", || {
        let view = view(&client, &task);
        if view["attempt"] == 2 && view["status"] == "RUNNING" { Ok(()) } else { Err(view.to_string()) }
    });
    hosts.workers[first].heal();
    let after = completed(&client, &task, &json!(SLEEP_MS));
    assert_eq!(after["attempt"], 2, "{after}");
    let ran = moment(&after, "ended_at") - moment(&after, "started_at");
    assert!(ran >= Duration::from_millis(SLEEP_MS), "the late result ended the second attempt after {ran:?}");
    cluster.wait_for_workers(2);
    cluster.stop();
}

/// A dispatcher that reaches neither the store nor its workers goes on where it was, or begins anew.
fn dispatcher_cut_off(mode: Mode) {
    /// Longer than the dead time and the lease.
    const AWAY: Duration = Duration::from_secs(15);
    let Some(network) = network() else { return };
    let (cluster, hosts) = spread(&network, mode, false, &["sleep", "hello"]);
    let client = cluster.client();
    let running = Sleepers::start(&client, 2, 5000);
    let hello = |who: &str| (client.submit(&json!({"function": "hello", "args": [who]})), format!("Hello, {who}!"));
    let mut short = vec![hello("before")];
    hosts.dispatcher.cut();
    short.push(hello("meanwhile"));
    // There is no event for silence.
    std::thread::sleep(AWAY);
    hosts.dispatcher.heal();
    short.push(hello("after"));
    for (task, result) in short {
        completed(&client, &task, &json!(result));
    }
    for task in &running.tasks {
        let view = completed(&client, task, &json!(running.milliseconds));
        println!("cut off {}: ended in attempt {}", mode.as_str(), view["attempt"]);
    }
    cluster.wait_for_workers(2);
    cluster.stop();
}

/// With a join key and `rediss://`, only the client's own HTTP shows what a function is called with.
fn nothing_of_an_input_is_seen(mode: Mode) {
    const MARKER: &str = "the marker that nobody must read on the wire";
    let Some(network) = network() else { return };
    let (cluster, hosts) = spread(&network, mode, true, &["echo"]);
    let front = hosts.front.capture();
    let inner: Vec<_> = hosts.workers.iter().chain([&hosts.dispatcher]).map(bulkhead_tests::Host::capture).collect();
    let client = cluster.client();
    // Enough for both workers to have some.
    let tasks: Vec<String> = (0..20).map(|_| client.submit(&json!({"function": "echo", "args": [MARKER]}))).collect();
    let workers: std::collections::BTreeSet<String> =
        tasks.iter().map(|task| completed(&client, task, &json!(MARKER))["worker_id"].to_string()).collect();
    println!("{} workers ran them", workers.len());
    let call = bulkhead_tests::Part::json(&json!([MARKER]));
    assert_eq!(client.call(Method::POST, "/v1/functions/echo/invoke", call).expect(200).json(), MARKER);
    let seen = |capture: &[u8]| capture.windows(MARKER.len()).any(|window| window == MARKER.as_bytes());
    assert!(seen(&front.end()), "the search finds nothing where the text must be");
    for (capture, host) in inner.into_iter().zip(["worker 0", "worker 1", "dispatcher"]) {
        let capture = capture.end();
        assert!(capture.len() > 1000, "nothing went over the wire of {host}");
        assert!(!seen(&capture), "an input was readable on the wire of {host}");
    }
    cluster.stop();
}
