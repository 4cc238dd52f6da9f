//! The world of one schedule: everything in it, its time, and what happens next.

use std::collections::BTreeMap;

use bulkhead_protocol::id::TaskId;
use bulkhead_protocol::outcome::Outcome;

use super::calls::Calls;
use super::check::Violation;
use super::dispatcher::{Dispatcher, SUBMITTED_WITHIN};
use super::event::{Event, Events};
use super::ledger::{Ledger, RunId};
use super::names::{Key, Ms, T};
use super::network::Network;
use super::plan::{FunctionPlan, Plan};
use super::random::Random;
use super::store::Store;
use super::trace::{Trace, Tracing};
use super::worker::Worker;

/// How often it is looked whether something is stuck.
const LOOK: Ms = 500;

/// After all faults are over and leases, silences and orphans have run out: what waits then beside a
/// free worker for as long again as the longest pause of a dispatcher is stuck.
const CALM_AFTER: Ms = 45_000;

/// Longest that a task may wait beside a free worker once all is calm: a worker that leaves and comes
/// back, and the longest pause between two claims.
const IDLE: Ms = 15_000;

/// Longest time without any change while tasks are open, once all faults are over: a lease, a silence
/// and an orphan's wait, twice.
const STANDSTILL: Ms = 60_000;

/// Longest time after the last end until nothing is left of the tasks.
const CLEAN_WITHIN: Ms = 60_000;

/// Longest schedule. Budgets bound the attempts of every task, so that each ends long before.
const LONGEST: Ms = 4 * 3600 * 1000;

/// Most events of a schedule, so that a dispatcher that goes round in circles is found out.
const MOST_EVENTS: u64 = 400_000;

/// Everything in a schedule.
pub(super) struct World {
    /// What was decided before it began.
    pub(super) plan: Plan,
    /// Decides the rest.
    pub(super) random: Random,
    /// Milliseconds since it began.
    pub(super) now: Ms,
    /// What is going to happen.
    pub(super) events: Events,
    /// The store.
    pub(super) store: Store,
    /// The way there and back.
    pub(super) calls: Calls,
    /// The connections.
    pub(super) network: Network,
    /// The dispatchers.
    pub(super) dispatchers: Vec<Dispatcher>,
    /// The remote workers.
    pub(super) workers: Vec<Worker>,
    /// What truly happened.
    pub(super) ledger: Ledger,
    /// What is noted of it.
    pub(super) trace: Trace,
    /// Whether all faults are over.
    pub(super) healed: bool,
    /// The first broken promise.
    pub(super) violation: Option<(Violation, String)>,
    /// How much had happened at the last change, and when that was.
    progress: ((usize, usize, usize), Ms),
    /// Since when each task waits beside a free worker.
    idle_since: BTreeMap<TaskId, Ms>,
    /// When the last task ended.
    ended_at: Option<Ms>,
    /// Events so far.
    pub(super) happened: u64,
}

impl World {
    pub(super) fn new(plan: Plan, random: Random, tracing: Tracing) -> Self {
        let dispatchers = (0..plan.dispatchers.len()).map(Dispatcher::new).collect();
        let embedded = plan.embedded;
        let workers = plan.workers.iter().map(|_| Worker::default()).collect();
        let mut world = Self {
            plan,
            random,
            now: 0,
            events: Events::default(),
            store: Store::new(embedded),
            calls: Calls::default(),
            network: Network::default(),
            dispatchers,
            workers,
            ledger: Ledger::default(),
            trace: Trace::new(tracing),
            healed: false,
            violation: None,
            progress: ((0, 0, 0), 0),
            idle_since: BTreeMap::new(),
            ended_at: None,
            happened: 0,
        };
        world.set_up();
        world
    }

    fn set_up(&mut self) {
        for index in 0..self.dispatchers.len() {
            let at = self.random.skewed(0, 3_000);
            self.events.at(at, Event::StartDispatcher(index));
        }
        for index in 0..self.workers.len() {
            let at = self.random.skewed(0, 5_000);
            self.events.at(at, Event::StartWorker(index));
        }
        for (number, task) in self.plan.tasks.iter().enumerate() {
            self.events.at(task.at, Event::Submit(u32::try_from(number).unwrap_or(u32::MAX)));
        }
        for (at, task) in &self.plan.cancels {
            self.events.at(*at, Event::Cancel(*task));
        }
        for (at, fault) in &self.plan.faults {
            self.events.at(*at, Event::Fault(*fault));
        }
        self.events.at(self.plan.heal_at, Event::Heal);
        self.events.at(LOOK, Event::Look);
    }

    /// Runs the schedule to its end, or to the first broken promise.
    pub(super) fn run(&mut self) {
        while self.violation.is_none() {
            let Some((at, event)) = self.events.pop() else { break };
            self.now = at;
            self.happened += 1;
            if self.happened > MOST_EVENTS {
                return self.violated(Violation::Stuck, format!("more than {MOST_EVENTS} events"));
            }
            if let Event::Look = event {
                if self.look() {
                    break;
                }
                self.events.at(self.now + LOOK, Event::Look);
            } else {
                self.happens(event);
            }
        }
        if self.violation.is_none()
            && let Err((violation, text)) = self.ledger.check(&self.plan, &self.store)
        {
            self.violated(violation, text);
        }
    }

    fn happens(&mut self, event: Event) {
        match event {
            Event::Dispatcher(process, what) => self.at_dispatcher(process, what),
            Event::Worker(process, what) => self.at_worker(process, what),
            Event::Store(number) => self.carry_out_call(number),
            Event::Nudge => self.nudge(),
            Event::StartDispatcher(index) => self.start_dispatcher(index),
            Event::StartWorker(index) => self.start_worker(index),
            Event::ResumeDispatcher(process) => self.resume_dispatcher(process),
            Event::ResumeWorker(process) => self.resume_worker(process),
            Event::Mend(worker) => self.mend(worker),
            Event::Fault(fault) => self.strike(fault),
            Event::Submit(number) => self.submit(number),
            Event::Cancel(task) => self.cancel(task),
            Event::Heal => self.heal(),
            Event::Look => {}
        }
    }

    /// Notes a broken promise; the first counts.
    pub(super) fn violated(&mut self, violation: Violation, text: String) {
        self.trace.note(self.now, || format!("BROKEN: {violation}: {text}"));
        self.violation.get_or_insert((violation, text));
    }

    /// A process begins: how long it runs and how it ends.
    pub(super) fn begin_run(&mut self, key: Key) -> (RunId, Ms, Outcome) {
        let run = self.ledger.begin(key);
        let function = self.plan.task(key.0).and_then(|task| self.plan.functions.get(task.function)).cloned();
        let Some(function) = function else { return (run, 1, Outcome::Succeeded) };
        (run, self.random.skewed(1, function.longest), self.outcome(&function))
    }

    fn outcome(&mut self, function: &FunctionPlan) -> Outcome {
        let text = String::new;
        if !self.random.chance(function.fails) {
            return Outcome::Succeeded;
        }
        if self.random.chance(function.crashes) {
            return match self.random.below(3) {
                0 => Outcome::Crashed { signal: text() },
                1 => Outcome::Exited { code: 1 },
                _ => Outcome::OutOfMemory { limit_bytes: 1, inferred: false },
            };
        }
        match self.random.below(6) {
            0 => Outcome::FunctionError { code: text(), message: text(), retryable: false },
            1 | 2 => Outcome::FunctionError { code: text(), message: text(), retryable: true },
            3 => Outcome::Panicked { message: text(), location: None },
            4 => Outcome::TimedOut { limit_ms: 1 },
            _ => Outcome::SetupFailed { step: text(), errno: 1 },
        }
    }

    /// Looks for what is stuck. True when the schedule is over.
    fn look(&mut self) -> bool {
        self.nudge();
        self.dispatchers.iter().for_each(Dispatcher::audit);
        if !self.healed {
            return false;
        }
        let open = self.open_tasks();
        let submitted = self.plan.tasks.iter().all(|task| task.at + SUBMITTED_WITHIN < self.now);
        if open == 0 && submitted {
            return self.look_for_leaks();
        }
        let (runs, running) = (self.ledger.runs(), self.ledger.running());
        if self.progress.0 != (open, runs, running) {
            self.progress = ((open, runs, running), self.now);
        }
        if self.now > LONGEST
            || open > 0 && running == 0 && self.now > self.progress.1.max(self.plan.heal_at) + STANDSTILL
        {
            let text = format!("{open} tasks are open: {}", self.open_ones());
            self.violated(Violation::Stuck, text);
        }
        if self.now > self.plan.heal_at + CALM_AFTER {
            self.look_for_idle();
        }
        false
    }

    fn open_ones(&self) -> String {
        let open = self.store.rows.iter().filter(|(_, row)| !row.status.is_terminal()).take(3);
        let shown = open.map(|(task, row)| {
            let (status, attempt) = (row.status.as_str(), row.attempt);
            format!("{} {status} at {attempt}, owner {:?}, not before {}", T(*task), row.owner, row.not_before)
        });
        shown.collect::<Vec<_>>().join("; ")
    }

    /// All tasks have ended: nothing may be left of them after a while. True when nothing is.
    fn look_for_leaks(&mut self) -> bool {
        let since = *self.ended_at.get_or_insert(self.now);
        let in_hand = self.workers.iter().map(|worker| worker.in_hand.len()).sum::<usize>();
        let left = if in_hand + self.ledger.running() > 0 {
            Some(format!("{} processes run, workers have {in_hand} attempts", self.ledger.running()))
        } else {
            self.dispatchers.iter().find_map(|dispatcher| dispatcher.check_empty().err())
        };
        let Some(left) = left else { return true };
        if self.now > since.max(self.plan.heal_at) + CLEAN_WITHIN {
            self.violated(Violation::Leak, left);
        }
        false
    }

    /// Looks for tasks that nobody runs although a healthy worker of their dispatcher is free.
    fn look_for_idle(&mut self) {
        let limited = self.plan.config.unrecorded_bytes < 1 << 20;
        let mut idle_since = BTreeMap::new();
        for (id, row) in &self.store.rows {
            let Some(task) = self.plan.task(*id) else { continue };
            let waits = !row.status.is_terminal() && row.not_before + 1_000 < self.now && !limited;
            if !waits || self.plan.concurrency(task).is_some() || self.is_in_hand(*id) {
                continue;
            }
            let may_be_at = |home: usize| row.owner.is_none_or(|owner| self.dispatchers[home].lease == owner);
            let free = self
                .workers
                .iter()
                .zip(&self.plan.workers)
                .any(|(worker, plan)| worker.is_healthy() && worker.in_hand.is_empty() && may_be_at(plan.home));
            if free {
                let since = *self.idle_since.get(id).unwrap_or(&self.now);
                idle_since.insert(*id, since);
            }
        }
        self.idle_since = idle_since;
        let longest = self.idle_since.iter().find(|(_, since)| self.now > **since + IDLE).map(|(task, _)| *task);
        if let Some(task) = longest {
            self.violated(Violation::Idle, format!("{} waits beside a free worker", T(task)));
        }
    }

    fn is_in_hand(&self, task: TaskId) -> bool {
        let at_worker = self.workers.iter().any(|worker| worker.in_hand.keys().any(|key| key.0 == task));
        at_worker || self.dispatchers.iter().any(|dispatcher| dispatcher.local.keys().any(|key| key.0 == task))
    }
}
