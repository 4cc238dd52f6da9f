//! Workers that die, hang, come late, or have no room for packages.

use std::time::{Duration, Instant};

use bulkhead_tests::{
    Cluster, Layout, Mode, Part, Sleepers, SmallDisk, eventually, eventually_within, is_root, require_or_skip,
};
use nix::sys::signal::Signal;
use reqwest::Method;
use serde_json::json;

use crate::setup::{cluster, completed, moment, pull_and_push, submit_sleep, view, wait_until_begun};

pull_and_push!(
    killed_in_mid_task,
    killed_with_many_tasks,
    paused_for_longer_than_the_dead_time,
    without_room_for_packages,
    new_to_a_function,
);

/// Rounds of what is measured.
const ROUNDS: usize = 3;
/// A lost connection is noticed long before a silent worker is: after this it was the silence.
const SILENCE: Duration = Duration::from_secs(9);

/// A worker that is killed gives its attempt to another at once, and takes the attempt's processes along.
fn killed_in_mid_task(mode: Mode) {
    let mut cluster = cluster(Layout::new(mode).workers(2), &["sleep"]);
    let client = cluster.client();
    for round in 0..ROUNDS {
        let Sleepers { tasks, milliseconds, .. } = Sleepers::start(&client, 1, 4000);
        let task = &tasks[0];
        let runner = cluster.runner_of(task);
        let processes = cluster.workers[runner].processes();
        let killed = Instant::now();
        cluster.workers[runner].kill();
        wait_until_begun(&client, task, 2);
        let elsewhere = killed.elapsed();
        println!("R2 {} round {round}: begun elsewhere {elsewhere:?} after kill -9", mode.as_str());
        assert!(elsewhere < SILENCE, "only the silence was noticed, after {elsewhere:?}");
        for process in processes {
            eventually("processes of a worker end with it", || process.is_gone());
        }
        let view = completed(&client, task, &json!(milliseconds));
        assert_eq!((&view["attempt"], &view["spent"]["losses"]), (&json!(2), &json!(1)), "{view}");
        cluster.workers[runner].restart();
        cluster.wait_for_workers(2);
    }
    cluster.stop();
}

/// What waited at a worker, or was on its way to it, goes elsewhere too. Its losses count only for what ran.
fn killed_with_many_tasks(mode: Mode) {
    let mut cluster = cluster(Layout::new(mode).workers(2).slots(2), &["sleep", "hello"]);
    let client = cluster.client();
    // Half of it is longer than it takes to submit the others behind them.
    let long = Sleepers::start(&client, 4, 10_000);
    let lines = (0..200).map(|number| format!("{}\n", json!({"function": "hello", "args": [number.to_string()]})));
    let batch = Part::typed("application/x-ndjson", lines.collect::<String>());
    let answers = client.call(Method::POST, "/v1/tasks:batch", batch).expect(200).text();
    let short: Vec<(String, String)> = answers
        .lines()
        .enumerate()
        .map(|(number, line)| {
            let line: serde_json::Value = serde_json::from_str(line).expect("JSON");
            (line["task_id"].as_str().expect("an id").to_owned(), format!("Hello, {number}!"))
        })
        .collect();
    assert_eq!(short.len(), 200);
    cluster.workers[0].kill();
    let views: Vec<_> = long.tasks.iter().map(|task| completed(&client, task, &json!(long.milliseconds))).collect();
    let mut attempts: Vec<_> = views.iter().map(|view| view["attempt"].as_u64()).collect();
    attempts.sort();
    assert_eq!(attempts, [1, 1, 2, 2].map(Some), "each worker had two: {views:?}");
    for (task, result) in &short {
        let view = completed(&client, task, &json!(result));
        assert!(view["spent"]["losses"].as_u64().unwrap_or(0) <= 1, "{view}");
    }
    cluster.workers[0].restart();
    cluster.wait_for_workers(2);
    cluster.stop();
}

/// A worker that is stopped is taken for dead; when it goes on, its late result changes nothing.
fn paused_for_longer_than_the_dead_time(mode: Mode) {
    /// Long enough for the late one to come while the second attempt runs.
    const SLEEP_MS: u64 = 15_000;
    let cluster = cluster(Layout::new(mode).workers(2), &["sleep"]);
    let client = cluster.client();
    let task = submit_sleep(&client, SLEEP_MS);
    let first = cluster.runner_of(&task);
    let before = wait_until_begun(&client, &task, 1);
    cluster.workers[first].signal(Signal::SIGSTOP);
    cluster.wait_for_workers(1);
    let second = eventually_within(Duration::from_secs(60), "the task begins elsewhere", || {
        let view = view(&client, &task);
        if view["attempt"] == 2 && view["status"] == "RUNNING" { Ok(view) } else { Err(view.to_string()) }
    });
    println!(
        "silent {}: begun elsewhere {:?} after the first attempt",
        mode.as_str(),
        moment(&second, "started_at") - moment(&before, "started_at")
    );
    assert_ne!(second["worker_id"], before["worker_id"]);
    // The function itself went on and ends about now; the worker says so as soon as it can.
    cluster.workers[first].signal(Signal::SIGCONT);
    cluster.wait_for_workers(2);
    let after = completed(&client, &task, &json!(SLEEP_MS));
    assert_eq!((&after["attempt"], &after["worker_id"]), (&json!(2), &second["worker_id"]), "{after}");
    let ran = moment(&after, "ended_at") - moment(&after, "started_at");
    assert!(ran >= Duration::from_millis(SLEEP_MS), "the late result ended the second attempt after {ran:?}");
    // The worker is as good as new: with the other busy, it has to be the one.
    let others = Sleepers::start(&client, 2, 1500);
    assert_ne!(others.views[0]["worker_id"], others.views[1]["worker_id"]);
    cluster.stop();
}

/// A worker that cannot keep packages fails no task.
fn without_room_for_packages(mode: Mode) {
    if !require_or_skip(is_root(), "the tests do not run as root, so they cannot mount a tiny file system") {
        return;
    }
    let mut cluster = cluster(Layout::new(mode), &["sleep", "hello", "echo"]);
    let client = cluster.client();
    // The second worker gets its place first.
    let folder = cluster.worker_data(1);
    std::fs::create_dir(&folder).expect("a folder");
    let small = SmallDisk::mount(&folder);
    cluster.add_worker();
    cluster.wait_for_workers(2);
    let tasks: Vec<(String, String)> = (0..40)
        .map(|number| {
            let task = client.submit(&json!({"function": "hello", "args": [number.to_string()]}));
            (task, format!("Hello, {number}!"))
        })
        .collect();
    for (task, result) in &tasks {
        completed(&client, task, &json!(result));
    }
    // Also when nobody else is there to run them: with room again, the worker runs what waited.
    cluster.workers[0].kill();
    let waiting = client.submit(&json!({"function": "echo", "args": ["at last"]}));
    small.grow();
    completed(&client, &waiting, &json!("at last"));
    cluster.workers.remove(0);
    cluster.stop();
}

/// A worker that never ran a function fetches its package once, however many tasks come at once; a
/// restarted one has it on disk.
fn new_to_a_function(mode: Mode) {
    let mut cluster = cluster(Layout::new(mode).slots(4), &["hello"]);
    let client = cluster.client();
    let many = |client: &bulkhead_tests::Client| {
        let tasks: Vec<String> =
            (0..50).map(|_| client.submit(&json!({"function": "hello", "args": ["Ada"]}))).collect();
        for task in tasks {
            completed(client, &task, &json!("Hello, Ada!"));
        }
    };
    let transfers = |cluster: &Cluster| cluster.workers[0].log().matches(FETCHED).count();
    many(&client);
    assert_eq!(transfers(&cluster), 1, "{}", cluster.workers[0].log());
    cluster.workers[0].kill();
    cluster.workers[0].restart();
    cluster.wait_for_workers(1);
    many(&client);
    assert_eq!(transfers(&cluster), 1, "{}", cluster.workers[0].log());
    cluster.stop();
}

/// What a worker logs when it has a whole package.
const FETCHED: &str = "\"a package was fetched\"";
