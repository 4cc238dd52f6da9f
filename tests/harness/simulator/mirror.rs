//! What a dispatcher was told and what it said, from outside: enough to see at once when an output
//! breaks a promise.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bulkhead_dispatch::{Arrival, Cut, Input, Output, Record, RecoverAnswer, Refusal, Stats, WorkerKind};
use bulkhead_protocol::id::{TaskId, WorkerId};
use bulkhead_protocol::outcome::Outcome;
use bulkhead_protocol::task::{Attempt, Spent};

use super::check::Violation;
use super::names::{A, Key, LOCAL, T, W};
use super::plan::Plan;
use super::verdict::End;

/// A broken promise and the evidence.
pub(super) type Broken = (Violation, String);

/// One dispatcher's life, seen from outside.
#[derive(Debug, Default)]
pub(super) struct Mirror {
    /// Its time.
    now: Duration,
    /// The tasks that it was given and did not let go.
    tasks: BTreeMap<TaskId, Held>,
    /// Its workers.
    workers: BTreeMap<WorkerId, Seen>,
    /// The ends that it was told: what a worker says again takes no room there.
    ended: BTreeSet<(WorkerId, Key)>,
    /// The tasks whose end someone wants and was not answered.
    unwanted: BTreeSet<TaskId>,
    /// Whether it was told to end.
    drains: bool,
    /// Whether it is being told that its claims were taken over: its timers come before that.
    is_taken_over: bool,
    /// The task that arrives or whose end is being wanted: its timers come before that.
    hears_of: Option<TaskId>,
    /// The end that it is being told.
    hears: Option<(WorkerId, Key, Outcome)>,
}

/// A task in a dispatcher's hands.
#[derive(Debug)]
struct Held {
    /// Its newest attempt by the store's last word.
    attempt: Attempt,
    /// What it had used up by the store's last word.
    spent: Spent,
    /// The word before the last, should the last be turned away.
    before: Option<(Attempt, Spent)>,
    /// Where by that word the attempt ran that was cut off, if one was. Another worker may have one under
    /// the same number, whose start the store never saw.
    lost_at: Option<WorkerId>,
    /// Whether by that word the current attempt is over.
    is_passed: bool,
    /// The attempt that the dispatcher assigned and did not conclude.
    current: Option<Current>,
    /// The write that the store has not taken.
    write: Option<Write>,
}

impl Held {
    /// Whether its attempt runs, or the store does not have its end.
    fn is_busy(&self) -> bool {
        self.current.is_some() || self.write.as_ref().is_some_and(Write::is_open)
    }
}

/// An attempt that a dispatcher assigned.
#[derive(Clone, Copy, Debug)]
struct Current {
    attempt: Attempt,
    worker: WorkerId,
    /// Whether the dispatcher knows that it began.
    began: bool,
}

/// A write of a dispatcher.
#[derive(Debug)]
struct Write {
    attempt: Attempt,
    record: Record,
    /// Whether the store failed, and it is not under way now.
    failed: bool,
    /// Whether the store handed the task out since: then it may have been made and its answer lost.
    may_be_made: bool,
}

impl Write {
    /// Whether the store may yet have to be told.
    fn is_open(&self) -> bool {
        !self.failed || !self.may_be_made
    }
}

/// A worker of a dispatcher.
#[derive(Debug)]
struct Seen {
    kind: WorkerKind,
    slots: u32,
    ahead: u32,
    /// What is left of what it asked for.
    asked: u32,
    /// Whether it is to take no more.
    leaves: bool,
    /// Whether it takes none for now.
    rests: bool,
    /// Whether that is the dispatcher's wish.
    is_drained: bool,
    /// Since when its connection is broken.
    broken: Option<Duration>,
    /// When it last spoke.
    heard: Duration,
    /// What it has, as far as the dispatcher was told.
    has: BTreeSet<Key>,
    /// What of it the dispatcher gave up.
    given_up: BTreeSet<Key>,
}

impl Mirror {
    /// Whether the dispatcher holds a task.
    pub(super) fn holds(&self, task: TaskId) -> bool {
        self.tasks.contains_key(&task)
    }

    /// The dispatcher is told something.
    pub(super) fn told(&mut self, now: Duration, input: &Input) {
        (self.hears, self.hears_of) = (None, None);
        self.now = now;
        if std::mem::take(&mut self.is_taken_over) {
            // What a worker brought may have been taken up again: it goes on as what runs.
            let workers = &self.workers;
            let is_in_hand = |task| workers.values().any(|seen| seen.has.iter().any(|has| has.0 == task));
            self.tasks.retain(|task, held| held.current.is_some() || held.write.is_some() || is_in_hand(*task));
        }
        if let Some(worker) = speaker(input) {
            self.with(worker, |seen| seen.heard = now);
        }
        match input {
            Input::Arrived(arrival) => {
                self.hears_of = Some(arrival.task);
                self.arrives(arrival);
            }
            Input::Recovered { answer: RecoverAnswer::Taken(arrival), .. }
                if !self.tasks.contains_key(&arrival.task) =>
            {
                self.arrives(arrival);
            }
            Input::Hello { worker, kind, slots, in_hand } => {
                let has = in_hand.iter().filter(|key| !self.ended.contains(&(*worker, **key))).copied().collect();
                let is_drained = self.workers.get(worker).is_some_and(|seen| seen.is_drained);
                let seen = Seen {
                    kind: *kind,
                    slots: *slots,
                    ahead: 0,
                    asked: 0,
                    leaves: is_drained,
                    rests: false,
                    is_drained,
                    broken: None,
                    heard: now,
                    has,
                    given_up: BTreeSet::new(),
                };
                self.workers.insert(*worker, seen);
            }
            Input::Ahead { worker, ahead } => self.with(*worker, |seen| seen.ahead = *ahead),
            Input::Ready { worker, count } => self.with(*worker, |seen| seen.asked = *count),
            Input::Resting { worker, resting } => self.with(*worker, |seen| seen.rests = *resting),
            Input::Disconnected { worker } => self.with(*worker, |seen| seen.broken = seen.broken.or(Some(now))),
            Input::Goodbye { worker } => self.with(*worker, |seen| seen.leaves = true),
            Input::DrainWorker { worker } => self.with(*worker, |seen| (seen.leaves, seen.is_drained) = (true, true)),
            Input::Started { worker, task, attempt } => {
                if let Some(current) = self.tasks.get_mut(task).and_then(|held| held.current.as_mut()) {
                    current.began |= (current.worker, current.attempt) == (*worker, *attempt);
                }
            }
            Input::Ended { worker, task, attempt, outcome, .. } => {
                let key = (*task, *attempt);
                self.with(*worker, |seen| {
                    seen.has.remove(&key);
                    seen.given_up.remove(&key);
                });
                self.ended.insert((*worker, key));
                self.hears = Some((*worker, key, outcome.clone()));
            }
            Input::TakenOver => self.is_taken_over = true,
            Input::Cancel { task } => {
                self.unwanted.insert(*task);
                self.hears_of = Some(*task);
            }
            Input::Fenced { task, attempt } => {
                if let Some(held) = self.tasks.get_mut(task) {
                    held.current = held.current.filter(|current| current.attempt != *attempt);
                }
            }
            Input::Recorded { task, .. } => {
                if let Some(held) = self.tasks.get_mut(task) {
                    held.write = None;
                }
            }
            Input::RecordFailed { task } => {
                if let Some(Held { write: Some(write), .. }) = self.tasks.get_mut(task) {
                    write.failed = true;
                }
            }
            Input::Drain { .. } => self.drains = true,
            _ => {}
        }
    }

    fn with(&mut self, worker: WorkerId, change: impl FnOnce(&mut Seen)) {
        if let Some(seen) = self.workers.get_mut(&worker) {
            change(seen);
        }
    }

    fn arrives(&mut self, arrival: &Arrival) {
        let (attempt, spent) = (arrival.attempt, arrival.spent);
        let held = self.tasks.entry(arrival.task).or_insert(Held {
            attempt,
            spent,
            before: None,
            lost_at: None,
            is_passed: false,
            current: None,
            write: None,
        });
        if let Some(write) = &mut held.write {
            write.may_be_made = true;
        }
        let is_cut_off = matches!(arrival.cut, Cut::Lost { .. });
        held.is_passed = (held.current)
            .is_some_and(|current| attempt > current.attempt || attempt == current.attempt && !is_cut_off);
        held.lost_at = if let Cut::Lost { worker } = arrival.cut { worker } else { None };
        held.before = Some((held.attempt, held.spent));
        (held.attempt, held.spent) = (attempt, spent);
    }

    /// The newest attempt of a task by the store's last word.
    pub(super) fn newest(&self, task: TaskId) -> Attempt {
        self.tasks.get(&task).map_or(0, |held| held.attempt)
    }

    /// The dispatcher says something.
    ///
    /// # Errors
    /// What it may not say.
    pub(super) fn said(
        &mut self,
        output: &Output,
        plan: &Plan,
        was_assigned: impl Fn(Key, WorkerId) -> bool,
    ) -> Result<(), Broken> {
        match output {
            Output::Assign { worker, task, attempt } => return self.assigns(*worker, (*task, *attempt), plan),
            Output::Record { task, attempt, record } => {
                return self.records((*task, *attempt), record, plan, was_assigned);
            }
            Output::Forget { task } => return self.lets_go(*task),
            Output::Release { task } => {
                self.tasks.remove(task);
                if !self.drains {
                    return Err((Violation::Unstored, format!("{} is released without a drain", T(*task))));
                }
            }
            Output::Refuse { task, reason: Refusal::WindowFull } => {
                return Err((Violation::Refused, format!("{} finds the window full", T(*task))));
            }
            Output::Refuse { task, reason: Refusal::Duplicate } => {
                if let Some(held) = self.tasks.get_mut(task)
                    && let Some((attempt, spent)) = held.before.take()
                {
                    (held.attempt, held.spent) = (attempt, spent);
                }
            }
            Output::CancelAttempt { worker, task, attempt } => {
                let key = (*task, *attempt);
                self.with(*worker, |seen| {
                    if seen.has.remove(&key) {
                        seen.given_up.insert(key);
                    }
                });
                // An attempt that is cancelled still ends, unless the store has passed it.
                if let Some(held) = self.tasks.get_mut(task).filter(|held| held.is_passed) {
                    let is_it = |current: &Current| (current.worker, current.attempt) == (*worker, *attempt);
                    held.current = held.current.filter(|current| !is_it(current));
                }
            }
            Output::Discard { worker, task, attempt } => {
                // Should it not hear so, it brings the attempt again, and it counts as in hand.
                self.ended.remove(&(*worker, (*task, *attempt)));
            }
            Output::Evict { worker } => {
                if let Some(seen) = self.workers.remove(worker) {
                    let is_silent = self.now >= seen.heard + plan.config.silence;
                    let is_gone = seen.broken.is_some_and(|since| self.now >= since + plan.config.reconnect_wait);
                    if !is_silent && !is_gone {
                        let text = format!("{} spoke at {:?}, and now is {:?}", W(*worker), seen.heard, self.now);
                        return Err((Violation::Evicted, text));
                    }
                }
            }
            Output::Dismiss { worker } => {
                self.workers.remove(worker);
            }
            Output::CancelAnswered { task, .. } => {
                self.unwanted.remove(task);
            }
            Output::Drained => {
                if let Some(task) = self.tasks.iter().find(|(_, held)| held.is_busy()) {
                    return Err((Violation::Unstored, format!("drained while {} is in hand", T(*task.0))));
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn assigns(&mut self, worker: WorkerId, key: Key, plan: &Plan) -> Result<(), Broken> {
        let (task, attempt) = key;
        let name = A(task, attempt);
        let wrong = |text: String| Err((Violation::WrongAssignment, text));
        if self.drains {
            return wrong(format!("{name} begins in a drain"));
        }
        if let Some((other, _)) =
            (self.workers.iter()).find_map(|(id, seen)| seen.has.iter().find(|has| has.0 == task).map(|has| (id, has)))
        {
            return Err((
                Violation::WrongAttempt,
                format!("{name} is assigned to {} beside one on {}", W(worker), W(*other)),
            ));
        }
        let limit = plan.task(task).and_then(|task| Some((task.function, plan.concurrency(task)?)));
        if let Some((function, limit)) = limit {
            let same = |task: TaskId| plan.task(task).is_some_and(|task| task.function == function);
            let running = self.tasks.iter().filter(|(task, held)| held.current.is_some() && same(**task)).count();
            if running >= limit as usize {
                let text = format!("{name} begins beside {running} of its function, whose limit is {limit}");
                return Err((Violation::Concurrency, text));
            }
        }
        let Some(seen) = self.workers.get_mut(&worker) else {
            return wrong(format!("{name} goes to {}, which is not there", W(worker)));
        };
        if seen.leaves || seen.rests || seen.broken.is_some() {
            return wrong(format!("{name} goes to {}, which leaves, rests or has no connection", W(worker)));
        }
        seen.asked = seen.asked.saturating_sub(1);
        seen.has.insert(key);
        if seen.has.len() + seen.given_up.len() > (seen.slots + seen.ahead) as usize {
            let text = format!("{} has {:?} and room for {} + {}", W(worker), seen.has, seen.slots, seen.ahead);
            return Err((Violation::Overfull, text));
        }
        let Some(held) = self.tasks.get_mut(&task) else {
            return wrong(format!("{name} is assigned and not in hand"));
        };
        // A number is passed over only while the worker has one that was fenced off under it.
        let is_next = (held.attempt + 1..attempt).all(|passed| seen.given_up.contains(&(task, passed)));
        if held.is_busy() || attempt <= held.attempt || !is_next {
            return Err((Violation::WrongAttempt, format!("{name} is assigned after {held:?}")));
        }
        (held.write, held.is_passed) = (None, false);
        held.current = Some(Current { attempt, worker, began: worker == LOCAL });
        held.before = None;
        let (spent, config) = (held.spent, &plan.config);
        let retries = plan.task(task).map_or(0, |task| task.retry.max);
        if spent.failures > retries || spent.losses > config.losses || spent.returns > config.returns {
            return Err((Violation::Budget, format!("{name} begins after {spent:?}")));
        }
        if spent.crashes >= config.crash_cap {
            return Err((Violation::CrashCap, format!("{name} begins after {} crashes", spent.crashes)));
        }
        Ok(())
    }

    fn lets_go(&mut self, task: TaskId) -> Result<(), Broken> {
        match self.tasks.remove(&task) {
            Some(Held { write: Some(write), .. }) if write.is_open() => {
                Err((Violation::Unstored, format!("{} is forgotten while its write is {write:?}", T(task))))
            }
            _ => Ok(()),
        }
    }

    fn records(
        &mut self,
        key: Key,
        record: &Record,
        plan: &Plan,
        was_assigned: impl Fn(Key, WorkerId) -> bool,
    ) -> Result<(), Broken> {
        let (task, attempt) = key;
        let name = A(task, attempt);
        let Some(held) = self.tasks.get_mut(&task) else {
            return Err((Violation::Unstored, format!("{name} is recorded and not in hand")));
        };
        let write = Write { attempt, record: record.clone(), failed: false, may_be_made: false };
        if let Some(before) = held.write.replace(write) {
            if before.failed && before.attempt == attempt && before.record == *record {
                return Ok(());
            }
            if before.is_open() {
                return Err((Violation::Unstored, format!("{name} is written in place of {before:?}")));
            }
        }
        let before = held.before.take();
        let is_unwanted = self.unwanted.contains(&task);
        let current = held.current.take();
        let (outcome, is_finish) = match record {
            Record::Finish { outcome, .. } => (outcome, true),
            Record::Requeue { outcome, .. } => (outcome, false),
        };
        if let Some((worker, heard, ended)) = &self.hears
            && heard.0 == task
            && ended == outcome
        {
            let is_right = match current {
                Some(current) => (current.worker, current.attempt) == (*worker, attempt),
                None => was_assigned(key, *worker),
            };
            if !is_right || heard.1 != attempt {
                let text = format!("{name}, by {current:?}, ends with {} of {}", A(heard.0, heard.1), W(*worker));
                return Err((Violation::WrongWorker, text));
            }
        }
        let lost_at = held.lost_at.filter(|_| current.is_none());
        let is_there = |worker: &WorkerId| lost_at.is_none_or(|lost_at| lost_at == *worker);
        let has = (self.workers.iter())
            .find(|(worker, seen)| is_there(worker) && seen.has.contains(&key) && seen.broken.is_none());
        if let Some((worker, _)) = has.filter(|_| *outcome == Outcome::WorkerLost) {
            return Err((Violation::GivenUp, format!("{name} counts as lost, and {} has it", W(*worker))));
        }
        if !is_finish && is_unwanted && current.is_some() && self.hears_of != Some(task) {
            return Err((Violation::Cancel, format!("{name} goes on, and someone wants it to end")));
        }
        let end = End {
            key,
            outcome,
            began: current.is_none_or(|current| current.began),
            retries: plan.task(task).map_or(0, |task| task.retry.max),
            is_unwanted,
        };
        let checked = end.check(held.spent, record, &plan.config);
        match before {
            // The timers came before the store's newest word.
            Some((_, spent)) if self.hears_of == Some(task) => {
                checked.or_else(|broken| end.check(spent, record, &plan.config).map_err(|_| broken))
            }
            _ => checked,
        }
    }

    /// Whether everyone who wanted a task to end was answered.
    ///
    /// # Errors
    /// Who was not.
    pub(super) fn check_answered(&self) -> Result<(), String> {
        match self.unwanted.first() {
            Some(task) => Err(format!("whoever wants {} to end is not answered", T(*task))),
            None => Ok(()),
        }
    }

    /// Whether nothing waits that could run.
    ///
    /// # Errors
    /// The worker that is free.
    pub(super) fn check_idle(&self, stats: &Stats, plan: &Plan) -> Result<(), Broken> {
        let limits = plan.functions.iter().any(|function| function.concurrency.is_some());
        let small = plan.config.unrecorded_bytes < 1 << 20;
        if stats.waiting == 0 || self.drains || limits || small {
            return Ok(());
        }
        for worker in &stats.workers {
            let Some(seen) = self.workers.get(&worker.id) else { continue };
            let room = (seen.slots + seen.ahead).saturating_sub(worker.running);
            let room = if seen.kind == WorkerKind::Pull { room.min(seen.asked) } else { room };
            if room > 0 && !seen.leaves && !seen.rests && seen.broken.is_none() {
                let text = format!("{} tasks wait beside {}, which has room for {room}", stats.waiting, W(worker.id));
                return Err((Violation::Idle, text));
            }
        }
        Ok(())
    }
}

/// The worker that speaks.
fn speaker(input: &Input) -> Option<WorkerId> {
    match input {
        Input::Hello { worker, .. }
        | Input::Ready { worker, .. }
        | Input::Ahead { worker, .. }
        | Input::Resting { worker, .. }
        | Input::Heartbeat { worker }
        | Input::Started { worker, .. }
        | Input::Ended { worker, .. }
        | Input::Goodbye { worker } => Some(*worker),
        _ => None,
    }
}

/// Milliseconds of a dispatcher's time.
pub(super) fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
