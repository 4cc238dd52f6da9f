//! What every test here begins and ends with.

use std::time::{Duration, UNIX_EPOCH};

use bulkhead_tests::{Client, Cluster, Layout, eventually};
use serde_json::{Value, json};

use crate::built::{executables, packages};

/// Writes a test for each way in which tasks get to workers.
macro_rules! pull_and_push {
    ($($test:ident),+ $(,)?) => {
        mod pull {
            $(#[test] fn $test() { super::$test(bulkhead_tests::Mode::Pull); })+
        }
        mod push {
            $(#[test] fn $test() { super::$test(bulkhead_tests::Mode::Push); })+
        }
    };
}
pub(crate) use pull_and_push;

/// A cluster with the functions of these crates.
#[track_caller]
pub(crate) fn cluster(layout: Layout, crates: &[&str]) -> Cluster {
    let packages = packages();
    let cluster = Cluster::start(executables(), layout);
    for name in crates {
        cluster.client().register(packages.get(name)).expect(201);
    }
    cluster
}

/// Submits a task that sleeps for that many milliseconds, and returns just that number.
#[track_caller]
pub(crate) fn submit_sleep(client: &Client, milliseconds: u64) -> String {
    client.submit(&json!({"function": "sleep", "args": [milliseconds]}))
}

/// What is known of a task.
#[track_caller]
pub(crate) fn view(client: &Client, task: &str) -> Value {
    client.get(&format!("/v1/tasks/{task}")).expect(200).json()
}

/// Waits until that attempt of a task has begun.
#[track_caller]
pub(crate) fn wait_until_begun(client: &Client, task: &str, attempt: u32) -> Value {
    eventually(&format!("attempt {attempt} of {task} begins"), || {
        let view = view(client, task);
        if view["status"] != "QUEUED" && view["attempt"] == attempt { Ok(view) } else { Err(view.to_string()) }
    })
}

/// Checks that a task has ended with a result, and returns what is known of it.
#[track_caller]
pub(crate) fn completed(client: &Client, task: &str, result: &Value) -> Value {
    let answer = client.result_at_last(task);
    assert_eq!((&answer["status"], &answer["result"]), (&json!("COMPLETED"), result), "{answer}");
    view(client, task)
}

/// Checks that what is known of ended tasks has not changed.
#[track_caller]
pub(crate) fn unchanged(client: &Client, ended: &[Value]) {
    for before in ended {
        let task = before["task_id"].as_str().expect("an id");
        assert_eq!(view(client, task), *before, "a task that had ended was touched");
    }
}

/// A moment in an answer, since the Unix epoch.
#[track_caller]
pub(crate) fn moment(view: &Value, member: &str) -> Duration {
    let text = view[member].as_str().unwrap_or_else(|| panic!("no {member} in {view}"));
    let time = humantime::parse_rfc3339(text).expect("a time");
    time.duration_since(UNIX_EPOCH).expect("after 1970")
}
