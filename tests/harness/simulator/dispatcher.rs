//! Dispatcher processes: the real core, and a driver around it that carries out what it says as the
//! product's does.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bulkhead_dispatch::{Cancelled, Dispatcher as Core, Input, Output, Record, Stats, WorkerKind};
use bulkhead_protocol::id::{TaskId, WorkerId};
use bulkhead_protocol::outcome::Outcome;

use super::check::Violation;
use super::event::{AtDispatcher, Event, Process};
use super::ledger::RunId;
use super::mirror::{Mirror, millis};
use super::names::{Key, LOCAL, Ms, T, TASK_MARK};
use super::network::{Connection, Down};
use super::store::{Lease, Op};
use super::worker::BEAT;
use super::world::World;

/// Size of a simulated report.
pub(super) const REPORT_BYTES: u64 = 1_000;

/// How often a lease is renewed.
pub(super) const RENEW: Ms = 2_000;

/// Longest time from a submission until the store has the task.
pub(super) const SUBMITTED_WITHIN: Ms = 30_000;

/// A dispatcher process.
#[derive(Debug)]
pub(super) struct Dispatcher {
    /// Which one.
    index: usize,
    /// Counts its starts.
    life: u32,
    /// Decides; none while the process is not there.
    core: Option<Core>,
    /// Whether it hangs.
    pub(super) hangs: bool,
    /// What happened to it while it hung.
    missed: Vec<AtDispatcher>,
    /// When it started.
    started: Ms,
    /// How far its clock has jumped ahead since.
    jumped: Ms,
    /// Its claims' owner.
    pub(super) lease: Lease,
    /// The claim under way.
    pub(super) claim: Option<u64>,
    /// When its timer fires, by its clock, and which timer that is.
    wake: (Option<Duration>, u64),
    /// The connection of each worker that said hello.
    pub(super) connections: BTreeMap<WorkerId, Connection>,
    /// Reports that the store does not have yet, and whose they are.
    pub(super) reports: BTreeMap<(Key, WorkerId), (Option<RunId>, Outcome)>,
    /// What runs on the executor beside it.
    pub(super) local: BTreeMap<Key, RunId>,
    /// The inputs that it keeps.
    pub(super) inputs: BTreeSet<TaskId>,
    /// What it was told and said.
    pub(super) mirror: Mirror,
    /// What it does now; the memory is used again.
    stats: Stats,
}

impl Dispatcher {
    /// One that was not started yet.
    pub(super) fn new(index: usize) -> Self {
        Self {
            index,
            life: 0,
            core: None,
            hangs: false,
            missed: Vec::new(),
            started: 0,
            jumped: 0,
            lease: 0,
            claim: None,
            wake: (None, 0),
            connections: BTreeMap::new(),
            reports: BTreeMap::new(),
            local: BTreeMap::new(),
            inputs: BTreeSet::new(),
            mirror: Mirror::default(),
            stats: Stats::default(),
        }
    }

    /// Its present life.
    pub(super) fn process(&self) -> Process {
        Process { index: self.index, life: self.life }
    }

    /// Whether the process is there.
    pub(super) fn is_up(&self) -> bool {
        self.core.is_some()
    }

    /// Its time.
    pub(super) fn clock(&self, now: Ms) -> Duration {
        Duration::from_millis(now - self.started + self.jumped)
    }

    /// Has the core count again what it counts as it goes.
    ///
    /// # Panics
    /// Where it contradicts itself.
    pub(super) fn audit(&self) {
        if let Some(core) = &self.core {
            core.audit();
        }
    }

    /// What it still holds of any task.
    ///
    /// # Errors
    /// The evidence.
    pub(super) fn check_empty(&self) -> Result<(), String> {
        let Some(core) = &self.core else { return Ok(()) };
        let mut stats = Stats::default();
        core.stats(&mut stats);
        if stats.waiting + stats.running + stats.recording > 0 {
            return Err(format!("dispatcher {} has {stats:?}", self.index));
        }
        self.mirror.check_answered()?;
        // Cancelled tasks that a claim under way may still bring: a bounded number, until it is answered.
        let text = without(&format!("{core:?}"), "gone: {");
        if let Some(at) = text.find(TASK_MARK) {
            let around = text.get(at.saturating_sub(120)..(at + 60).min(text.len())).unwrap_or_default();
            return Err(format!("dispatcher {} still knows of a task: …{around}…", self.index));
        }
        if !self.inputs.is_empty() || !self.reports.is_empty() || !self.local.is_empty() {
            let (inputs, reports) = (&self.inputs, self.reports.keys());
            return Err(format!("the driver of dispatcher {} keeps {inputs:?} {reports:?}", self.index));
        }
        Ok(())
    }
}

impl World {
    pub(super) fn start_dispatcher(&mut self, index: usize) {
        if self.dispatchers[index].is_up() {
            return;
        }
        let (life, seed) = (self.dispatchers[index].life + 1, self.random.next());
        let lease = self.store.lease(self.now);
        let core = Core::new(self.plan.config.clone(), seed);
        self.dispatchers[index] =
            Dispatcher { life, core: Some(core), started: self.now, lease, ..Dispatcher::new(index) };
        self.trace.note(self.now, || format!("dispatcher {index}.{life} starts with lease {lease}"));
        let process = self.dispatchers[index].process();
        let first = self.random.between(1, BEAT);
        self.events.at(self.now + first, Event::Dispatcher(process, AtDispatcher::Beat));
        self.events.at(self.now + RENEW, Event::Dispatcher(process, AtDispatcher::Renew));
        let slots = self.plan.dispatchers[index];
        if slots > 0 {
            let hello = Input::Hello { worker: LOCAL, kind: WorkerKind::Local, slots, in_hand: Vec::new() };
            self.tell(index, hello);
        }
    }

    /// The process is gone, and the executor beside it; it starts anew after a while.
    fn stop_dispatcher(&mut self, index: usize, noticed: bool, back_after: Ms) {
        let process = self.dispatchers[index].process();
        let dispatcher = &mut self.dispatchers[index];
        (dispatcher.core, dispatcher.hangs) = (None, false);
        dispatcher.missed.clear();
        for run in std::mem::take(&mut dispatcher.local).into_values() {
            self.ledger.run_died(run, self.now);
        }
        self.drop_calls(process);
        self.drop_connections(false, process, noticed);
        self.events.at(self.now + back_after, Event::StartDispatcher(index));
    }

    pub(super) fn kill_dispatcher(&mut self, index: usize, back_after: Ms) {
        if !self.dispatchers[index].is_up() {
            return;
        }
        self.trace.note(self.now, || format!("dispatcher {index} is gone"));
        let noticed = self.random.chance(700);
        self.stop_dispatcher(index, noticed, back_after);
        if self.plan.embedded {
            let lease = self.dispatchers[index].lease;
            self.store.give_back(lease);
            let random = &mut self.random;
            self.store.forget_unwritten(|| random.chance(500));
        }
    }

    pub(super) fn hang_dispatcher(&mut self, index: usize, length: Ms) {
        if self.dispatchers[index].is_up() && !self.dispatchers[index].hangs {
            self.dispatchers[index].hangs = true;
            self.trace.note(self.now, || format!("dispatcher {index} hangs for {length} ms"));
            let process = self.dispatchers[index].process();
            self.events.at(self.now + length, Event::ResumeDispatcher(process));
        }
    }

    pub(super) fn resume_dispatcher(&mut self, process: Process) {
        let dispatcher = &mut self.dispatchers[process.index];
        if dispatcher.life == process.life && dispatcher.hangs {
            dispatcher.hangs = false;
            for what in std::mem::take(&mut dispatcher.missed) {
                self.events.at(self.now, Event::Dispatcher(process, what));
            }
            self.trace.note(self.now, || format!("dispatcher {} goes on", process.index));
        }
    }

    pub(super) fn jump_clock(&mut self, index: usize, by: Ms) {
        let dispatcher = &mut self.dispatchers[index];
        if dispatcher.is_up() {
            dispatcher.jumped += by;
            let event = AtDispatcher::Wake(dispatcher.wake.1);
            self.events.at(self.now, Event::Dispatcher(dispatcher.process(), event));
        }
    }

    /// What happens to a dispatcher, unless it is gone; a hanging one hears of it later.
    pub(super) fn at_dispatcher(&mut self, process: Process, what: AtDispatcher) {
        let index = process.index;
        let dispatcher = &mut self.dispatchers[index];
        if !dispatcher.is_up() || dispatcher.life != process.life {
            return;
        }
        if dispatcher.hangs {
            return dispatcher.missed.push(what);
        }
        match what {
            AtDispatcher::Wake(number) if number == dispatcher.wake.1 => self.tell(index, Input::Tick),
            AtDispatcher::Wake(_) => {}
            AtDispatcher::Answer(number, op, answer) => self.dispatcher_answered(index, number, op, answer),
            AtDispatcher::Message(connection, message) => self.dispatcher_hears(index, connection, message),
            AtDispatcher::Broken(connection) => self.connection_broke(index, connection),
            AtDispatcher::Beat => {
                self.events.at(self.now + BEAT, Event::Dispatcher(process, AtDispatcher::Beat));
                let connections: Vec<Connection> = dispatcher.connections.values().copied().collect();
                for connection in connections {
                    self.send_down(connection, Down::Heartbeat);
                }
            }
            AtDispatcher::Renew => {
                self.events.at(self.now + RENEW, Event::Dispatcher(process, AtDispatcher::Renew));
                if self.now >= self.calls.away_until {
                    self.store.renew(dispatcher.lease, self.now);
                }
            }
            AtDispatcher::RunEnded((task, attempt), run, outcome) => {
                if dispatcher.local.get(&(task, attempt)) == Some(&run) {
                    dispatcher.local.remove(&(task, attempt));
                    self.ledger.run_ended(run, self.now, &outcome);
                    self.attempt_ended(index, LOCAL, (task, attempt), Some(run), outcome);
                }
            }
            AtDispatcher::Cancel(task) => self.tell(index, Input::Cancel { task }),
            AtDispatcher::Drain(grace) => self.tell(index, Input::Drain { grace: Duration::from_millis(grace) }),
            AtDispatcher::DrainWorker(worker) => self.tell(index, Input::DrainWorker { worker }),
        }
    }

    /// The driver keeps the report of an attempt and tells of its end.
    pub(super) fn attempt_ended(
        &mut self,
        index: usize,
        worker: WorkerId,
        (task, attempt): Key,
        run: Option<RunId>,
        outcome: Outcome,
    ) {
        let report = (run, outcome.clone());
        self.dispatchers[index].reports.insert(((task, attempt), worker), report);
        self.tell(index, Input::Ended { worker, task, attempt, outcome, bytes: REPORT_BYTES });
    }

    /// Tells the core something and carries out what it says, with every output held against what it may
    /// say.
    pub(super) fn tell(&mut self, index: usize, input: Input) {
        let dispatcher = &mut self.dispatchers[index];
        let now = dispatcher.clock(self.now);
        self.trace.input(self.now, index, &input);
        dispatcher.mirror.told(now, &input);
        let Some(core) = &mut dispatcher.core else { return };
        core.handle(now, input);
        loop {
            let dispatcher = &mut self.dispatchers[index];
            // The process may have ended by what it said.
            let Some(output) = dispatcher.core.as_mut().and_then(Core::poll) else { break };
            self.trace.output(self.now, index, &output);
            let ledger = &self.ledger;
            let said = dispatcher.mirror.said(&output, &self.plan, |key, worker| ledger.was_assigned(key, worker));
            if let Err((violation, text)) = said {
                self.violated(violation, text);
            }
            self.carry_out(index, output);
        }
        let dispatcher = &mut self.dispatchers[index];
        if let Some(core) = &dispatcher.core {
            core.stats(&mut dispatcher.stats);
            if let Err((violation, text)) = dispatcher.mirror.check_idle(&dispatcher.stats, &self.plan) {
                self.violated(violation, text);
            }
        }
    }

    fn carry_out(&mut self, index: usize, output: Output) {
        let dispatcher = &mut self.dispatchers[index];
        let (process, lease) = (dispatcher.process(), dispatcher.lease);
        match output {
            Output::Claim { max } => {
                let old = dispatcher.claim.take();
                if let Some(old) = old {
                    self.give_up_call(old);
                }
                let number = self.call(Some(process), lease, Op::Claim(max));
                self.dispatchers[index].claim = Some(number);
            }
            Output::StopClaiming => {
                if let Some(old) = dispatcher.claim.take() {
                    self.give_up_call(old);
                }
            }
            Output::Assign { worker, task, attempt } => self.assign(index, worker, (task, attempt)),
            Output::CancelAttempt { worker: LOCAL, task, attempt } => {
                if let Some(run) = dispatcher.local.get(&(task, attempt)) {
                    let event = AtDispatcher::RunEnded((task, attempt), *run, Outcome::Cancelled);
                    let after = self.random.between(1, 50);
                    self.events.at(self.now + after, Event::Dispatcher(process, event));
                }
            }
            Output::CancelAttempt { worker, task, attempt } => {
                self.say(index, worker, Down::Cancel(task, attempt));
            }
            Output::Recover { worker, task, attempt } => {
                self.call(Some(process), lease, Op::Recover(task, attempt, worker));
            }
            Output::AskToDrain { worker } => self.say(index, worker, Down::Drain),
            Output::Record { task, attempt, record } => {
                let op = match record {
                    Record::Finish { outcome, dead_letter } => {
                        let run = dispatcher.report_of((task, attempt), &outcome);
                        Op::Finish { task, attempt, outcome, dead_letter, run }
                    }
                    Record::Requeue { outcome, spent, not_before } => {
                        let wait = not_before.saturating_sub(dispatcher.clock(self.now));
                        Op::Requeue { task, attempt, outcome, spent, not_before: self.now + millis(wait) }
                    }
                };
                self.call(Some(process), lease, op);
            }
            Output::CancelStored { task } => {
                self.call(Some(process), lease, Op::CancelQueued(task));
            }
            Output::CancelAnswered { task, result } => self.check_cancel(task, result),
            Output::DeadLetter { task, attempt } => {
                if !self.store.rows.get(&task).is_some_and(|row| row.dead_letter && row.attempt == attempt) {
                    self.violated(Violation::CrashCap, format!("{} is no dead letter in the store", T(task)));
                }
            }
            Output::Discard { worker, task, attempt } => {
                dispatcher.reports.remove(&((task, attempt), worker));
                self.say(index, worker, Down::Acknowledged(task, attempt));
            }
            Output::Refuse { .. } => {}
            Output::Release { task } | Output::Forget { task } => {
                dispatcher.inputs.remove(&task);
                self.acknowledge(index, |key| key.0 == task);
            }
            Output::Evict { worker } => self.part_with(index, worker, Down::Evicted),
            Output::Dismiss { worker } => self.part_with(index, worker, Down::Dismissed),
            Output::Drained => {
                self.trace.note(self.now, || format!("dispatcher {index} ends"));
                let back_after = self.random.between(100, 5_000);
                self.stop_dispatcher(index, true, back_after);
                self.store.give_back(lease);
                self.nudge();
            }
            Output::WakeAt(at) => self.set_wake(index, at),
        }
    }

    fn set_wake(&mut self, index: usize, at: Option<Duration>) {
        let dispatcher = &mut self.dispatchers[index];
        dispatcher.wake = (at, dispatcher.wake.1 + 1);
        if let Some(at) = at {
            let due = (dispatcher.started + millis(at)).saturating_sub(dispatcher.jumped).max(self.now);
            let event = AtDispatcher::Wake(dispatcher.wake.1);
            self.events.at(due, Event::Dispatcher(dispatcher.process(), event));
        }
    }

    fn assign(&mut self, index: usize, worker: WorkerId, key: Key) {
        let process = self.dispatchers[index].process();
        self.ledger.assign(key, self.dispatchers[index].mirror.newest(key.0), worker);
        if !self.dispatchers[index].inputs.contains(&key.0) {
            self.violated(Violation::WrongAssignment, format!("the driver has no input of {}", T(key.0)));
        }
        if worker == LOCAL {
            let (run, after, outcome) = self.begin_run(key);
            self.dispatchers[index].local.insert(key, run);
            self.events.at(self.now + after, Event::Dispatcher(process, AtDispatcher::RunEnded(key, run, outcome)));
        } else {
            self.say(index, worker, Down::Assign(key.0, key.1));
        }
        if worker == LOCAL || self.plan.tells_at_assign {
            let lease = self.dispatchers[index].lease;
            self.call(Some(process), lease, Op::Started(key.0, key.1, worker));
        }
    }

    /// Says something to a worker, if it is connected.
    pub(super) fn say(&mut self, index: usize, worker: WorkerId, message: Down) {
        if let Some(connection) = self.dispatchers[index].connections.get(&worker) {
            self.send_down(*connection, message);
        }
    }

    /// Says a last word to a worker and closes the connection.
    fn part_with(&mut self, index: usize, worker: WorkerId, message: Down) {
        if let Some(connection) = self.dispatchers[index].connections.remove(&worker) {
            self.send_down(connection, message);
            self.close(connection, false, true);
        }
    }

    fn check_cancel(&mut self, task: TaskId, result: Cancelled) {
        let row = self.store.rows.get(&task);
        let is_so = match result {
            Cancelled::Cancelled => row.is_some_and(|row| row.outcome == Some(Outcome::Cancelled) && row.ends > 0),
            Cancelled::Ended => row.is_some_and(|row| row.ends > 0),
            // It may have been stored since the store was asked.
            Cancelled::Unknown => {
                row.is_none() || self.plan.task(task).is_some_and(|task| self.now < task.at + SUBMITTED_WITHIN)
            }
            Cancelled::Elsewhere | Cancelled::Unavailable => true,
        };
        if !is_so {
            self.violated(Violation::Cancel, format!("the cancel of {} is answered {result:?}", T(task)));
        }
    }
}

impl Dispatcher {
    /// The run behind an attempt's report.
    fn report_of(&self, key: Key, outcome: &Outcome) -> Option<RunId> {
        let mut reports = self.reports.range((key, LOCAL)..).take_while(|((of, _), _)| *of == key);
        reports.find(|(_, (_, ended))| ended == outcome).and_then(|(_, (run, _))| *run)
    }
}

/// A text without what stands between an opening and the next closing brace.
fn without(text: &str, opening: &str) -> String {
    let Some((before, rest)) = text.split_once(opening) else { return text.to_owned() };
    let after = rest.split_once('}').map_or("", |(_, after)| after);
    format!("{before}{after}")
}
