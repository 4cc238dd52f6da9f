//! The dispatcher: takes inputs, fires timers, fills free slots, claims more.

mod arrive;
mod attempt;
mod audit;
mod by_worker;
mod cancel;
mod drain;
mod record;
mod recover;
pub(crate) mod stats;
mod takeover;
mod task;
mod worker;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use bulkhead_protocol::id::{TaskId, WorkerId};
use bulkhead_protocol::task::Attempt;

use crate::config::Config;
use crate::input::Input;
use crate::output::Output;
use crate::pool::Pool;
use crate::queue::Queue;
use crate::random::Random;
use crate::timer::{Key, Timer, Timers};

use by_worker::ByWorker;
use cancel::Asked;
use drain::Drain;
use recover::Recovery;
use task::Entry;

/// Decides which task goes to which worker and what follows when an attempt ends. See the crate's
/// documentation for how to drive it.
#[derive(Debug)]
pub struct Dispatcher {
    /// The bounds and budgets.
    config: Config,
    /// Source of all jitter.
    random: Random,
    /// Time since start; never goes back.
    now: Duration,
    /// Tasks in hand: waiting, running, orphaned, or ended and not yet recorded. At most
    /// [`Config::window`], and beyond that those that workers brought.
    tasks: BTreeMap<TaskId, Entry>,
    /// How many of those workers brought.
    brought: usize,
    /// The order of those that wait.
    queue: Queue,
    /// The workers.
    pool: Pool,
    /// What falls due.
    timers: Timers,
    /// The silence timer of each remote worker.
    watches: BTreeMap<WorkerId, Key>,
    /// Tasks that the store was asked to cancel.
    asked: BTreeMap<TaskId, Asked>,
    /// Tasks that the store cancelled while a claim is under way, which may still bring them.
    gone: BTreeSet<TaskId>,
    /// Tasks that are not in hand and of which workers have attempts.
    recovering: BTreeMap<TaskId, Recovery>,
    /// How many of them the store is being asked for.
    asking: usize,
    /// Those that wait until fewer are.
    unasked: BTreeSet<TaskId>,
    /// Those attempts, by worker.
    in_hand: ByWorker<(TaskId, Attempt)>,
    /// Tasks whose attempt may still run on a worker that is not here, by worker.
    orphans: ByWorker<TaskId>,
    /// How many attempts' ends each worker reported that the store does not have.
    owed: BTreeMap<WorkerId, usize>,
    /// Whether the store is being asked for tasks.
    claim: Claim,
    /// Claims that failed since the last that did not.
    claim_failures: u32,
    /// Attempts that run.
    running: usize,
    /// Tasks that wait for the store to record something.
    recording: usize,
    /// Size of the reports that wait for the store.
    unrecorded_bytes: u64,
    /// How far a drain has come.
    drain: Drain,
    /// What is to be done and was not polled yet.
    outputs: VecDeque<Output>,
    /// The wake-up that the driver was last told.
    announced: Option<Duration>,
    /// Reports that were discarded.
    stale: u64,
    /// Tasks that became dead letters.
    dead_letters: u64,
}

/// Whether the store is being asked for tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Claim {
    /// It is not.
    Idle,
    /// It was asked for this many and has not answered.
    UnderWay(usize),
    /// It failed and is asked again when the timer fires.
    Resting(Key),
}

/// Most cancelled tasks that are remembered while a claim is under way; beyond it the claim is
/// made anew, which cannot bring them any more.
const MAX_GONE: usize = 1024;

impl Dispatcher {
    /// A dispatcher without tasks and workers. The seed determines all jitter.
    pub fn new(config: Config, seed: u64) -> Self {
        Self {
            config,
            random: Random::new(seed),
            now: Duration::ZERO,
            tasks: BTreeMap::new(),
            brought: 0,
            queue: Queue::default(),
            pool: Pool::default(),
            timers: Timers::default(),
            watches: BTreeMap::new(),
            asked: BTreeMap::new(),
            gone: BTreeSet::new(),
            recovering: BTreeMap::new(),
            asking: 0,
            unasked: BTreeSet::new(),
            in_hand: ByWorker::default(),
            orphans: ByWorker::default(),
            owed: BTreeMap::new(),
            claim: Claim::Idle,
            claim_failures: 0,
            running: 0,
            recording: 0,
            unrecorded_bytes: 0,
            drain: Drain::No,
            outputs: VecDeque::new(),
            announced: None,
            stale: 0,
            dead_letters: 0,
        }
    }

    /// Takes note of an input at `now`, the time since start. Poll afterwards until there is
    /// nothing more; several inputs may be handled before.
    pub fn handle(&mut self, now: Duration, input: Input) {
        self.now = self.now.max(now);
        // Before the timers: whoever speaks is not silent, even if the driver comes late.
        if let Some(worker) = input.worker() {
            self.pool.heard(worker, self.now);
        }
        // Nor are a hello and what it brings too late: an eviction now would cut the new connection.
        let input = match input {
            Input::Hello { worker, kind, slots, in_hand } => {
                self.hello(worker, kind, slots, in_hand);
                Input::Tick
            }
            other => other,
        };
        self.fire_timers();
        match input {
            Input::Arrived(arrival) => self.arrived(arrival),
            Input::Claimed => self.claimed(),
            Input::ClaimFailed => self.claim_failed(),
            Input::Ready { worker, count } => self.ready(worker, count),
            Input::Ahead { worker, ahead } => self.ahead(worker, ahead),
            Input::Resting { worker, resting } => self.resting(worker, resting),
            Input::Heartbeat { worker } => {
                self.greeted(worker);
            }
            Input::Disconnected { worker } => self.disconnected(worker),
            Input::DrainWorker { worker } => self.drain_worker(worker),
            Input::Started { worker, task, attempt } => self.started(worker, task, attempt),
            Input::Ended { worker, task, attempt, outcome, bytes } => {
                self.ended(worker, task, attempt, outcome, bytes);
            }
            Input::Goodbye { worker } => self.goodbye(worker),
            Input::Recovered { task, attempt, answer } => self.recovered(task, attempt, answer),
            Input::Fenced { task, attempt } => self.fenced(task, attempt),
            Input::TakenOver => self.taken_over(),
            Input::Cancel { task } => self.cancel(task),
            Input::CancelStored { task, answer } => self.cancel_stored(task, answer),
            Input::Recorded { task, applied } => self.recorded(task, applied),
            Input::RecordFailed { task } => self.record_failed(task),
            Input::Drain { grace } => self.drain(grace),
            // A hello came before the timers.
            Input::Hello { .. } | Input::Tick => {}
        }
        self.assign();
        self.claim();
        self.finish_drain();
    }

    /// The next thing to do; `None` when that was all.
    pub fn poll(&mut self) -> Option<Output> {
        if let Some(output) = self.outputs.pop_front() {
            return Some(output);
        }
        let next = self.timers.next();
        if next == self.announced {
            return None;
        }
        self.announced = next;
        Some(Output::WakeAt(next))
    }

    fn fire_timers(&mut self) {
        while let Some(timer) = self.timers.fire(self.now) {
            match timer {
                Timer::Expire(task) => self.expire(task),
                Timer::RetryRecord(task) => self.retry_record(task),
                Timer::RetryClaim => self.claim = Claim::Idle,
                Timer::Silence(worker) => self.silence(worker),
                Timer::Orphan(task) => self.give_up_orphan(task),
                Timer::Recover(task) => self.recover_again(task),
                Timer::DrainGrace => self.kill_running(),
            }
        }
    }

    /// Gives waiting tasks to workers while there are both, and room for their reports.
    fn assign(&mut self) {
        while self.drain == Drain::No && self.unrecorded_bytes < self.config.unrecorded_bytes {
            let Some(function) = self.queue.next() else { break };
            let Some(worker) = self.pool.choose(function) else { break };
            let Some(task) = self.queue.pop() else { break };
            self.begin(task, worker);
        }
    }

    /// Asks the store for as many tasks as are missing at hand, if there is anyone to run them.
    fn claim(&mut self) {
        if self.pool.slots() == 0 || self.drain != Drain::No {
            return self.stop_claiming();
        }
        if self.claim != Claim::Idle {
            return;
        }
        // What a concurrency limit holds back does not count as at hand: other functions' tasks are
        // claimed past it, up to the window.
        let wanted = self.config.prefetch.max(2 * self.pool.slots()).saturating_sub(self.queue.ready());
        let held = self.tasks.len() + self.asked.len();
        let max = wanted.min(self.config.window.saturating_sub(held));
        if max > 0 {
            self.claim = Claim::UnderWay(max);
            self.outputs.push_back(Output::Claim { max });
        }
    }

    fn stop_claiming(&mut self) {
        match self.claim {
            Claim::Idle => {}
            Claim::UnderWay(_) => self.outputs.push_back(Output::StopClaiming),
            Claim::Resting(key) => self.timers.unset(key),
        }
        self.claim = Claim::Idle;
        // A claim that was given up brings nothing.
        self.gone.clear();
    }

    fn claimed(&mut self) {
        if let Claim::UnderWay(_) = self.claim {
            self.claim = Claim::Idle;
        }
        self.claim_failures = 0;
        self.gone.clear();
    }

    fn claim_failed(&mut self) {
        if let Claim::UnderWay(_) = self.claim {
            self.claim_failures = self.claim_failures.saturating_add(1);
            let wait = self.store_backoff(self.claim_failures);
            self.claim = Claim::Resting(self.timers.set(self.now.saturating_add(wait), Timer::RetryClaim));
        }
        self.gone.clear();
    }

    /// How long the store is left alone after so many failures.
    fn store_backoff(&mut self, failures: u32) -> Duration {
        self.random.backoff(self.config.store_backoff, failures, self.config.store_backoff_max)
    }
}
