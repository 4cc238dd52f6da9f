//! The dispatcher: takes inputs, fires timers, fills free slots, claims more.

mod cancel;
mod drain;
pub(crate) mod stats;
mod task;
mod worker;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use bulkhead_protocol::id::{TaskId, WorkerId};
use bulkhead_protocol::task::Attempt;

use crate::config::Config;
use crate::input::{Arrival, Input};
use crate::output::Output;
use crate::pool::Pool;
use crate::queue::Queue;
use crate::random::Random;
use crate::retry::History;
use crate::timer::{Key, Timer, Timers};

use drain::Drain;
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
    /// Tasks in hand: waiting, running, or ended and not yet recorded. At most
    /// [`Config::window`].
    tasks: BTreeMap<TaskId, Entry>,
    /// The order of those that wait.
    queue: Queue,
    /// The workers.
    pool: Pool,
    /// What falls due.
    timers: Timers,
    /// The silence timer of each remote worker.
    watches: BTreeMap<WorkerId, Key>,
    /// Tasks that the store was asked to cancel, with the arrival of those in hand: these neither
    /// run nor wait until it answers.
    asked: BTreeMap<TaskId, Option<Arrival>>,
    /// Tasks that the store cancelled while a claim is under way, which may still bring them.
    gone: BTreeSet<TaskId>,
    /// What tasks had used up, at which attempt, when they went back to the store. The store keeps
    /// no such counts; what is forgotten here is guessed from the number of attempts.
    histories: BTreeMap<TaskId, (Attempt, History)>,
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

/// Most remembered histories, in windows: a delayed retry is out of the window but not forgotten.
const HISTORIES_PER_WINDOW: usize = 4;

impl Dispatcher {
    /// A dispatcher without tasks and workers. The seed determines all jitter.
    pub fn new(config: Config, seed: u64) -> Self {
        Self {
            config,
            random: Random::new(seed),
            now: Duration::ZERO,
            tasks: BTreeMap::new(),
            queue: Queue::default(),
            pool: Pool::default(),
            timers: Timers::default(),
            watches: BTreeMap::new(),
            asked: BTreeMap::new(),
            gone: BTreeSet::new(),
            histories: BTreeMap::new(),
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
        self.fire_timers();
        match input {
            Input::Arrived(arrival) => self.arrived(arrival),
            Input::Claimed => self.claimed(),
            Input::ClaimFailed => self.claim_failed(),
            Input::Hello { worker, kind, slots } => self.hello(worker, kind, slots),
            Input::Ready { worker, count } => self.ready(worker, count),
            Input::Heartbeat { worker } => self.heartbeat(worker),
            Input::Started { worker, task, attempt } => self.started(worker, task, attempt),
            Input::Ended { worker, task, attempt, outcome, bytes } => {
                self.ended(worker, task, attempt, outcome, bytes);
            }
            Input::Goodbye { worker } => self.goodbye(worker),
            Input::Cancel { task } => self.cancel(task),
            Input::CancelStored { task, answer } => self.cancel_stored(task, answer),
            Input::Recorded { task, applied } => self.recorded(task, applied),
            Input::RecordFailed { task } => self.record_failed(task),
            Input::Drain { grace } => self.drain(grace),
            Input::Tick => {}
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
                Timer::DrainGrace => self.kill_running(),
            }
        }
    }

    /// Gives waiting tasks to workers while there are both, and room for their reports.
    fn assign(&mut self) {
        while self.drain == Drain::No && self.unrecorded_bytes < self.config.unrecorded_bytes {
            let Some(worker) = self.pool.choose() else { break };
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
            self.claim = Claim::Resting(self.timers.set(self.now + wait, Timer::RetryClaim));
        }
        self.gone.clear();
    }

    /// How long the store is left alone after so many failures.
    fn store_backoff(&mut self, failures: u32) -> Duration {
        self.random.backoff(self.config.store_backoff, failures, self.config.store_backoff_max)
    }

    /// Remembers what a task used up while it is back in the store.
    fn remember(&mut self, task: TaskId, attempt: Attempt, history: History) {
        self.histories.insert(task, (attempt, history));
        if self.histories.len() > HISTORIES_PER_WINDOW * self.config.window {
            // Ids sort by the time of submission: the oldest task is the least likely to come back.
            self.histories.pop_first();
        }
    }
}
