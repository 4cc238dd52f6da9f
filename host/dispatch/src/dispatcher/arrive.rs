//! A task comes from the store: it waits, goes on where a worker still has it, or ends.

use bulkhead_protocol::id::{TaskId, WorkerId};
use bulkhead_protocol::outcome::Outcome;
use bulkhead_protocol::task::Attempt;

use super::Dispatcher;
use super::drain::Drain;
use super::task::{Entry, State};
use crate::input::{Arrival, Cut};
use crate::output::{Output, Record, Refusal};
use crate::retry::{Verdict, lost};
use crate::timer::Timer;

impl Arrival {
    /// Where the newest attempt may still run, if nothing is known of its end.
    fn lost_at(&self) -> Option<Option<WorkerId>> {
        match self.cut {
            Cut::Lost { worker } if self.attempt > 0 => Some(worker.filter(|worker| !worker.0.is_nil())),
            _ => None,
        }
    }

    /// Whether its newest attempt may still run.
    pub(super) fn is_cut_off(&self) -> bool {
        self.lost_at().is_some()
    }

    /// Whether this is word of the task from after the end of `attempt` was stored.
    pub(super) fn supersedes(&self, attempt: Attempt) -> bool {
        self.attempt > attempt || self.attempt == attempt && attempt > 0 && self.lost_at().is_none()
    }

    /// Whether this is newer word than what waits here.
    fn supersedes_waiting(&self, held: &Self) -> bool {
        self.attempt > held.attempt || held.is_cut_off() && self.supersedes(held.attempt)
    }

    /// Whether a worker that has `attempt` in hand goes on with the task.
    pub(super) fn goes_on(&self, attempt: Attempt, worker: WorkerId) -> bool {
        match self.lost_at() {
            Some(at) => at == Some(worker) && self.attempt == attempt,
            // The attempt began without the store's knowledge.
            None => self.attempt.checked_add(1) == Some(attempt),
        }
    }
}

impl Dispatcher {
    /// Takes a task that a claim brought, unless there is no room or it is here already.
    pub(super) fn arrived(&mut self, arrival: Arrival) {
        let task = arrival.task;
        if self.gone.remove(&task) {
            return self.outputs.push_back(Output::Forget { task });
        }
        if let Some(asked) = self.asked.get_mut(&task) {
            (asked.held, asked.came_since) = (Some(arrival), true);
            return;
        }
        if self.tasks.contains_key(&task) {
            return self.arrived_again(arrival);
        }
        // Claims leave room for those that the store is asked to cancel. Those asked for since the claim
        // do not count: nobody would hand out again what is refused here. Nor do those that workers
        // brought since.
        if self.tasks.len() - self.brought >= self.config.window {
            return self.outputs.push_back(Output::Refuse { task, reason: Refusal::WindowFull });
        }
        self.take(arrival, false);
    }

    /// A claim brought a task that is in hand.
    fn arrived_again(&mut self, arrival: Arrival) {
        let task = arrival.task;
        let Some(entry) = self.tasks.get_mut(&task) else { return };
        let attempt = entry.arrival.attempt;
        match &mut entry.state {
            State::Recording(recording) => {
                let written = arrival.supersedes(attempt) && matches!(recording.record, Record::Requeue { .. });
                let resting = recording.retry.is_some();
                recording.back = Some(arrival);
                if written && resting {
                    // The write that put it back was made, and its answer was lost: no need of another.
                    self.answer_lost(task);
                }
            }
            // Another dispatcher had it in the meantime and passed the attempt that runs here.
            State::Running { worker, .. } if arrival.supersedes(attempt) => {
                let worker = *worker;
                let Some(entry) = self.remove(task) else { return };
                self.outputs.push_back(Output::CancelAttempt { worker, task, attempt });
                self.take(arrival, false);
                if entry.cancel {
                    self.cancel(task);
                }
            }
            State::Running { again, .. } => *again = Some(Box::new(arrival)),
            State::Waiting { .. } | State::Orphaned { .. } if arrival.supersedes_waiting(&entry.arrival) => {
                let Some(entry) = self.remove(task) else { return };
                self.take(arrival, false);
                if entry.cancel {
                    self.cancel(task);
                }
            }
            _ => self.outputs.push_back(Output::Refuse { task, reason: Refusal::Duplicate }),
        }
    }

    /// Lets a task go on where a worker has its attempt, else wait, or ends it when its budget or time
    /// is over.
    pub(super) fn take(&mut self, arrival: Arrival, brought: bool) {
        let task = arrival.task;
        if self.drain != Drain::No {
            return self.outputs.push_back(Output::Release { task });
        }
        let cancel = self.recovering.get_mut(&task).is_some_and(|recovery| std::mem::take(&mut recovery.cancel));
        let claim = self.claim_that_goes_on(&arrival);
        let lost_at = arrival.lost_at();
        let entry = Entry { arrival, brought, cancel: false, state: State::New };
        match (claim, lost_at) {
            (Some(claim), _) => self.adopt(entry, claim),
            (None, None) => self.wait(entry),
            (None, Some(Some(worker))) if !self.pool.is_connected(worker) => self.orphan(entry, worker),
            // The executor beside a dispatcher dies with it; and a worker that is here without the attempt
            // does not have it.
            (None, Some(_)) => self.charge_loss(entry),
        }
        self.settle_claims(task);
        if cancel {
            self.cancel(task);
        }
    }

    /// Lets a task wait for a slot, or ends it when its time is over.
    fn wait(&mut self, entry: Entry) {
        let Arrival { task, function, priority, attempt, concurrency, expires, .. } = entry.arrival;
        let expires = expires.filter(|_| attempt == 0);
        if expires.is_some_and(|at| at <= self.now) {
            return self.record(entry, Record::Finish { outcome: Outcome::Expired, dead_letter: false }, None);
        }
        let place = self.queue.push(function, priority, task, concurrency);
        let expiry = expires.map(|at| self.timers.set(at, Timer::Expire(task)));
        self.insert(Entry { state: State::Waiting { place, expiry }, ..entry });
    }

    /// Ends a waiting task that waited beyond its time to live.
    pub(super) fn expire(&mut self, task: TaskId) {
        let Some(entry) = self.remove(task) else { return };
        self.record(entry, Record::Finish { outcome: Outcome::Expired, dead_letter: false }, None);
    }

    /// Waits for the worker that may still run a task's attempt.
    fn orphan(&mut self, entry: Entry, worker: WorkerId) {
        let task = entry.arrival.task;
        let until = self.timers.set(self.now.saturating_add(self.config.orphan_wait), Timer::Orphan(task));
        self.orphans.insert(worker, task);
        self.insert(Entry { state: State::Orphaned { worker, until }, ..entry });
    }

    /// Nobody came with an orphaned attempt.
    pub(super) fn give_up_orphan(&mut self, task: TaskId) {
        let is_orphan = self.tasks.get(&task).is_some_and(|entry| matches!(entry.state, State::Orphaned { .. }));
        if is_orphan && let Some(entry) = self.remove(task) {
            self.charge_loss(entry);
        }
    }

    /// The newest attempt of a task that came from the store is lost. The task goes through the store
    /// before its next attempt, so that the charge outlives this dispatcher as well: a task that kills
    /// its dispatchers must come to an end.
    fn charge_loss(&mut self, mut entry: Entry) {
        let verdict = lost(&mut entry.arrival.spent, &self.config);
        let finish = |outcome| Record::Finish { outcome, dead_letter: false };
        let record = match verdict {
            _ if entry.cancel => finish(Outcome::Cancelled),
            Verdict::End { .. } => finish(Outcome::WorkerLost),
            Verdict::Again { after } => Record::Requeue {
                outcome: Outcome::WorkerLost,
                spent: entry.arrival.spent,
                not_before: self.now.saturating_add(after),
            },
        };
        self.record(entry, record, None);
    }
}
