//! The loop that hears what happens, tells the state machine, and carries out what it decides.

use std::collections::HashMap;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bulkhead_dispatch::{
    Arrival, CancelAnswer, Cancelled, Cut, Dispatcher, Input, Output, Record, Refusal, Stats, WorkerKind,
};
use bulkhead_protocol::id::{TaskId, WorkerId};
use bulkhead_protocol::outcome::{Outcome, Report};
use bulkhead_protocol::task::{Attempt as Number, Status, Task, TaskState};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use tokio::sync::{mpsc, oneshot};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, Sleep};
use tokio_util::sync::CancellationToken;

use super::attempt::{Attempt, Run};
use super::config::Config;
use super::handle::{Command, Handle, MAX_COMMANDS};
use super::write::{Ended, Write, cancel_stored, unix_ms};
use crate::executor::Executor;
use crate::store::{self, Claimed, Store};

/// The executor of this process, as a worker.
const LOCAL: WorkerId = WorkerId(uuid::Uuid::nil());

/// Bytes that a held report takes beside its result and logs.
const REPORT_BYTES: u64 = 512;

/// What comes back from the tasks that the driver spawned.
enum Event {
    /// An attempt ended and its process is reaped.
    Ended { task: TaskId, attempt: Number, report: Report },
    /// The store made a write, or had something newer; none: it failed.
    Written { task: TaskId, applied: Option<bool> },
    /// The store decided over a task that does not run.
    CancelStored { task: TaskId, answer: CancelAnswer },
}

/// Owns the state machine and all that it decides over.
struct Driver {
    /// Decides.
    core: Dispatcher,
    /// Remembers.
    store: Store,
    /// Runs.
    run: Run,
    /// How it was set up.
    config: Config,
    /// When the state machine's time began.
    start: Instant,
    /// From the handles.
    commands: mpsc::Receiver<Command>,
    /// Whether there are handles left.
    has_handles: bool,
    /// For the handles.
    stats: Arc<Mutex<Stats>>,
    /// The claim under way.
    claim: Option<BoxFuture<'static, Result<Vec<Claimed>, store::Error>>>,
    /// Attempts and writes under way.
    spawned: JoinSet<Event>,
    /// The tasks in hand with their inputs.
    tasks: HashMap<TaskId, Arc<Task>>,
    /// What kills each running attempt.
    kills: HashMap<TaskId, (Number, CancellationToken)>,
    /// Reports that the store does not have yet.
    reports: HashMap<TaskId, Ended>,
    /// Who waits for a cancel.
    cancels: HashMap<TaskId, Vec<oneshot::Sender<Cancelled>>>,
    /// Who waits for the drain.
    drains: Vec<oneshot::Sender<()>>,
    /// Whether the drain is over.
    drained: bool,
    /// Wakes the driver for the state machine's next timer, when `is_awaited`.
    alarm: Pin<Box<Sleep>>,
    /// Whether there is a next timer.
    is_awaited: bool,
}

/// Starts a dispatcher over a store and the executor of this process. The task ends after a
/// drain; aborting it kills what runs, and the store has it for the next start. Must be called
/// inside a tokio runtime.
pub fn start(store: Store, executor: Executor, config: Config) -> (Handle, JoinHandle<()>) {
    let slots = config.slots.unwrap_or_else(|| executor.slots());
    let run: Run = Arc::new(move |call, cancel| {
        let executor = executor.clone();
        Box::pin(async move { executor.run(call, cancel).await })
    });
    start_with(store, slots, run, config)
}

/// [`start`] over whatever runs attempts.
pub(super) fn start_with(store: Store, slots: u32, run: Run, config: Config) -> (Handle, JoinHandle<()>) {
    let (sender, commands) = mpsc::channel(MAX_COMMANDS);
    let stats = Arc::new(Mutex::new(Stats::default()));
    let handle = Handle::new(sender, store.clone(), Arc::clone(&stats));
    let seed = config.seed.unwrap_or_else(unix_ms);
    let driver = Driver {
        core: Dispatcher::new(config.bounds.clone(), seed),
        store,
        run,
        config,
        start: Instant::now(),
        commands,
        has_handles: true,
        stats,
        claim: None,
        spawned: JoinSet::new(),
        tasks: HashMap::new(),
        kills: HashMap::new(),
        reports: HashMap::new(),
        cancels: HashMap::new(),
        drains: Vec::new(),
        drained: false,
        alarm: Box::pin(tokio::time::sleep(Duration::ZERO)),
        is_awaited: false,
    };
    (handle, tokio::spawn(driver.work(slots)))
}

impl Driver {
    async fn work(mut self, slots: u32) {
        self.tell(Input::Hello { worker: LOCAL, kind: WorkerKind::Local, slots });
        while !self.drained {
            self.publish();
            tokio::select! {
                command = self.commands.recv(), if self.has_handles => match command {
                    Some(command) => self.obey(command),
                    None => self.has_handles = false,
                },
                Some(event) = self.spawned.join_next() => {
                    self.hear(event);
                    while let Some(event) = self.spawned.try_join_next() {
                        self.hear(event);
                    }
                }
                claimed = answer(&mut self.claim), if self.claim.is_some() => self.take(claimed),
                () = &mut self.alarm, if self.is_awaited => {
                    self.is_awaited = false;
                    self.tell(Input::Tick);
                }
            }
        }
        self.publish();
        // Dropping the commands and their senders makes the handles ask the store instead.
    }

    /// Time since the state machine's start.
    fn now(&self) -> Duration {
        self.start.elapsed()
    }

    fn tell(&mut self, input: Input) {
        self.core.handle(self.now(), input);
        while let Some(output) = self.core.poll() {
            self.carry_out(output);
        }
    }

    fn publish(&self) {
        self.core.stats(&mut self.stats.lock().unwrap_or_else(PoisonError::into_inner));
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::Cancel { task, answer } => {
                self.cancels.entry(task).or_default().push(answer);
                self.tell(Input::Cancel { task });
            }
            Command::Drain { grace, done } => {
                self.drains.push(done);
                self.tell(Input::Drain { grace });
            }
        }
    }

    fn hear(&mut self, event: Result<Event, tokio::task::JoinError>) {
        // Panics are caught inside the task, and nothing aborts one.
        let Ok(event) = event else { return };
        match event {
            Event::Ended { task, attempt, report } => {
                self.kills.remove(&task);
                let outcome = report.outcome.clone();
                let size = report.result.len() + report.logs.stdout.len() + report.logs.stderr.len();
                let bytes = REPORT_BYTES.saturating_add(size as u64);
                self.reports.insert(task, Ended { attempt, report: Arc::new(report), at_ms: unix_ms() });
                self.tell(Input::Ended { worker: LOCAL, task, attempt, outcome, bytes });
            }
            Event::Written { task, applied: Some(applied) } => self.tell(Input::Recorded { task, applied }),
            Event::Written { task, applied: None } => self.tell(Input::RecordFailed { task }),
            Event::CancelStored { task, answer } => self.tell(Input::CancelStored { task, answer }),
        }
    }

    fn take(&mut self, claimed: Result<Vec<Claimed>, store::Error>) {
        let claimed = match claimed {
            Ok(claimed) => claimed,
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "the queue could not be read");
                return self.tell(Input::ClaimFailed);
            }
        };
        for Claimed { task, state } in claimed {
            let arrival = self.arrival(&task, &state);
            self.tasks.insert(task.id, task);
            self.tell(Input::Arrived(arrival));
        }
        self.tell(Input::Claimed);
    }

    fn arrival(&self, task: &Task, state: &TaskState) -> Arrival {
        let cut = match &state.outcome {
            _ if state.status == Status::Running => Cut::Lost,
            None => Cut::Lost,
            // What a client cancels ends; a task that was killed and still goes on was drained.
            Some(Outcome::Cancelled) => Cut::Drained,
            Some(_) => Cut::Failed,
        };
        let expires = self.config.queue_ttl.map(|ttl| {
            let from_ms = task.options.not_before_ms.unwrap_or(0).max(task.submitted_at_ms);
            let waited = Duration::from_millis(unix_ms().saturating_sub(from_ms));
            self.now().saturating_add(ttl.saturating_sub(waited))
        });
        Arrival {
            task: task.id,
            function: task.function,
            priority: task.options.priority,
            retry: task.options.retry,
            attempt: state.attempt,
            cut,
            concurrency: self.config.concurrency.get(&task.function_name).copied(),
            expires,
        }
    }

    fn carry_out(&mut self, output: Output) {
        match output {
            Output::Claim { max } => {
                let store = self.store.clone();
                self.claim = Some(Box::pin(async move { store.claim(max).await }));
            }
            Output::StopClaiming => self.claim = None,
            Output::Assign { task, attempt, .. } => self.begin(task, attempt),
            Output::CancelAttempt { task, attempt, .. } => {
                if let Some((number, cancel)) = self.kills.get(&task)
                    && *number == attempt
                {
                    cancel.cancel();
                }
            }
            Output::Record { task, attempt, record } => self.write(task, attempt, record),
            Output::CancelStored { task } => {
                let store = self.store.clone();
                let failed = Event::CancelStored { task, answer: CancelAnswer::Failed };
                self.spawn(
                    failed,
                    async move { Event::CancelStored { task, answer: cancel_stored(&store, task).await } },
                );
            }
            Output::CancelAnswered { task, result } => {
                for waiter in self.cancels.remove(&task).unwrap_or_default() {
                    // Who asked may have gone.
                    let _ = waiter.send(result);
                }
            }
            Output::DeadLetter { task, attempt } => {
                tracing::warn!(task_id = %task, attempt, "the task crashed too often and is a dead letter");
            }
            Output::Refuse { task, reason: Refusal::WindowFull } => {
                self.tasks.remove(&task);
                tracing::error!(task_id = %task, "a claim brought more tasks than asked for; this one waits for a restart");
            }
            Output::Refuse { task, reason: Refusal::Duplicate } => {
                tracing::debug!(task_id = %task, "a task was claimed twice");
            }
            Output::Discard { task, attempt } => {
                tracing::debug!(task_id = %task, attempt, "a late report was dropped");
                if self.reports.get(&task).is_some_and(|ended| ended.attempt == attempt) {
                    self.reports.remove(&task);
                }
            }
            // The store hands out what it has as claimed when it is opened anew.
            Output::Release { task } | Output::Forget { task } => {
                self.tasks.remove(&task);
                self.reports.remove(&task);
            }
            Output::Evict { worker } | Output::Dismiss { worker } => {
                tracing::debug!(worker_id = %worker, "a worker is gone");
            }
            Output::Drained => {
                self.drained = true;
                self.drains.clear();
            }
            Output::WakeAt(None) => self.is_awaited = false,
            Output::WakeAt(Some(at)) => {
                self.alarm.as_mut().reset(self.start + at);
                self.is_awaited = true;
            }
        }
    }

    fn begin(&mut self, task: TaskId, number: Number) {
        let Some(input) = self.tasks.get(&task).map(Arc::clone) else {
            debug_assert!(false, "a task is kept until it is forgotten");
            return;
        };
        let cancel = CancellationToken::new();
        self.kills.insert(task, (number, cancel.clone()));
        let attempt = Attempt {
            store: self.store.clone(),
            run: Arc::clone(&self.run),
            function_configs: Arc::clone(&self.config.function_configs),
            task: input,
            number,
            cancel,
        };
        let step = "run the attempt".to_owned();
        let report = Report::without_process(Outcome::SetupFailed { step, errno: 0 });
        let failed = Event::Ended { task, attempt: number, report };
        self.spawn(failed, async move { Event::Ended { task, attempt: number, report: attempt.run().await } });
    }

    fn write(&mut self, task: TaskId, attempt: Number, record: Record) {
        let write = match record {
            Record::Finish { outcome } => {
                let ended = self.reports.get(&task).filter(|ended| ended.attempt == attempt);
                let report = ended.map(|ended| Arc::clone(&ended.report));
                let at_ms = ended.map_or_else(unix_ms, |ended| ended.at_ms);
                Write::Finish { outcome, report, at_ms }
            }
            Record::Requeue { outcome, not_before } => {
                self.reports.remove(&task);
                let wait = not_before.saturating_sub(self.now());
                let wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
                Write::Requeue { outcome, not_before_ms: unix_ms().saturating_add(wait_ms) }
            }
        };
        let store = self.store.clone();
        self.spawn(Event::Written { task, applied: None }, async move {
            let applied = write.make(&store, task, attempt).await;
            let applied = applied.inspect_err(|error| {
                let error = error as &dyn std::error::Error;
                tracing::warn!(task_id = %task, attempt, error, "the end of an attempt is not stored yet");
            });
            Event::Written { task, applied: applied.ok() }
        });
    }

    /// Runs something beside the driver; `failed` is what a panic in it counts as.
    fn spawn(&mut self, failed: Event, work: impl Future<Output = Event> + Send + 'static) {
        let work = AssertUnwindSafe(work).catch_unwind();
        self.spawned.spawn(async move { work.await.unwrap_or(failed) });
    }
}

/// Waits for the claim under way and takes it. Dropping the future leaves the claim as it is.
async fn answer<T>(claim: &mut Option<BoxFuture<'static, T>>) -> T {
    match claim {
        Some(under_way) => {
            let answer = under_way.await;
            *claim = None;
            answer
        }
        None => std::future::pending().await,
    }
}
