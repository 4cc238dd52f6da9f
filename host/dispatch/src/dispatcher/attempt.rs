//! The life of an attempt: assigned, begun, ended or lost or fenced off.

use std::time::Duration;

use bulkhead_protocol::id::{TaskId, WorkerId};
use bulkhead_protocol::outcome::Outcome;
use bulkhead_protocol::task::Attempt;

use super::Dispatcher;
use super::task::{Entry, State};
use crate::input::WorkerKind;
use crate::output::{Output, Record};
use crate::retry::{Verdict, judge, returned};

impl Dispatcher {
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
        while self.pool.has_attempt(worker, task, entry.arrival.attempt) {
            // One that was fenced off, with a number that the store does not know, and is being killed.
            entry.arrival.attempt = entry.arrival.attempt.saturating_add(1);
        }
        let begun = self.pool.kind(worker) == Some(WorkerKind::Local);
        entry.state = State::Running { worker, begun, drained: false, again: None };
        let (attempt, function) = (entry.arrival.attempt, entry.arrival.function);
        self.running += 1;
        self.pool.assign(worker, function, task, attempt);
        self.outputs.push_back(Output::Assign { worker, task, attempt });
    }

    /// A worker began an attempt.
    pub(super) fn started(&mut self, worker: WorkerId, task: TaskId, attempt: Attempt) {
        if !self.greeted(worker) || self.claims(worker, task, attempt) {
            return;
        }
        if !self.runs_on(task, attempt, worker) {
            return self.outputs.push_back(Output::CancelAttempt { worker, task, attempt });
        }
        if let Some(Entry { state: State::Running { begun, .. }, .. }) = self.tasks.get_mut(&task) {
            *begun = true;
        }
    }

    /// Takes the end of an attempt from a worker, if the attempt is the newest of its task.
    pub(super) fn ended(&mut self, worker: WorkerId, task: TaskId, attempt: Attempt, outcome: Outcome, bytes: u64) {
        let greeted = self.greeted(worker);
        // More than the bound says no more than the bound, and many of those can be added up.
        let bytes = bytes.min(self.config.unrecorded_bytes);
        self.pool.ended(worker, task, attempt);
        if greeted && self.runs_on(task, attempt, worker) {
            self.conclude(task, outcome, Some((worker, bytes)));
        } else if greeted && self.is_reported(task, attempt, worker) {
            // Said again on a new connection; the store is being told.
        } else if greeted && self.claims(worker, task, attempt) {
            self.claim_ended(worker, task, attempt, outcome, bytes);
        } else {
            self.stale += 1;
            self.outputs.push_back(Output::Discard { worker, task, attempt });
        }
        self.dismiss_if_left(worker);
    }

    /// Decides what follows the loss of a task's running attempt.
    pub(super) fn lose(&mut self, task: TaskId) {
        self.conclude(task, Outcome::WorkerLost, None);
    }

    /// Decides what follows the end of a task's running attempt, with the worker that reported it and the
    /// size of the report, if one did.
    pub(super) fn conclude(&mut self, task: TaskId, outcome: Outcome, report: Option<(WorkerId, u64)>) {
        let Some(Entry { state: State::Running { begun, drained, .. }, .. }) = self.tasks.get(&task) else { return };
        let (begun, drained) = (*begun, *drained);
        let Some(mut entry) = self.remove(task) else { return };
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
            let spent = &mut entry.arrival.spent;
            let verdict = if outcome == Outcome::WorkerLost && !begun {
                returned(spent, &self.config)
            } else {
                judge(&outcome, entry.arrival.retry, spent, &self.config, &mut self.random)
            };
            (outcome, verdict)
        };
        let record = match verdict {
            Verdict::End { dead_letter } => Record::Finish { outcome, dead_letter },
            Verdict::Again { after } => {
                let not_before = self.now.saturating_add(after);
                Record::Requeue { outcome, spent: entry.arrival.spent, not_before }
            }
        };
        self.record(entry, record, report);
    }

    /// The store refused the start of an attempt: it is killed, and the task is not this dispatcher's.
    pub(super) fn fenced(&mut self, task: TaskId, attempt: Attempt) {
        let Some(Entry { arrival, state: State::Running { worker, .. }, .. }) = self.tasks.get(&task) else { return };
        if arrival.attempt != attempt {
            return;
        }
        let worker = *worker;
        let Some(entry) = self.remove(task) else { return };
        self.outputs.push_back(Output::CancelAttempt { worker, task, attempt });
        let again = if let State::Running { again, .. } = entry.state { again } else { None };
        if let Some(again) = again {
            self.take(*again, false);
        } else {
            self.outputs.push_back(Output::Forget { task });
        }
        if entry.cancel {
            // The store knows whether it has ended or runs elsewhere.
            self.cancel(task);
        }
    }
}
