//! Workers come, live, leave, and are lost.

use std::collections::BTreeSet;
use std::time::Duration;

use bulkhead_protocol::id::{TaskId, WorkerId};
use bulkhead_protocol::task::Attempt;

use super::Dispatcher;
use crate::input::WorkerKind;
use crate::output::Output;
use crate::timer::Timer;

impl Dispatcher {
    pub(super) fn hello(&mut self, worker: WorkerId, kind: WorkerKind, slots: u32, in_hand: Vec<(TaskId, Attempt)>) {
        let in_hand: BTreeSet<(TaskId, Attempt)> = in_hand.into_iter().collect();
        for (task, attempt) in self.pool.greet(worker, kind, slots, self.now) {
            if !in_hand.contains(&(task, attempt)) && self.runs_on(task, attempt, worker) {
                self.lose(task);
            }
        }
        for (task, attempt) in self.in_hand.of(worker) {
            if !in_hand.contains(&(task, attempt)) {
                self.drop_claim(worker, task, attempt);
            }
        }
        for (task, attempt) in in_hand {
            self.brought(worker, task, attempt);
        }
        // Whatever else was awaited from it, it does not have.
        for task in self.orphans.of(worker) {
            self.give_up_orphan(task);
        }
        self.watch(worker);
        if self.pool.is_asked_to_drain(worker) {
            self.outputs.push_back(Output::AskToDrain { worker });
        }
    }

    pub(super) fn ready(&mut self, worker: WorkerId, count: u32) {
        if self.greeted(worker) {
            self.pool.ask(worker, count);
        }
    }

    pub(super) fn ahead(&mut self, worker: WorkerId, ahead: u32) {
        if self.greeted(worker) {
            self.pool.ahead(worker, ahead);
        }
    }

    pub(super) fn resting(&mut self, worker: WorkerId, resting: bool) {
        if self.greeted(worker) {
            self.pool.rest(worker, resting);
        }
    }

    /// Whether a worker that speaks has said hello. If not it was evicted and does not know: cutting
    /// the link makes it say hello.
    pub(super) fn greeted(&mut self, worker: WorkerId) -> bool {
        let known = self.pool.knows(worker);
        if !known {
            self.outputs.push_back(Output::Evict { worker });
        }
        known
    }

    pub(super) fn drain_worker(&mut self, worker: WorkerId) {
        // The executor in this process drains with the dispatcher.
        if self.pool.kind(worker).is_some_and(|kind| kind != WorkerKind::Local) {
            self.pool.drain(worker);
            self.outputs.push_back(Output::AskToDrain { worker });
        }
    }

    pub(super) fn goodbye(&mut self, worker: WorkerId) {
        if self.greeted(worker) {
            self.pool.goodbye(worker);
            self.dismiss_if_left(worker);
        }
    }

    /// Lets a worker go that said goodbye, once it has nothing and the store has all that it reported: it
    /// keeps its reports until then, and they would be lost with it.
    pub(super) fn dismiss_if_left(&mut self, worker: WorkerId) {
        if self.pool.has_left(worker) && !self.owed.contains_key(&worker) {
            self.remove_worker(worker);
            self.outputs.push_back(Output::Dismiss { worker });
        }
    }

    /// The connection to a remote worker broke.
    pub(super) fn disconnected(&mut self, worker: WorkerId) {
        if self.pool.kind(worker).is_some_and(|kind| kind != WorkerKind::Local) && self.pool.broke(worker, self.now) {
            self.watch(worker);
        }
    }

    /// Evicts a worker that was silent, or its connection broken, for too long, or looks again later. One
    /// timer a worker that moves when it fires, so that a heartbeat costs one lookup.
    pub(super) fn silence(&mut self, worker: WorkerId) {
        let Some(deadline) = self.deadline(worker) else { return };
        if self.now < deadline {
            return self.watch(worker);
        }
        self.outputs.push_back(Output::Evict { worker });
        self.remove_worker(worker);
    }

    /// When a remote worker is evicted unless it speaks.
    fn deadline(&self, worker: WorkerId) -> Option<Duration> {
        let (heard, broken) = self.pool.signs(worker)?;
        let silent = heard.saturating_add(self.config.silence);
        Some(broken.map_or(silent, |since| silent.min(since.saturating_add(self.config.reconnect_wait))))
    }

    fn watch(&mut self, worker: WorkerId) {
        if let Some(key) = self.watches.remove(&worker) {
            self.timers.unset(key);
        }
        let Some(deadline) = self.deadline(worker) else { return };
        if self.pool.kind(worker) != Some(WorkerKind::Local) {
            let key = self.timers.set(deadline, Timer::Silence(worker));
            self.watches.insert(worker, key);
        }
    }

    /// Removes a worker; what it has is lost and fenced off.
    fn remove_worker(&mut self, worker: WorkerId) {
        if let Some(key) = self.watches.remove(&worker) {
            self.timers.unset(key);
        }
        for (task, attempt) in self.pool.remove(worker) {
            if self.runs_on(task, attempt, worker) {
                self.lose(task);
            }
        }
        for (task, attempt) in self.in_hand.of(worker) {
            self.drop_claim(worker, task, attempt);
        }
    }
}
