//! Dispatchers that die, with and without another one beside them.

use std::time::{Duration, Instant};

use bulkhead_tests::{Layout, Mode, SHORT, Sleepers, eventually_within};
use serde_json::json;

use crate::setup::{cluster, completed, pull_and_push, unchanged, view};

pull_and_push!(killed_and_restarted, killed_while_results_come, killed_beside_another);

/// What runs goes on and ends in its first attempt; what had ended is left alone.
fn killed_and_restarted(mode: Mode) {
    let mut cluster = cluster(Layout::new(mode).workers(2).slots(2), &["sleep", "hello"]);
    let client = cluster.client();
    let hello = |number: usize| client.submit(&json!({"function": "hello", "args": [number.to_string()]}));
    let ended: Vec<_> =
        (0..10).map(|number| completed(&client, &hello(number), &json!(format!("Hello, {number}!")))).collect();
    let running = Sleepers::start(&client, 4, 6000);
    let queued: Vec<String> = (0..20).map(hello).collect();
    cluster.dispatchers[0].kill();
    // Tasks are taken all the same.
    let meanwhile = client.submit(&json!({"function": "hello", "args": ["nobody hands it out"]}));
    let restarted = Instant::now();
    cluster.dispatchers[0].restart();
    for (task, before) in running.tasks.iter().zip(&running.views) {
        let after = completed(&client, task, &json!(running.milliseconds));
        for same in ["attempt", "worker_id", "started_at"] {
            assert_eq!(after[same], before[same], "{same} of {after}");
        }
    }
    println!("R3 {}: results of what ran arrived {:?} after the restart", mode.as_str(), restarted.elapsed());
    for (number, task) in queued.iter().enumerate() {
        completed(&client, task, &json!(format!("Hello, {number}!")));
    }
    completed(&client, &meanwhile, &json!("Hello, nobody hands it out!"));
    unchanged(&client, &ended);
    cluster.stop();
}

/// Results that come while there is no dispatcher are kept by their worker and told to the next.
fn killed_while_results_come(mode: Mode) {
    let mut cluster = cluster(Layout::new(mode).workers(2).slots(2), &["sleep"]);
    let client = cluster.client();
    let running = Sleepers::start(&client, 4, 3000);
    cluster.dispatchers[0].kill();
    // Nobody hears of their ends: the passing of time is the only event.
    std::thread::sleep(Duration::from_millis(running.milliseconds + 500));
    for task in &running.tasks {
        assert_eq!(view(&client, task)["status"], "RUNNING");
    }
    cluster.dispatchers[0].restart();
    for task in &running.tasks {
        let after = completed(&client, task, &json!(running.milliseconds));
        assert_eq!(after["attempt"], 1, "it was run again although it had finished: {after}");
    }
    cluster.stop();
}

/// Another dispatcher takes over what a dead one had, once that is known to be dead.
fn killed_beside_another(mode: Mode) {
    let mut cluster = cluster(Layout { dispatchers: 2, ..Layout::new(mode).workers(2).slots(2) }, &["sleep", "hello"]);
    let client = cluster.client();
    let running = Sleepers::start(&client, 4, 4000);
    let queued: Vec<String> =
        (0..100).map(|number| client.submit(&json!({"function": "hello", "args": [number.to_string()]}))).collect();
    let killed = Instant::now();
    cluster.dispatchers[0].kill();
    for (number, task) in queued.iter().enumerate() {
        completed(&client, task, &json!(format!("Hello, {number}!")));
    }
    let mut again = 0;
    for task in &running.tasks {
        let view = completed(&client, task, &json!(running.milliseconds));
        again += usize::from(view["attempt"] != 1);
    }
    println!("{}: all taken over and ended {:?} after kill -9", mode.as_str(), killed.elapsed());
    assert!(again <= 2, "the tasks of the other dispatcher's worker were not lost, and yet {again} ran again");
    cluster.dispatchers[0].restart();
    eventually_within(SHORT, "both workers are there again", || {
        let joined = cluster.joined();
        if joined.len() == 2 { Ok(()) } else { Err(format!("{joined:?}")) }
    });
    cluster.stop();
}
