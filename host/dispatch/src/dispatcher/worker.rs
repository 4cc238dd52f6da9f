//! Workers come, live, and are lost.

use std::collections::BTreeSet;

use bulkhead_protocol::id::{TaskId, WorkerId};
use bulkhead_protocol::outcome::Outcome;
use bulkhead_protocol::task::Attempt;

use super::Dispatcher;
use crate::input::WorkerKind;
use crate::output::Output;
use crate::timer::Timer;

impl Dispatcher {
    pub(super) fn hello(&mut self, worker: WorkerId, kind: WorkerKind, slots: u32) {
        // A worker that says hello again began anew and runs nothing.
        self.remove_worker(worker);
        self.pool.add(worker, kind, slots, self.now);
        if kind != WorkerKind::Local {
            self.watch(worker);
        }
    }

    pub(super) fn ready(&mut self, worker: WorkerId, count: u32) {
        self.heartbeat(worker);
        self.pool.ask(worker, count);
    }

    pub(super) fn heartbeat(&mut self, worker: WorkerId) {
        if self.pool.last_heard(worker).is_none() {
            // It was evicted and does not know: cutting the link makes it say hello.
            self.outputs.push_back(Output::Evict { worker });
        }
    }

    pub(super) fn started(&mut self, worker: WorkerId, task: TaskId, attempt: Attempt) {
        if !self.runs_on(task, attempt, worker) {
            self.outputs.push_back(Output::CancelAttempt { worker, task, attempt });
        }
    }

    pub(super) fn goodbye(&mut self, worker: WorkerId) {
        self.pool.leave(worker);
        self.dismiss_if_left(worker);
    }

    pub(super) fn dismiss_if_left(&mut self, worker: WorkerId) {
        if self.pool.has_left(worker) {
            self.remove_worker(worker);
            self.outputs.push_back(Output::Dismiss { worker });
        }
    }

    /// Evicts a worker that was silent for too long, or looks again later. One timer a worker that
    /// moves when it fires, so that a heartbeat costs one lookup.
    pub(super) fn silence(&mut self, worker: WorkerId) {
        let Some(heard) = self.pool.last_heard(worker) else { return };
        if self.now < heard + self.config.silence {
            return self.watch(worker);
        }
        self.outputs.push_back(Output::Evict { worker });
        self.remove_worker(worker);
    }

    fn watch(&mut self, worker: WorkerId) {
        let Some(heard) = self.pool.last_heard(worker) else { return };
        let key = self.timers.set(heard + self.config.silence, Timer::Silence(worker));
        self.watches.insert(worker, key);
    }

    /// Removes a worker; what it ran is lost and fenced off.
    fn remove_worker(&mut self, worker: WorkerId) {
        if let Some(key) = self.watches.remove(&worker) {
            self.timers.unset(key);
        }
        let lost: BTreeSet<(TaskId, Attempt)> = self.pool.remove(worker).unwrap_or_default();
        for (task, attempt) in lost {
            if self.runs_on(task, attempt, worker) {
                self.conclude(task, Outcome::WorkerLost, 0);
            }
        }
    }
}
