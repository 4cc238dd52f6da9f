//! Tasks that are seen to run, on a machine of any speed.

use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use super::client::Client;
use super::deadline::eventually;

/// Longer than this no task sleeps: a machine that does not show it run by then never will.
const LONGEST: Duration = Duration::from_secs(300);

/// Tasks of the sample function `sleep`, all of which run.
pub struct Sleepers {
    /// Their ids, in the order of their submission.
    pub tasks: Vec<String>,
    /// What was known of each when all were seen to run.
    pub views: Vec<Value>,
    /// How long each sleeps, which is its result.
    pub milliseconds: u64,
}

impl Sleepers {
    /// Submits so many tasks that sleep for `at_least` milliseconds, and returns once all run in their first attempt
    /// with half of the sleep or more before them. Where the machine is too slow to show them so, as when it is busy
    /// writing to its disks, they end, and others sleep twice as long.
    ///
    /// # Panics
    /// When a task does not begin, or cannot be seen to run for five minutes.
    #[track_caller]
    pub fn start(client: &Client, count: usize, at_least: u64) -> Self {
        let mut milliseconds = at_least;
        loop {
            let submit = |_| client.submit(&json!({"function": "sleep", "args": [milliseconds]}));
            let tasks: Vec<String> = (0..count).map(submit).collect();
            tasks.iter().for_each(|task| wait_until_begun(client, task));
            let views: Vec<Value> = tasks.iter().map(|task| view(client, task)).collect();
            let half = Duration::from_millis(milliseconds / 2);
            if views.iter().all(|view| runs_for_less_than(view, half)) {
                return Self { tasks, views, milliseconds };
            }
            println!("a machine too slow to see tasks run that sleep for {milliseconds} ms: {views:?}");
            tasks.iter().for_each(|task| drop(client.result_at_last(task)));
            milliseconds *= 2;
            assert!(Duration::from_millis(milliseconds) <= LONGEST, "tasks are never seen to run");
        }
    }
}

fn view(client: &Client, task: &str) -> Value {
    client.get(&format!("/v1/tasks/{task}")).expect(200).json()
}

#[track_caller]
fn wait_until_begun(client: &Client, task: &str) {
    eventually(&format!("{task} begins"), || {
        let view = view(client, task);
        if view["started_at"].is_null() { Err(view.to_string()) } else { Ok(()) }
    });
}

fn runs_for_less_than(view: &Value, time: Duration) -> bool {
    let started = view["started_at"].as_str().and_then(|at| humantime::parse_rfc3339(at).ok());
    let runs = view["status"] == "RUNNING" && view["attempt"] == 1;
    // A clock that was set back meanwhile counts as no time at all.
    runs && started.is_some_and(|started| SystemTime::now().duration_since(started).unwrap_or_default() < time)
}
