//! A store that dies, hangs, and comes back.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bulkhead_tests::{Client, Layout, Mode, Part, Sleepers, eventually};
use nix::sys::signal::Signal;
use reqwest::Method;
use serde_json::{Value, json};

use crate::setup::{cluster, completed, pull_and_push, unchanged};

pull_and_push!(killed_and_restarted, paused_for_20_s);

/// How long Redis is away.
const AWAY: Duration = Duration::from_secs(20);
/// Tasks that are acknowledged before it goes.
const ENOUGH: usize = 50;
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

/// What those who submit and whoever watches them tell each other.
#[derive(Default)]
struct Load {
    stop: AtomicBool,
    acknowledged: AtomicUsize,
    refused: AtomicUsize,
}

impl Load {
    /// Waits until so many more tasks were acknowledged.
    #[track_caller]
    fn wait_for_acknowledged(&self, more: usize) {
        wait_for_more(&self.acknowledged, more, "acknowledged");
    }

    /// Waits until so many more tasks were refused.
    #[track_caller]
    fn wait_for_refused(&self, more: usize) {
        wait_for_more(&self.refused, more, "refused");
    }
}

#[track_caller]
fn wait_for_more(count: &AtomicUsize, more: usize, what: &str) {
    let before = count.load(Ordering::Relaxed);
    eventually(&format!("{more} tasks are {what}"), || match count.load(Ordering::Relaxed) - before {
        enough if enough >= more => Ok(()),
        few => Err(format!("only {few} are")),
    });
}

/// Submits one task after the other until told to stop.
fn submit_until(client: &Client, submitter: usize, load: &Load) -> Submitted {
    let mut submitted = Submitted::default();
    for number in 0.. {
        if load.stop.load(Ordering::Relaxed) {
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
                load.acknowledged.fetch_add(1, Ordering::Relaxed);
            }
            503 => {
                assert!(!answer.header("retry-after").is_empty(), "when to come back is not said: {}", answer.text());
                assert_eq!(answer.json()["type"], "/errors/store-unavailable", "{}", answer.text());
                submitted.refused += 1;
                load.refused.fetch_add(1, Ordering::Relaxed);
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
fn submit_during(clients: &[Client], fault: impl FnOnce(&Load)) -> Submitted {
    let load = Arc::new(Load::default());
    let submitters: Vec<_> = clients
        .iter()
        .enumerate()
        .map(|(submitter, client)| {
            let (client, load) = (client.clone(), Arc::clone(&load));
            std::thread::spawn(move || submit_until(&client, submitter, &load))
        })
        .collect();
    fault(&load);
    load.stop.store(true, Ordering::Relaxed);
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
    let running = Sleepers::start(&client, 3, 5000);
    let ended: Vec<Value> = (0..10)
        .map(|_| {
            let task = client.submit(&json!({"function": "hello", "args": ["Ada"]}));
            completed(&client, &task, &json!("Hello, Ada!"))
        })
        .collect();
    let clients = vec![client.clone(); 4];
    let mut back = Duration::ZERO;
    let submitted = submit_during(&clients, |load| {
        load.wait_for_acknowledged(ENOUGH);
        cluster.redis[0].kill();
        std::thread::sleep(Duration::from_millis(1500));
        load.wait_for_refused(1);
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
    for task in &running.tasks {
        let view = completed(&client, task, &json!(running.milliseconds));
        assert_eq!(view["attempt"], 1, "what ran was not touched by this: {view}");
    }
    unchanged(&client, &ended);
    cluster.stop();
}

fn paused_for_20_s(mode: Mode) {
    let cluster = cluster(Layout::new(mode).workers(2).slots(2), &["sleep", "hello"]);
    let client = cluster.client();
    // One ends while Redis is away, and one after that.
    let running = [Sleepers::start(&client, 1, 25_000), Sleepers::start(&client, 1, 5000)];
    let clients = vec![client.clone(); 4];
    let mut back = Duration::ZERO;
    let submitted = submit_during(&clients, |load| {
        load.wait_for_acknowledged(ENOUGH);
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
    for running in &running {
        let view = completed(&client, &running.tasks[0], &json!(running.milliseconds));
        assert_eq!(view["attempt"], 1, "what ran was not touched by this: {view}");
    }
    cluster.stop();
}
