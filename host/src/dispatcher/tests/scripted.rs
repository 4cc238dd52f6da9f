//! A worker that says what a test tells it to.

use std::collections::VecDeque;
use std::time::Duration;

use bulkhead_protocol::id::{TaskId, WorkerId};
use bulkhead_protocol::outcome::{Outcome, Report};
use bulkhead_protocol::worker_message::{Assignment, AttemptId, Hello, ToDispatcher, ToWorker, WorkerMode};
use uuid::Uuid;

use super::{DEADLINE, Server};
use crate::dispatcher::{Config, Handle, Mode, Remote};
use crate::link::{Dealer, DealerEvent, Endpoint, Events};
use crate::store::Store;

/// A dispatcher that pushes to workers at a port that the system chooses. Workers that say nothing stay.
pub(super) fn push() -> Config {
    Config { mode: Mode::Push(remote()), ..super::config() }
}

/// The same for workers that pull.
pub(super) fn pull() -> Config {
    Config { mode: Mode::Pull(remote()), ..super::config() }
}

pub(super) fn remote() -> Remote {
    let endpoint = "tcp://127.0.0.1:0".parse().unwrap();
    Remote {
        heartbeat: Duration::from_millis(50),
        dead_after: Duration::from_secs(3600),
        ..Remote::new(endpoint, None)
    }
}

/// One connection of a worker.
pub(super) struct Worker {
    /// How it introduced itself.
    pub(super) hello: Hello,
    dealer: Dealer,
    events: Events<DealerEvent>,
    /// What it was told and the test has not looked at.
    told: VecDeque<ToWorker>,
    /// Whether the connection is over.
    is_closed: bool,
}

/// An introduction under a new id.
pub(super) fn hello(mode: WorkerMode, slots: u32) -> Hello {
    let worker = WorkerId(Uuid::new_v4());
    Hello { worker, token: [3; 16], name: "scripted".to_owned(), mode, slots, in_hand: Vec::new() }
}

impl Worker {
    /// A connection on which nothing was said.
    pub(super) async fn silent(dispatcher: &Handle, hello: Hello) -> Self {
        let endpoint = Endpoint::new(dispatcher.address().unwrap());
        let (dealer, events) = Dealer::connect(&endpoint, None, DEADLINE).await.unwrap();
        Self { hello, dealer, events, told: VecDeque::new(), is_closed: false }
    }

    /// A connection on which hello was said.
    pub(super) async fn greet(dispatcher: &Handle, hello: Hello) -> Self {
        let worker = Self::silent(dispatcher, hello).await;
        worker.say([ToDispatcher::Hello(worker.hello.clone())]);
        worker
    }

    /// A connection that was welcomed.
    pub(super) async fn welcomed(dispatcher: &Handle, hello: Hello) -> Self {
        let mut worker = Self::greet(dispatcher, hello).await;
        let welcome = worker.next().await;
        assert!(matches!(welcome, ToWorker::Welcome { .. }), "{welcome:?}");
        worker
    }

    /// A new worker for the dispatcher of a server.
    pub(super) async fn push(server: &Server, slots: u32) -> Self {
        Self::welcomed(&server.dispatcher, hello(WorkerMode::Push, slots)).await
    }

    pub(super) fn id(&self) -> WorkerId {
        self.hello.worker
    }

    pub(super) fn say(&self, messages: impl IntoIterator<Item = ToDispatcher>) {
        self.dealer.send(messages.into_iter().collect()).unwrap();
    }

    /// What it is told next, heartbeats aside; none when the connection is over.
    pub(super) async fn next_or_end(&mut self) -> Option<ToWorker> {
        loop {
            match self.told.pop_front() {
                Some(ToWorker::Heartbeat) => {}
                Some(message) => return Some(message),
                None if self.is_closed => return None,
                None => {
                    let event = tokio::time::timeout(DEADLINE, self.events.recv()).await;
                    match event.expect("the dispatcher says nothing") {
                        Some(DealerEvent::Messages(messages)) => self.told.extend(messages),
                        Some(DealerEvent::Closed { .. }) | None => self.is_closed = true,
                    }
                }
            }
        }
    }

    pub(super) async fn next(&mut self) -> ToWorker {
        self.next_or_end().await.expect("the connection is over")
    }

    /// The next assignment; anything else is a failure.
    pub(super) async fn assigned(&mut self) -> Assignment {
        match self.next().await {
            ToWorker::Assign(assignment) => *assignment,
            other => panic!("no assignment: {other:?}"),
        }
    }

    /// Waits until an attempt is acknowledged; anything else is a failure.
    pub(super) async fn acknowledged(&mut self, id: AttemptId) {
        assert_eq!(self.next().await, ToWorker::Acknowledged { id });
    }

    /// Waits until the other side ends the connection.
    pub(super) async fn closed(&mut self) {
        if let Some(said) = self.next_or_end().await {
            panic!("more is said: {said:?}");
        }
    }

    /// Breaks the connection.
    pub(super) async fn vanish(self) -> Hello {
        drop(self.events);
        drop(self.dealer);
        self.hello
    }

    /// Goes through a round trip with the dispatcher: whatever it said before has been heard, and what
    /// followed from it at once has been said.
    pub(super) async fn round_trip(&mut self) -> Vec<ToWorker> {
        let package = bulkhead_protocol::id::PackageId([0xEE; 32]);
        self.say([ToDispatcher::Fetch { package, offset: 0, chunks: 1 }]);
        let mut said = Vec::new();
        loop {
            match self.next().await {
                ToWorker::NoPackage { package: of, .. } if of == package => return said,
                other => said.push(other),
            }
        }
    }
}

pub(super) fn started(id: AttemptId) -> ToDispatcher {
    ToDispatcher::Started { id, at_ms: super::unix_ms() }
}

pub(super) fn ended(id: AttemptId, outcome: Outcome) -> ToDispatcher {
    ToDispatcher::Ended { id, report: Report::without_process(outcome) }
}

pub(super) fn succeeded(id: AttemptId, result: &str) -> ToDispatcher {
    let report = Report { result: result.as_bytes().to_vec(), ..Report::without_process(Outcome::Succeeded) };
    ToDispatcher::Ended { id, report }
}

pub(super) fn id(task: TaskId, attempt: u32) -> AttemptId {
    AttemptId { task, attempt }
}

/// Waits until the store knows where an attempt runs.
pub(super) async fn runs_on(store: &Store, task: TaskId, worker: WorkerId) {
    let wait = async {
        while store.state(task).await.unwrap().unwrap().worker != Some(worker) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(DEADLINE, wait).await.expect("the store does not hear of the start");
}
