//! What the tests are written with.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bulkhead_protocol::function::{Function, Isolation};
use bulkhead_protocol::id::{FunctionId, PackageId, TaskId};
use bulkhead_protocol::limits::Limits;
use bulkhead_protocol::outcome::{Outcome, Report};
use bulkhead_protocol::task::{Input, Progress};
use bulkhead_protocol::worker_message::{Assignment, AttemptId, Hello, ToDispatcher, ToWorker, WorkerMode};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::executor::Call;
use crate::link::{Endpoint, Events, JoinKey, PeerEvent, PeerId, Router, RouterBounds};
use crate::worker::fetches::Wanted;
use crate::worker::handle::join;
use crate::worker::run::Runs;
use crate::worker::{Config, Error, Worker};

/// How long anything may take. Generous: it only ends tests that would hang.
const DEADLINE: Duration = Duration::from_secs(30);

/// Waits for what must come.
pub(super) async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, future).await.expect("nothing came in time")
}

/// The first attempt of a task.
pub(super) fn id(task: u128) -> AttemptId {
    AttemptId { task: TaskId(Uuid::from_u128(task)), attempt: 1 }
}

/// An attempt to run.
pub(in crate::worker) fn assignment(id: AttemptId) -> Box<Assignment> {
    let function = Function {
        id: FunctionId(Uuid::from_u128(1)),
        name: "f".to_owned(),
        version: 1,
        package: PackageId([1; 32]),
        index: 0,
        entry: "f".to_owned(),
        limits: Limits::default(),
        isolation: Isolation::Fresh,
        description: String::new(),
        registered_at_ms: 0,
    };
    Box::new(Assignment { id, function, config: Vec::new(), timeout_ms: None, input: Input::default() })
}

pub(super) fn assign(ids: impl IntoIterator<Item = u128>) -> Vec<ToWorker> {
    ids.into_iter().map(|task| ToWorker::Assign(assignment(id(task)))).collect()
}

pub(super) fn report(outcome: Outcome) -> Report {
    Report::without_process(outcome)
}

/// A dispatcher that does what the test says.
pub(super) struct Script {
    router: Router,
    events: Events<PeerEvent>,
    /// The connection that opened last and stands.
    peer: Option<PeerId>,
    /// Said over it and not looked at.
    heard: VecDeque<ToDispatcher>,
}

impl Script {
    pub(super) fn bind() -> Self {
        Self::bind_to("tcp://127.0.0.1:0", None)
    }

    pub(super) fn bind_to(endpoint: &str, key: Option<&JoinKey>) -> Self {
        let (router, events) = Router::bind(&endpoint.parse().unwrap(), key, RouterBounds::default()).unwrap();
        Self { router, events, peer: None, heard: VecDeque::new() }
    }

    pub(super) fn endpoint(&self) -> Endpoint {
        self.router.address().parse().unwrap()
    }

    pub(super) fn say(&self, messages: Vec<ToWorker>) {
        self.router.send(self.peer.expect("nobody is connected"), messages).unwrap();
    }

    /// The next message, heartbeats aside.
    pub(super) async fn hear(&mut self) -> ToDispatcher {
        loop {
            let message = self.hear_anything().await;
            if message != ToDispatcher::Heartbeat {
                return message;
            }
        }
    }

    /// The next message.
    pub(super) async fn hear_anything(&mut self) -> ToDispatcher {
        soon(async {
            loop {
                if let Some(message) = self.heard.pop_front() {
                    return message;
                }
                self.event().await;
            }
        })
        .await
    }

    /// The next `count` messages in whatever order, as text, sorted.
    pub(super) async fn hear_some(&mut self, count: usize) -> Vec<String> {
        let mut heard = Vec::new();
        for _ in 0..count {
            heard.push(summary(&self.hear().await));
        }
        heard.sort();
        heard
    }

    /// What was said next is this.
    pub(super) async fn expect(&mut self, expected: &[&str]) {
        for expected in expected {
            assert_eq!(summary(&self.hear().await), *expected);
        }
    }

    async fn event(&mut self) {
        match self.events.recv().await.expect("the router ended") {
            PeerEvent::Opened { peer, .. } => {
                self.peer = Some(peer);
                self.heard.clear();
            }
            PeerEvent::Messages { peer, messages } if self.peer == Some(peer) => self.heard.extend(messages),
            PeerEvent::Messages { .. } => {}
            PeerEvent::Closed { peer, .. } => {
                if self.peer == Some(peer) {
                    self.peer = None;
                }
            }
        }
    }

    /// Waits for a connection and the hello on it.
    pub(super) async fn hello(&mut self) -> Hello {
        match self.hear().await {
            ToDispatcher::Hello(hello) => hello,
            other => panic!("{other:?} in place of a hello"),
        }
    }

    /// Hears a hello and welcomes the worker.
    pub(super) async fn welcome(&mut self) -> Hello {
        self.welcome_with(2_000, 10_000).await
    }

    pub(super) async fn welcome_with(&mut self, heartbeat_ms: u64, dead_after_ms: u64) -> Hello {
        let hello = self.hello().await;
        self.say(vec![ToWorker::Welcome { heartbeat_ms, dead_after_ms }]);
        hello
    }

    /// Breaks the connection.
    pub(super) fn hang_up(&mut self) {
        self.heard.clear();
        self.router.close(self.peer.take().expect("nobody is connected"));
    }

    /// Waits until the worker has ended the connection.
    pub(super) async fn hung_up(&mut self) {
        soon(async {
            while self.peer.is_some() {
                self.event().await;
            }
        })
        .await;
    }

    pub(super) async fn stop(self) {
        self.router.shutdown().await;
    }
}

/// A message in few words.
pub(super) fn summary(message: &ToDispatcher) -> String {
    match message {
        ToDispatcher::Hello(hello) => format!("hello with {} in hand", hello.in_hand.len()),
        ToDispatcher::Ready { count } => format!("ready {count}"),
        ToDispatcher::Ahead { ahead } => format!("ahead {ahead}"),
        ToDispatcher::Heartbeat => "heartbeat".to_owned(),
        ToDispatcher::Started { id, .. } => format!("started {}", id.task.0.as_u128()),
        ToDispatcher::Progress { id, progress } => format!("progress {} {}", id.task.0.as_u128(), progress.fraction),
        ToDispatcher::Ended { id, report } => format!("ended {} {}", id.task.0.as_u128(), report.outcome.kind()),
        ToDispatcher::Goodbye => "goodbye".to_owned(),
        ToDispatcher::Fetch { offset, chunks, .. } => format!("fetch {chunks} from {offset}"),
        ToDispatcher::Resting { resting } => (if *resting { "rests" } else { "rests no more" }).to_owned(),
    }
}

/// An attempt that runs until the test ends it.
pub(super) struct Begun {
    pub(super) call: Call,
    pub(super) cancel: CancellationToken,
    end: oneshot::Sender<Report>,
}

impl Begun {
    pub(super) fn end(self, outcome: Outcome) {
        self.end_with(report(outcome));
    }

    pub(super) fn end_with(self, report: Report) {
        self.end.send(report).unwrap();
    }
}

/// Stands for the executor.
pub(super) struct Stage {
    begun: mpsc::UnboundedReceiver<Begun>,
    pub(super) progress: Arc<Mutex<Option<Progress>>>,
}

impl Stage {
    /// The next attempt that began.
    pub(super) async fn begun(&mut self) -> Begun {
        soon(self.begun.recv()).await.unwrap()
    }

    /// Whether none began beside those seen.
    pub(super) fn is_idle(&mut self) -> bool {
        self.begun.try_recv().is_err()
    }
}

/// Runs that end when the test says so, or when they are killed.
pub(super) fn stage() -> (Runs, Stage) {
    let (begin, begun) = mpsc::unbounded_channel();
    let progress: Arc<Mutex<Option<Progress>>> = Arc::default();
    let look = progress.clone();
    let runs = Runs {
        is_warm: Arc::new(|_| true),
        get_ready: Arc::new(|_| Box::pin(async { Ok(()) })),
        run: Arc::new(move |call, cancel| {
            let (end, ended) = oneshot::channel();
            begin.send(Begun { call, cancel: cancel.clone(), end }).unwrap();
            Box::pin(async move {
                tokio::select! {
                    biased;
                    ended = ended => ended.unwrap_or_else(|_| report(Outcome::Succeeded)),
                    () = cancel.cancelled() => report(Outcome::Cancelled),
                }
            })
        }),
        progress: Arc::new(move |_| look.lock().unwrap().clone()),
    };
    (runs, Stage { begun, progress })
}

/// Runs that succeed at once.
pub(super) fn instant() -> Runs {
    let run =
        |_, _| -> futures_util::future::BoxFuture<'static, Report> { Box::pin(async { report(Outcome::Succeeded) }) };
    let (runs, _) = stage();
    Runs { run: Arc::new(run), ..runs }
}

/// How a worker of these tests is set up.
pub(super) fn config(endpoint: Endpoint, mode: WorkerMode, slots: u32) -> Config {
    Config { connect_wait: DEADLINE, ..Config::new(endpoint, mode, slots, "unused".into()) }
}

/// Begins to start a worker that fetches no packages.
pub(super) fn starting(config: Config, runs: Runs) -> tokio::task::JoinHandle<Result<Worker, Error>> {
    let (_, wanted) = mpsc::channel::<Wanted>(1);
    tokio::spawn(join(config, runs, wanted, None))
}

/// A worker that has joined a scripted dispatcher.
pub(super) async fn joined(mode: WorkerMode, slots: u32, runs: Runs) -> (Script, Worker) {
    let mut script = Script::bind();
    let starting = starting(config(script.endpoint(), mode, slots), runs);
    script.welcome().await;
    let worker = soon(starting).await.unwrap().unwrap();
    (script, worker)
}
