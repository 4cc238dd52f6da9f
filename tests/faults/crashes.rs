//! Functions that end their process, in every way: a typed outcome, one attempt, and neighbours that notice
//! nothing.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bulkhead_tests::{Client, Layout, Mode};
use serde_json::{Value, json};

use crate::setup::{cluster, pull_and_push, view};

pull_and_push!(functions_that_end_their_process);

/// Rounds over all of them.
const ROUNDS: usize = 25;
/// Calls of the neighbour before anything bad happens.
const QUIET: usize = 200;

/// Each is called by a client that waits, while another calls a function that does nothing wrong.
fn functions_that_end_their_process(mode: Mode) {
    let acts = [
        ("abort", json!({"kind": "Crashed", "signal": "SIGABRT"})),
        ("segv", json!({"kind": "Crashed", "signal": "SIGSEGV"})),
        ("exit_42", json!({"kind": "Exited", "code": 42})),
        ("panics", json!({"kind": "Panicked"})),
    ];
    let cluster = cluster(Layout::new(mode).workers(2).slots(2), &["faulty", "hello"]);
    let client = cluster.client();
    for (act, outcome) in &acts {
        ends_as(&client, act, outcome);
    }
    let before: Vec<Duration> = (0..QUIET).map(|_| neighbour(&client)).collect();
    let is_over = AtomicBool::new(false);
    let beside_them = cluster.client();
    let (took, beside) = std::thread::scope(|scope| {
        let neighbours = scope.spawn(|| {
            let mut beside = Vec::new();
            while !is_over.load(Ordering::Relaxed) {
                beside.push(neighbour(&beside_them));
            }
            beside
        });
        let mut took = Vec::new();
        for _ in 0..ROUNDS {
            took.extend(acts.iter().map(|(act, outcome)| ends_as(&client, act, outcome)));
        }
        is_over.store(true, Ordering::Relaxed);
        (took, neighbours.join().expect("the neighbour is well"))
    });
    let mode = mode.as_str();
    println!("R1 {mode}: from the call to its typed outcome {}", spread(took));
    println!("R1 {mode}: a neighbour's call alone {}, beside {}", spread(before), spread(beside));
    cluster.stop();
}

/// Calls a function that ends its process, checks how that is told and that it ran once, and gives how long
/// it took.
#[track_caller]
fn ends_as(client: &Client, function: &str, outcome: &Value) -> Duration {
    let began = Instant::now();
    let answer = client.invoke(function, &json!({}));
    let took = began.elapsed();
    let problem = answer.json();
    for (member, value) in outcome.as_object().expect("an object") {
        assert_eq!(problem["outcome"][member], *value, "{function}: {problem}");
    }
    let task = problem["task_id"].as_str().unwrap_or_else(|| panic!("no task is named: {problem}"));
    assert_eq!(view(client, task)["attempt"], 1, "{function} ran more than once");
    took
}

#[track_caller]
fn neighbour(client: &Client) -> Duration {
    let began = Instant::now();
    assert_eq!(client.invoke("hello", &json!(["Ada"])).expect(200).json(), json!("Hello, Ada!"));
    began.elapsed()
}

fn spread(mut times: Vec<Duration>) -> String {
    times.sort();
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize];
    format!("p50 {:.1?}, p99 {:.1?} of {}", at(0.5), at(0.99), times.len())
}
