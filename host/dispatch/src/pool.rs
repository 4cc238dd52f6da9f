//! The workers, what they run, and how much room they have.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bulkhead_protocol::id::{TaskId, WorkerId};
use bulkhead_protocol::task::Attempt;

use crate::input::WorkerKind;

/// What a worker does now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkerStats {
    /// The worker.
    pub id: WorkerId,
    /// Attempts that it runs at once.
    pub slots: u32,
    /// Attempts that it runs.
    pub running: u32,
}

/// All workers of the dispatcher.
#[derive(Debug, Default)]
pub(crate) struct Pool {
    /// The workers that said hello and are neither gone nor evicted.
    workers: BTreeMap<WorkerId, Worker>,
    /// Those that can take a task, the one with the most room first.
    room: BTreeSet<(Reverse<u32>, WorkerId)>,
    /// Slots of all workers that are not leaving.
    slots: usize,
}

/// One worker.
#[derive(Debug)]
struct Worker {
    /// How it gets its tasks.
    kind: WorkerKind,
    /// Attempts that it runs at once.
    slots: u32,
    /// What it runs.
    running: BTreeSet<(TaskId, Attempt)>,
    /// What is left of a pull worker's last request: the request is parked while this is above 0.
    asked: u32,
    /// It said goodbye.
    leaving: bool,
    /// When it last gave a sign of life.
    heard: Duration,
}

impl Worker {
    /// How many more tasks it can take now.
    fn room(&self) -> u32 {
        let running = u32::try_from(self.running.len()).unwrap_or(u32::MAX);
        let free = self.slots.saturating_sub(running);
        match self.kind {
            _ if self.leaving => 0,
            WorkerKind::Local | WorkerKind::Push => free,
            WorkerKind::Pull => free.min(self.asked),
        }
    }
}

impl Pool {
    /// Adds a worker that is not there.
    pub(crate) fn add(&mut self, id: WorkerId, kind: WorkerKind, slots: u32, now: Duration) {
        let worker = Worker { kind, slots, running: BTreeSet::new(), asked: 0, leaving: false, heard: now };
        self.slots += slots as usize;
        if worker.room() > 0 {
            self.room.insert((Reverse(worker.room()), id));
        }
        let old = self.workers.insert(id, worker);
        debug_assert!(old.is_none(), "a worker is removed before it is added again");
    }

    /// Removes a worker and returns what it ran; `None` when there is no such worker.
    pub(crate) fn remove(&mut self, id: WorkerId) -> Option<BTreeSet<(TaskId, Attempt)>> {
        let worker = self.workers.remove(&id)?;
        self.room.remove(&(Reverse(worker.room()), id));
        if !worker.leaving {
            self.slots -= worker.slots as usize;
        }
        Some(worker.running)
    }

    /// A sign of life.
    pub(crate) fn heard(&mut self, id: WorkerId, now: Duration) {
        if let Some(worker) = self.workers.get_mut(&id) {
            worker.heard = now;
        }
    }

    /// When a worker last gave a sign of life.
    pub(crate) fn last_heard(&self, id: WorkerId) -> Option<Duration> {
        self.workers.get(&id).map(|worker| worker.heard)
    }

    /// A pull worker's request.
    pub(crate) fn ask(&mut self, id: WorkerId, count: u32) {
        self.change(id, |worker| worker.asked = count);
    }

    /// The worker with the most room; of equals always the same, so that transcripts are stable.
    pub(crate) fn choose(&self) -> Option<WorkerId> {
        self.room.first().map(|(_, id)| *id)
    }

    /// Gives an attempt to a worker.
    pub(crate) fn assign(&mut self, id: WorkerId, task: TaskId, attempt: Attempt) {
        self.change(id, |worker| {
            debug_assert!(worker.room() > 0, "an attempt goes where there is room");
            worker.asked = worker.asked.saturating_sub(1);
            worker.running.insert((task, attempt));
        });
    }

    /// A worker's attempt ended; false when it ran none such.
    pub(crate) fn ended(&mut self, id: WorkerId, task: TaskId, attempt: Attempt) -> bool {
        self.change(id, |worker| worker.running.remove(&(task, attempt))).unwrap_or(false)
    }

    /// A worker takes no more tasks.
    pub(crate) fn leave(&mut self, id: WorkerId) {
        let slots = self.change(id, |worker| {
            let slots = if worker.leaving { 0 } else { worker.slots };
            worker.leaving = true;
            slots
        });
        self.slots -= slots.unwrap_or(0) as usize;
    }

    /// Whether a worker said goodbye and has nothing left.
    pub(crate) fn has_left(&self, id: WorkerId) -> bool {
        self.workers.get(&id).is_some_and(|worker| worker.leaving && worker.running.is_empty())
    }

    /// Slots of all workers that are not leaving.
    pub(crate) fn slots(&self) -> usize {
        self.slots
    }

    /// What each worker does, by id.
    pub(crate) fn stats(&self) -> impl Iterator<Item = WorkerStats> {
        self.workers.iter().map(|(id, worker)| WorkerStats {
            id: *id,
            slots: worker.slots,
            running: u32::try_from(worker.running.len()).unwrap_or(u32::MAX),
        })
    }

    /// Changes a worker, and its place among those with room.
    fn change<T>(&mut self, id: WorkerId, change: impl FnOnce(&mut Worker) -> T) -> Option<T> {
        let worker = self.workers.get_mut(&id)?;
        let before = worker.room();
        let answer = change(worker);
        let after = worker.room();
        if before != after {
            self.room.remove(&(Reverse(before), id));
            if after > 0 {
                self.room.insert((Reverse(after), id));
            }
        }
        Some(answer)
    }
}
