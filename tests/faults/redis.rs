//! A store that dies, hangs, and comes back.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bulkhead_tests::{Client, Layout, Mode, Part, eventually};
use nix::sys::signal::Signal;
use reqwest::Method;
use serde_json::{Value, json};

use crate::setup::{cluster, completed, pull_and_push, submit_sleep, unchanged, wait_until_running};

pull_and_push!(killed_and_restarted, paused_for_20_s);

/// How long Redis is away.
const AWAY: Duration = Duration::from_secs(20);
/// Longer than any request may take while Redis does not answer.
const PATIENCE: Duration = Duration::from_secs(15);

/// What was acknowledged, with what it comes to, and what was refused meanwhile.
#[derive(Default)]
struct Submitted {
    acknowledged: BTreeMap<String, Value>,
    refused: usize,
    /// The longest that an answer took.
    slowest: Duration,
}

/// Submits one task after the other until told to stop.
fn submit_until(client: &Client, submitter: usize, stop: &AtomicBool) -> Submitted {
    let mut submitted = Submitted::default();
    for number in 0.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let who = format!("{submitter}-{number}");
        let document = json!({"function": "hello", "args": [who]});
        let asked = Instant::now();
        let answer = client.call(Method::POST, "/v1/tasks", Part::json(&document));
        submitted.slowest = submitted.slowest.max(asked.elapsed());
        match answer.status {
            201 => {
                let task = answer.json()["task_id"].as_str().expect("an id").to_owned();
                submitted.acknowledged.insert(task, json!(format!("Hello, {who}!")));
            }
            503 => {
                assert!(!answer.header("retry-after").is_empty(), "when to come back is not said: {}", answer.text());
                assert_eq!(answer.json()["type"], "/errors/store-unavailable", "{}", answer.text());
                submitted.refused += 1;
                // As fast as a client that does not mind what it is told.
                std::thread::sleep(Duration::from_millis(20));
            }
            status => panic!("{status}: {}", answer.text()),
        }
    }
    submitted
}

/// Does something to Redis while clients submit, and checks that all that was acknowledged ends well.
#[track_caller]
fn submit_during(clients: &[Client], fault: impl FnOnce()) -> Submitted {
    let stop = Arc::new(AtomicBool::new(false));
    let submitters: Vec<_> = clients
        .iter()
        .enumerate()
        .map(|(submitter, client)| {
            let (client, stop) = (client.clone(), Arc::clone(&stop));
            std::thread::spawn(move || submit_until(&client, submitter, &stop))
        })
        .collect();
    fault();
    stop.store(true, Ordering::Relaxed);
    let mut all = Submitted::default();
    for submitter in submitters {
        let mut one = submitter.join().expect("every answer is one that was expected");
        all.acknowledged.append(&mut one.acknowledged);
        all.refused += one.refused;
        all.slowest = all.slowest.max(one.slowest);
    }
    for (task, result) in &all.acknowledged {
        completed(&clients[0], task, result);
    }
    all
}

/// Waits until a task is acknowledged again, and says how long that took.
#[track_caller]
fn until_acknowledged(client: &Client) -> Duration {
    let since = Instant::now();
    eventually("tasks are taken again", || {
        let document = json!({"function": "hello", "args": ["again"]});
        let answer = client.call(Method::POST, "/v1/tasks", Part::json(&document));
        if answer.status == 201 { Ok(()) } else { Err(answer.text()) }
    });
    since.elapsed()
}

fn killed_and_restarted(mode: Mode) {
    let mut cluster = cluster(Layout::new(mode).workers(2).slots(2), &["sleep", "hello"]);
    let client = cluster.client();
    let running: Vec<String> = (0..3).map(|_| submit_sleep(&client, 5000)).collect();
    for task in &running {
        wait_until_running(&client, task, 1);
    }
    let ended: Vec<Value> = (0..10)
        .map(|_| {
            let task = client.submit(&json!({"function": "hello", "args": ["Ada"]}));
            completed(&client, &task, &json!("Hello, Ada!"))
        })
        .collect();
    let clients = vec![client.clone(); 4];
    let mut back = Duration::ZERO;
    let submitted = submit_during(&clients, || {
        std::thread::sleep(Duration::from_millis(700));
        cluster.redis[0].kill();
        std::thread::sleep(Duration::from_millis(1500));
        cluster.redis[0].restart();
        back = until_acknowledged(&client);
    });
    println!(
        "Redis killed, {}: {} acknowledged, {} refused, slowest answer {:?}, tasks taken again {back:?} after its return",
        mode.as_str(),
        submitted.acknowledged.len(),
        submitted.refused,
        submitted.slowest,
    );
    assert!(submitted.acknowledged.len() > 20 && submitted.refused > 0, "that was no load");
    for task in &running {
        let view = completed(&client, task, &json!(5000));
        assert_eq!(view["attempt"], 1, "what ran was not touched by this: {view}");
    }
    unchanged(&client, &ended);
    cluster.stop();
}

fn paused_for_20_s(mode: Mode) {
    let cluster = cluster(Layout::new(mode).workers(2).slots(2), &["sleep", "hello"]);
    let client = cluster.client();
    let running: Vec<String> = [5000, 25_000].into_iter().map(|time| submit_sleep(&client, time)).collect();
    for task in &running {
        wait_until_running(&client, task, 1);
    }
    let clients = vec![client.clone(); 4];
    let mut back = Duration::ZERO;
    let submitted = submit_during(&clients, || {
        std::thread::sleep(Duration::from_millis(700));
        cluster.redis[0].signal(Signal::SIGSTOP);
        std::thread::sleep(AWAY);
        cluster.redis[0].signal(Signal::SIGCONT);
        back = until_acknowledged(&client);
    });
    println!(
        "R4 {}: {} acknowledged, {} refused, slowest answer {:?}, tasks taken again {back:?} after its return",
        mode.as_str(),
        submitted.acknowledged.len(),
        submitted.refused,
        submitted.slowest,
    );
    assert!(submitted.refused > 0, "nobody was told to come back later");
    assert!(submitted.slowest < PATIENCE, "a client waited for {:?}", submitted.slowest);
    for (task, time) in running.iter().zip([5000, 25_000]) {
        let view = completed(&client, task, &json!(time));
        assert_eq!(view["attempt"], 1, "what ran was not touched by this: {view}");
    }
    cluster.stop();
}
