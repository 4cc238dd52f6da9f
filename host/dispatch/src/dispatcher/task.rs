//! The life of a task: arrives, waits, runs, is recorded.

use std::time::Duration;

use bulkhead_protocol::id::{TaskId, WorkerId};
use bulkhead_protocol::outcome::Outcome;
use bulkhead_protocol::task::Attempt;

use super::Dispatcher;
use super::drain::Drain;
use crate::input::{Arrival, Cut};
use crate::output::{Cancelled, Output, Record, Refusal};
use crate::queue::Place;
use crate::retry::{History, Verdict, judge};
use crate::timer::{Key, Timer};

/// A task in hand.
#[derive(Debug)]
pub(super) struct Entry {
    /// The task as it arrived, but for the attempt, which is the newest.
    pub(super) arrival: Arrival,
    /// What it has used up.
    pub(super) history: History,
    /// Whether someone wants it to end.
    pub(super) cancel: bool,
    /// How far it has come.
    pub(super) state: State,
}

/// How far a task in hand has come.
#[derive(Debug)]
pub(super) enum State {
    /// It waits for a slot.
    Waiting {
        /// Its place in its line.
        place: Place,
        /// When it is too late.
        expiry: Option<Key>,
    },
    /// Its newest attempt runs.
    Running {
        /// Where.
        worker: WorkerId,
        /// Whether a drain killed it.
        drained: bool,
    },
    /// Its newest attempt ended, or it ended without one, and the store does not know yet.
    Recording(Recording),
}

/// What the store does not know yet.
#[derive(Debug)]
pub(super) struct Recording {
    /// What is to be written.
    record: Record,
    /// Size of the report that goes with it.
    bytes: u64,
    /// Whether the task is a dead letter once this is written.
    dead_letter: bool,
    /// Writes that failed.
    failures: u32,
    /// When the next write is tried; none while one is under way.
    retry: Option<Key>,
    /// The task as it came back from the queue before the write that put it there was answered.
    back: Option<Arrival>,
}

impl Recording {
    fn new(record: Record, bytes: u64, dead_letter: bool) -> Self {
        Self { record, bytes, dead_letter, failures: 0, retry: None, back: None }
    }
}

impl Dispatcher {
    /// Takes a task from the store, unless there is no room or it is here already.
    pub(super) fn arrived(&mut self, arrival: Arrival) {
        let task = arrival.task;
        if self.gone.remove(&task) {
            return self.outputs.push_back(Output::Forget { task });
        }
        if let Some(held @ None) = self.asked.get_mut(&task) {
            *held = Some(arrival);
            return;
        }
        if let Some(Entry { state: State::Recording(recording), .. }) = self.tasks.get_mut(&task)
            && matches!(recording.record, Record::Requeue { .. })
            && recording.back.is_none()
        {
            recording.back = Some(arrival);
            if recording.retry.is_some() {
                // The write that put it back was made, and its answer was lost: no need of another.
                self.recorded(task, true);
            }
            return;
        }
        if self.tasks.contains_key(&task) || self.asked.contains_key(&task) {
            return self.outputs.push_back(Output::Refuse { task, reason: Refusal::Duplicate });
        }
        // Claims leave room for those that the store is asked to cancel. Those asked for since the claim
        // do not count: nobody would hand out again what is refused here.
        if self.tasks.len() >= self.config.window {
            return self.outputs.push_back(Output::Refuse { task, reason: Refusal::WindowFull });
        }
        self.take(arrival);
    }

    /// Lets a task wait, or ends it when its budget or time is over.
    pub(super) fn take(&mut self, mut arrival: Arrival) {
        if self.drain != Drain::No {
            return self.outputs.push_back(Output::Release { task: arrival.task });
        }
        let Arrival { task, function, priority, attempt, cut, concurrency, expires, .. } = arrival;
        let history = match self.histories.remove(&task) {
            Some((known, history)) if known == attempt => history,
            _ if attempt == 0 => History::default(),
            _ => History::guess(attempt, cut, arrival.retry),
        };
        let expires = expires.filter(|_| attempt == 0);
        let end = if history.losses > self.config.losses && cut != Cut::Drained {
            // An attempt that was put back may not end its task any more; the one to come may.
            arrival.attempt = attempt.saturating_add(u32::from(cut == Cut::Failed));
            Some(Outcome::WorkerLost)
        } else {
            expires.filter(|at| *at <= self.now).map(|_| Outcome::Expired)
        };
        let place = self.queue.push(function, priority, task, concurrency);
        let expiry = expires.map(|at| self.timers.set(at, Timer::Expire(task)));
        let state = State::Waiting { place, expiry };
        self.tasks.insert(task, Entry { arrival, history, cancel: false, state });
        if let Some(outcome) = end {
            self.end_waiting(task, outcome);
        }
    }

    /// Begins the next attempt of a task that was taken from the queue.
    pub(super) fn begin(&mut self, task: TaskId, worker: WorkerId) {
        let Some(entry) = self.tasks.get_mut(&task) else {
            debug_assert!(false, "a task that waits is in hand");
            return;
        };
        if let State::Waiting { expiry: Some(key), .. } = entry.state {
            self.timers.unset(key);
        }
        entry.arrival.attempt = entry.arrival.attempt.saturating_add(1);
        entry.state = State::Running { worker, drained: false };
        let attempt = entry.arrival.attempt;
        self.running += 1;
        self.pool.assign(worker, task, attempt);
        self.outputs.push_back(Output::Assign { worker, task, attempt });
    }

    /// Takes the end of an attempt from a worker, if the attempt is the newest of its task.
    pub(super) fn ended(&mut self, worker: WorkerId, task: TaskId, attempt: Attempt, outcome: Outcome, bytes: u64) {
        self.pool.ended(worker, task, attempt);
        if self.runs_on(task, attempt, worker) {
            self.conclude(task, outcome, bytes);
        } else {
            self.stale += 1;
            self.outputs.push_back(Output::Discard { task, attempt });
        }
        self.dismiss_if_left(worker);
    }

    /// Whether this attempt is the newest of its task and runs on this worker.
    pub(super) fn runs_on(&self, task: TaskId, attempt: Attempt, worker: WorkerId) -> bool {
        self.tasks.get(&task).is_some_and(|entry| {
            entry.arrival.attempt == attempt && matches!(entry.state, State::Running { worker: on, .. } if on == worker)
        })
    }

    /// Decides what follows the end of a task's running attempt.
    pub(super) fn conclude(&mut self, task: TaskId, outcome: Outcome, bytes: u64) {
        let Some(entry) = self.tasks.get_mut(&task) else { return };
        let State::Running { drained, .. } = entry.state else { return };
        self.running -= 1;
        self.queue.ended(entry.arrival.function);
        let killed = outcome == Outcome::Cancelled;
        let (outcome, verdict) = if entry.cancel {
            // Whoever cancels wants an end, so nothing is tried again; but an attempt that ended by
            // itself before the kill reached it ended as it did.
            (outcome, Verdict::End { dead_letter: false })
        } else if killed && drained {
            (outcome, Verdict::Again { after: Duration::ZERO })
        } else {
            // Nobody here asked for the kill: the worker did it on its way out.
            let outcome = if killed { Outcome::WorkerLost } else { outcome };
            let policy = entry.arrival.retry;
            let verdict = judge(&outcome, policy, &mut entry.history, &self.config, &mut self.random);
            (outcome, verdict)
        };
        match verdict {
            Verdict::End { dead_letter } => self.record(task, Record::Finish { outcome }, bytes, dead_letter),
            Verdict::Again { after } => {
                let not_before = self.now.saturating_add(after);
                self.record(task, Record::Requeue { outcome, not_before }, 0, false);
            }
        }
    }

    /// Ends a waiting task that waited beyond its time to live.
    pub(super) fn expire(&mut self, task: TaskId) {
        self.end_waiting(task, Outcome::Expired);
    }

    fn end_waiting(&mut self, task: TaskId, outcome: Outcome) {
        let Some(entry) = self.tasks.get(&task) else { return };
        let State::Waiting { place, expiry } = entry.state else { return };
        self.queue.remove(entry.arrival.function, entry.arrival.priority, place);
        if let Some(key) = expiry {
            self.timers.unset(key);
        }
        self.record(task, Record::Finish { outcome }, 0, false);
    }

    /// Has the store write something of a task; until it has, the task stays in hand.
    fn record(&mut self, task: TaskId, record: Record, bytes: u64, dead_letter: bool) {
        let Some(entry) = self.tasks.get_mut(&task) else { return };
        let attempt = entry.arrival.attempt;
        self.outputs.push_back(Output::Record { task, attempt, record: record.clone() });
        entry.state = State::Recording(Recording::new(record, bytes, dead_letter));
        self.recording += 1;
        self.unrecorded_bytes += bytes;
    }

    /// Ends a task that was in hand while the store was asked to cancel it.
    pub(super) fn finish_as_cancelled(&mut self, arrival: Arrival) {
        let (task, attempt) = (arrival.task, arrival.attempt);
        let record = Record::Finish { outcome: Outcome::Cancelled };
        self.outputs.push_back(Output::Record { task, attempt, record: record.clone() });
        let state = State::Recording(Recording::new(record, 0, false));
        self.tasks.insert(task, Entry { arrival, history: History::default(), cancel: true, state });
        self.recording += 1;
    }

    /// The store has what it was asked to write, or had something newer.
    pub(super) fn recorded(&mut self, task: TaskId, applied: bool) {
        let Some(entry) = self.tasks.remove(&task) else { return };
        let State::Recording(recording) = entry.state else {
            self.tasks.insert(task, entry);
            return;
        };
        self.recording -= 1;
        self.unrecorded_bytes -= recording.bytes;
        if let Some(key) = recording.retry {
            self.timers.unset(key);
        }
        let attempt = entry.arrival.attempt;
        if let Record::Finish { outcome } = recording.record {
            if applied && recording.dead_letter {
                self.dead_letters += 1;
                self.outputs.push_back(Output::DeadLetter { task, attempt });
            }
            if entry.cancel {
                let cancelled = applied && outcome == Outcome::Cancelled;
                let result = if cancelled { Cancelled::Cancelled } else { Cancelled::Ended };
                self.outputs.push_back(Output::CancelAnswered { task, result });
            }
            return self.outputs.push_back(Output::Forget { task });
        }
        if applied {
            self.remember(task, attempt, entry.history);
        }
        if recording.back.is_none() {
            self.outputs.push_back(Output::Forget { task });
        }
        if entry.cancel {
            self.ask_store_to_cancel(task, recording.back);
        } else if let Some(arrival) = recording.back {
            self.take(arrival);
        }
    }

    /// The store failed to write; what was to be written stays until it can.
    pub(super) fn record_failed(&mut self, task: TaskId) {
        let Some(entry) = self.tasks.get_mut(&task) else { return };
        let State::Recording(recording) = &mut entry.state else { return };
        if recording.back.is_some() {
            // The task came back from the queue, so the write was made and only its answer lost.
            return self.recorded(task, true);
        }
        if recording.retry.is_some() {
            return;
        }
        recording.failures = recording.failures.saturating_add(1);
        let failures = recording.failures;
        let wait = self.store_backoff(failures);
        let key = self.timers.set(self.now + wait, Timer::RetryRecord(task));
        if let Some(Entry { state: State::Recording(recording), .. }) = self.tasks.get_mut(&task) {
            recording.retry = Some(key);
        }
    }

    /// Has the store write again what it failed to write.
    pub(super) fn retry_record(&mut self, task: TaskId) {
        let Some(entry) = self.tasks.get_mut(&task) else { return };
        let State::Recording(recording) = &mut entry.state else { return };
        recording.retry = None;
        let (attempt, record) = (entry.arrival.attempt, recording.record.clone());
        self.outputs.push_back(Output::Record { task, attempt, record });
    }
}
