//! How long things take: a healthy call beside each hostile one, the answer to a deadline, the end of what is
//! cancelled. Measured from outside, over HTTP, so that each figure has the way there and back in it.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use reqwest::Method;
use serde::Serialize;
use serde_json::json;

use super::table::{Act, Kind, Row, table};
use super::tally::Spread;
use crate::client::{Client, Part};
use crate::deadline::eventually;
use crate::member::Executables;
use crate::packages::Packages;
use crate::server::{Options, Server};
use crate::setting::Setting;

/// The wall time of the calls whose deadlines are measured.
const DEADLINE: Duration = Duration::from_millis(300);

/// What is measured.
#[derive(Clone, Debug)]
pub struct Latency {
    /// Samples of each figure.
    pub samples: usize,
    /// The ground that the server stands on.
    pub options: Options,
}

/// What was measured.
#[derive(Clone, Debug, Serialize)]
pub struct Measured {
    /// A healthy call on a server with nothing else to do.
    pub idle: Option<Spread>,
    /// A healthy call beside each hostile one, which is made again and again.
    pub beside: Vec<Beside>,
    /// From a call's deadline to its answer.
    pub deadline_to_reply: Option<Spread>,
    /// From the request to cancel a running call to the answer, which comes when its process is reaped.
    pub kill_to_reaped: Option<Spread>,
}

/// A healthy call beside a hostile one.
#[derive(Clone, Debug, Serialize)]
pub struct Beside {
    /// The hostile one.
    pub name: &'static str,
    /// How long the healthy one took.
    pub canary: Spread,
    /// Its p99 over that of the idle server.
    pub ratio: f64,
}

impl Latency {
    /// Measures everything.
    #[track_caller]
    pub fn measure(&self, executables: &Executables, packages: &Packages) -> Measured {
        let server = Server::start(executables, Setting::ALONE, self.options.clone());
        for name in ["hello", "faulty"] {
            server.client().register(packages.get(name)).expect(201);
        }
        let client = server.client();
        canaries(&client, 20);
        let idle = Spread::of(canaries(&client, self.samples.max(500)));
        let calls = table().into_iter().filter(|row| matches!(row.act, Act::Call { .. }));
        let beside = calls.filter_map(|row| self.beside(&client, packages, &row, idle?)).collect();
        let measured = Measured {
            idle,
            beside,
            deadline_to_reply: Spread::of(self.deadlines(&client)),
            kill_to_reaped: Spread::of(self.kills(&server, &client)),
        };
        server.stop();
        measured
    }

    fn beside(&self, client: &Client, packages: &Packages, row: &Row, idle: Spread) -> Option<Beside> {
        // Its runner is started first: that is the platform's own work, and comes once.
        let _ = row.act(client, packages);
        let over = AtomicBool::new(false);
        let times = std::thread::scope(|scope| {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    let _ = row.act(client, packages);
                }
            });
            let times = canaries(client, self.samples);
            over.store(true, Ordering::Relaxed);
            times
        });
        let canary = Spread::of(times)?;
        Some(Beside { name: row.name, canary, ratio: (canary.p99_ms / idle.p99_ms * 100.0).round() / 100.0 })
    }

    fn deadlines(&self, client: &Client) -> Vec<Duration> {
        let stuck = table().into_iter().filter(|row| row.kind == Kind::TimedOut);
        let names: Vec<&str> = stuck.map(|row| row.name).filter(|name| *name != "ignores_sigxcpu").collect();
        let late = |number: usize| {
            let path = format!("/v1/functions/{}/invoke?timeout=300ms", names[number % names.len()]);
            let begun = Instant::now();
            let answer = client.post(&path, &json!({}));
            let taken = begun.elapsed();
            assert_eq!(answer.json()["outcome"]["kind"], "TimedOut", "{}", answer.text());
            taken.saturating_sub(DEADLINE)
        };
        (0..self.samples).map(late).collect()
    }

    fn kills(&self, server: &Server, client: &Client) -> Vec<Duration> {
        let kill = |_| {
            let task = client.submit(&json!({"function": "sleeps_forever", "args": {}}));
            eventually("the task runs", || {
                let status = client.get(&format!("/status/{task}")).expect(200).json();
                if status["status"] == "RUNNING" { Ok(()) } else { Err(status.to_string()) }
            });
            let before: BTreeSet<_> = server.processes().into_iter().map(|process| process.pid).collect();
            let begun = Instant::now();
            client.call(Method::DELETE, &format!("/v1/tasks/{task}"), Part::none()).expect(200);
            let taken = begun.elapsed();
            let after: BTreeSet<_> = server.processes().into_iter().map(|process| process.pid).collect();
            assert!(!before.is_subset(&after), "a task is cancelled and no process is gone");
            taken
        };
        (0..self.samples).map(kill).collect()
    }
}

/// Makes healthy calls, and says how long each took.
#[track_caller]
fn canaries(client: &Client, samples: usize) -> Vec<Duration> {
    let one = |_| {
        let begun = Instant::now();
        let answer = client.invoke("hello", &json!({"who": "canary"}));
        let taken = begun.elapsed();
        assert_eq!(answer.expect(200).json(), "Hello, canary!");
        taken
    };
    (0..samples).map(one).collect()
}
