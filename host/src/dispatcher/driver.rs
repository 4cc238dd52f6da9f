//! The loop that hears what happens, tells the state machine, and carries out what it decides.

mod carry_out;
mod hear;
mod remote;
mod show;

use std::collections::HashMap;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bulkhead_dispatch::{CancelAnswer, Cancelled, Dispatcher, Input, Stats, WorkerKind};
use bulkhead_protocol::function::Function;
use bulkhead_protocol::id::{FunctionId, PackageId, TaskId, WorkerId};
use bulkhead_protocol::outcome::{Outcome, Report};
use bulkhead_protocol::task::{Attempt as Number, Task};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt as _, StreamExt as _};
use tokio::sync::{broadcast, mpsc, oneshot};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{MissedTickBehavior, Sleep};
use tokio_util::sync::CancellationToken;

use super::attempt::Run;
use super::clock::Clock;
use super::config::{Config, Error, Mode};
use super::handle::{Command, Handle, LOCAL, MAX_COMMANDS};
use super::reports::Reports;
use super::write::unix_ms;
use crate::executor::Executor;
use crate::link::{Router, RouterBounds};
use crate::store::{self, Claimed, Control, Recovered, Store, Transition};

use remote::Remotes;
use show::Shown;

/// How often the driver looks around when it has no remote workers to say something to.
const BEAT: Duration = Duration::from_secs(2);

/// The shortest heartbeat; below it the driver would do little else.
const SHORTEST_BEAT: Duration = Duration::from_millis(10);

/// Events of one kind that are taken in one turn; the rest comes in the next.
const TAKEN_PER_TURN: usize = 512;

/// Connections that the link takes for each worker that the dispatcher does: one that comes again may
/// do so before the end of its old connection was noticed.
const PEERS_PER_WORKER: usize = 2;

/// What comes back from what the driver began.
enum Event {
    /// An attempt of this process ended and its process is reaped.
    Ended { task: TaskId, attempt: Number, report: Report },
    /// The store was told that an attempt began; none: it failed.
    Begun { task: TaskId, attempt: Number, answer: Option<Transition> },
    /// The store made a write, or had something newer; none: it failed.
    Written { task: TaskId, attempt: Number, applied: Option<bool> },
    /// The store decided over a task that does not run.
    CancelStored { task: TaskId, answer: CancelAnswer },
    /// The store said whose an attempt is; none: it failed.
    Recovered { task: TaskId, attempt: Number, answer: Option<Recovered> },
    /// A function is known; none: it was deleted.
    Function { function: FunctionId, found: Option<Arc<Function>> },
    /// A package was read.
    Package { package: PackageId, found: Result<Option<Bytes>, String> },
    /// The store was told of the workers.
    Published,
    /// The store was told of the progress of running functions.
    ProgressSaid,
}

/// The start of an attempt, for the store.
struct Begun {
    /// The task.
    task: TaskId,
    /// The attempt.
    attempt: Number,
    /// Where.
    worker: WorkerId,
    /// When; milliseconds since the Unix epoch.
    at_ms: u64,
}

/// Owns the state machine and all that it decides over.
struct Driver {
    /// Decides.
    core: Dispatcher,
    /// The state machine's time.
    clock: Clock,
    /// Remembers.
    store: Store,
    /// Runs attempts in this process, in the local mode.
    run: Option<Run>,
    /// The workers and what waits for them, in the other modes.
    remotes: Option<Remotes>,
    /// How it was set up.
    config: Config,
    /// From the handles.
    commands: mpsc::Receiver<Command>,
    /// Whether there are handles left.
    has_handles: bool,
    /// From the gateways, by way of the store; none once the store is closed.
    controls: Option<broadcast::Receiver<Control>>,
    /// What is told to those who look.
    shown: Shown,
    /// The claim under way.
    claim: Option<BoxFuture<'static, Result<Vec<Claimed>, store::Error>>>,
    /// Attempts of this process.
    attempts: JoinSet<Event>,
    /// What the store was asked. Polled first in the order in which it was pushed, so that one task's
    /// writes set out in their order.
    asked: FuturesUnordered<BoxFuture<'static, Event>>,
    /// Starts that the store is told of at the end of the turn, before anything that was written since.
    begun: Vec<Begun>,
    /// What else the store is asked at the end of the turn.
    to_ask: Vec<BoxFuture<'static, Event>>,
    /// The tasks in hand with their inputs.
    tasks: HashMap<TaskId, Arc<Task>>,
    /// What kills each running attempt of this process.
    kills: HashMap<TaskId, (Number, CancellationToken)>,
    /// Reports that the store does not have yet.
    reports: Reports,
    /// The worker whose word the state machine is hearing.
    speaker: Option<WorkerId>,
    /// Attempts that ended here without reaching their worker, to be told to the state machine.
    unsent: Vec<(WorkerId, TaskId, Number, Outcome)>,
    /// Who waits for a cancel.
    cancels: HashMap<TaskId, Vec<oneshot::Sender<Cancelled>>>,
    /// Who waits for the drain.
    drains: Vec<oneshot::Sender<()>>,
    /// Whether the drain is over.
    drained: bool,
    /// Wakes the driver for the state machine's next timer, when there is one.
    alarm: Pin<Box<Sleep>>,
    /// When the state machine's next timer is due, in its time.
    wake_at: Option<Duration>,
}

/// Starts a dispatcher over a store, and over the executor of this process or the workers that come.
/// The task ends after a drain, or when nobody can connect any more; aborting it kills what runs in this
/// process, and the store has it for the next start. Attempts on remote workers go on after an abort
/// and come back with their workers to the next start; a drain kills them after its grace like all
/// others. The store is the caller's to close.
///
/// Must be called inside a tokio runtime.
///
/// # Errors
/// [`Error::NoExecutor`], [`Error::Listen`].
pub fn start(store: Store, executor: Option<Executor>, config: Config) -> Result<(Handle, JoinHandle<()>), Error> {
    let run = executor.map(|executor| {
        let slots = executor.slots();
        let run: Run = Arc::new(move |call, cancel| {
            let executor = executor.clone();
            Box::pin(async move { executor.run(call, cancel).await })
        });
        (run, slots)
    });
    start_with(store, run, config)
}

/// [`start`] over whatever runs attempts in as many slots.
pub(super) fn start_with(
    store: Store,
    run: Option<(Run, u32)>,
    mut config: Config,
) -> Result<(Handle, JoinHandle<()>), Error> {
    let mut beat = BEAT;
    let (local, remotes, address) = match config.mode.clone() {
        Mode::Local { slots } => {
            let (run, all_slots) = run.ok_or(Error::NoExecutor)?;
            (Some((run, slots.unwrap_or(all_slots))), None, None)
        }
        Mode::Push(remote) | Mode::Pull(remote) => {
            config.bounds.silence = remote.dead_after;
            beat = remote.heartbeat.max(SHORTEST_BEAT);
            let peers = remote.max_workers.saturating_mul(PEERS_PER_WORKER);
            let bounds = RouterBounds { peers, ..remote.link.clone() };
            let (router, events) = Router::bind(&remote.endpoint, remote.join_key.as_ref(), bounds)
                .map_err(|source| Error::Listen { endpoint: remote.endpoint.clone(), source })?;
            // Of the form tcp://127.0.0.1:5555, always with numbers.
            let address = router.address();
            let address = address.trim_start_matches("tcp://").parse().ok();
            let mode = config.mode.remote().map(|(_, mode)| mode);
            (None, mode.map(|mode| Remotes::new(router, events, &remote, mode)), address)
        }
    };
    let name = config.name.clone().unwrap_or_else(|| show::default_name(address));
    let (sender, commands) = mpsc::channel(MAX_COMMANDS);
    let stats = Arc::new(Mutex::new(Stats::default()));
    let handle = Handle::new(sender, store.clone(), Arc::clone(&stats), address);
    let seed = config.seed.unwrap_or_else(unix_ms);
    let (run, slots) = local.map_or((None, None), |(run, slots)| (Some(run), Some(slots)));
    let driver = Driver {
        core: Dispatcher::new(config.bounds.clone(), seed),
        clock: Clock::new(beat),
        run,
        remotes,
        commands,
        has_handles: true,
        controls: Some(store.controls()),
        shown: Shown::new(name, stats, unix_ms()),
        claim: None,
        attempts: JoinSet::new(),
        asked: FuturesUnordered::new(),
        begun: Vec::new(),
        to_ask: Vec::new(),
        tasks: HashMap::new(),
        kills: HashMap::new(),
        reports: Reports::default(),
        speaker: None,
        unsent: Vec::new(),
        cancels: HashMap::new(),
        drains: Vec::new(),
        drained: false,
        alarm: Box::pin(tokio::time::sleep(Duration::ZERO)),
        wake_at: None,
        store,
        config,
    };
    Ok((handle, tokio::spawn(driver.work(slots, beat))))
}

impl Driver {
    async fn work(mut self, slots: Option<u32>, beat: Duration) {
        let mut beat = tokio::time::interval(beat);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        if let Some(slots) = slots {
            self.tell(Input::Hello { worker: LOCAL, kind: WorkerKind::Local, slots, in_hand: Vec::new() });
        }
        let mut is_due = false;
        while !self.drained {
            self.end_turn();
            tokio::select! {
                command = self.commands.recv(), if self.has_handles => match command {
                    Some(command) => self.obey(command),
                    None => self.has_handles = false,
                },
                Some(event) = self.attempts.join_next() => self.hear_end(event),
                Some(event) = self.asked.next() => self.hear(event),
                claimed = answer(&mut self.claim), if self.claim.is_some() => self.take(claimed),
                event = remote::next(&mut self.remotes) => match event {
                    Some(event) => self.hear_peer(event),
                    None => {
                        tracing::error!("the link to the workers has failed");
                        break;
                    }
                },
                control = next_control(&mut self.controls) => self.hear_control(control),
                _ = beat.tick() => self.beat(),
                () = self.shown.progress_due() => self.say_progress(),
                () = &mut self.alarm, if self.wake_at.is_some() => is_due = true,
            }
            self.clock.wake();
            self.hear_more();
            // Last: what a worker has said by now counts, even if this process comes late to hear it.
            if std::mem::take(&mut is_due) {
                self.ring();
            }
        }
        self.end_turn();
        self.leave().await;
        // Dropping the commands and their senders makes the handles ask the store instead.
    }

    /// Takes what else is there, so that all of it goes on together.
    fn hear_more(&mut self) {
        for _ in 0..TAKEN_PER_TURN {
            let Some(event) = self.remotes.as_mut().and_then(Remotes::try_next) else { break };
            self.hear_peer(event);
        }
        for _ in 0..TAKEN_PER_TURN {
            let Some(Some(event)) = self.asked.next().now_or_never() else { break };
            self.hear(event);
        }
        for _ in 0..TAKEN_PER_TURN {
            let Some(event) = self.attempts.try_join_next() else { break };
            self.hear_end(event);
        }
    }

    /// Tells the state machine that its timer is due, or sets the alarm anew if it is not.
    fn ring(&mut self) {
        let Some(due) = self.wake_at else { return };
        if self.clock.now() < due {
            return self.alarm.as_mut().reset(self.clock.moment(due));
        }
        self.wake_at = None;
        self.tell(Input::Tick);
    }

    /// Sends everything that this turn was made of.
    fn end_turn(&mut self) {
        while !self.unsent.is_empty() {
            for (worker, task, attempt, outcome) in std::mem::take(&mut self.unsent) {
                self.end(worker, task, attempt, Report::without_process(outcome));
            }
        }
        self.send_released();
        for Begun { task, attempt, worker, at_ms } in std::mem::take(&mut self.begun) {
            let store = self.store.clone();
            self.asked.push(guarded(Event::Begun { task, attempt, answer: None }, async move {
                let answer = store.started(task, attempt, worker, at_ms).await;
                let answer = answer.inspect_err(|error| {
                    let error = error as &dyn std::error::Error;
                    tracing::warn!(task_id = %task, attempt, error, "the start of an attempt was not stored");
                });
                Event::Begun { task, attempt, answer: answer.ok() }
            }));
        }
        self.asked.extend(self.to_ask.drain(..));
        if let Some(remotes) = &mut self.remotes {
            remotes.roster.flush();
        }
        self.show();
    }

    fn tell(&mut self, input: Input) {
        self.core.handle(self.clock.now(), input);
        while let Some(output) = self.core.poll() {
            self.carry_out(output);
        }
    }

    /// Asks the store something; `failed` is what a panic in it counts as.
    fn ask(&mut self, failed: Event, work: impl Future<Output = Event> + Send + 'static) {
        self.to_ask.push(guarded(failed, work));
    }
}

/// Work in which a panic counts as `failed`.
fn guarded(failed: Event, work: impl Future<Output = Event> + Send + 'static) -> BoxFuture<'static, Event> {
    let work = AssertUnwindSafe(work).catch_unwind();
    Box::pin(async move { work.await.unwrap_or(failed) })
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

/// The next word of a gateway; never, once the store is closed.
async fn next_control(
    controls: &mut Option<broadcast::Receiver<Control>>,
) -> Result<Control, broadcast::error::RecvError> {
    match controls {
        Some(receiver) => receiver.recv().await,
        None => std::future::pending().await,
    }
}
