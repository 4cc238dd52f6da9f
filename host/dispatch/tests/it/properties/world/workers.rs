//! The workers of the world: the executor beside the dispatcher and three remote ones. Messages that
//! are on their way when a connection breaks are lost.

use std::collections::{BTreeMap, BTreeSet};

use bulkhead_dispatch::{Input, WorkerKind};
use bulkhead_protocol::id::{TaskId, WorkerId};
use bulkhead_protocol::outcome::Outcome;
use bulkhead_protocol::task::Attempt;

use super::{World, nth};
use crate::script;

/// How far an attempt has come at its worker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    Waits,
    Runs,
    /// The end is not acknowledged.
    Ended(Outcome),
}

#[derive(Debug)]
pub(super) struct Worker {
    kind: WorkerKind,
    slots: u32,
    ahead: u32,
    pub(super) leaving: bool,
    pub(super) asked_to_drain: bool,
    /// Whether words still pass.
    linked: bool,
    /// Whether the dispatcher knows that they do not.
    told_broken: bool,
    /// All that it has in hand.
    pub(super) has: BTreeMap<(TaskId, Attempt), Progress>,
    /// What it said at its last hello that it has.
    pub(super) declared: BTreeSet<(TaskId, Attempt)>,
}

impl Worker {
    /// What did not end.
    pub(super) fn attempts(&self) -> impl Iterator<Item = (TaskId, Attempt)> {
        self.has.iter().filter(|(_, progress)| !matches!(progress, Progress::Ended(_))).map(|(id, _)| *id)
    }

    /// The dispatcher died, or cut the link.
    pub(super) fn unlink(&mut self) {
        (self.linked, self.told_broken, self.asked_to_drain) = (false, true, false);
    }
}

impl World {
    /// The workers whose words pass.
    pub(super) fn linked(&self) -> impl Iterator<Item = WorkerId> {
        self.workers.iter().filter(|(_, worker)| worker.linked).map(|(id, _)| *id)
    }

    /// A worker connects, and says again what it ended.
    pub(super) fn hello(&mut self, which: usize) {
        let kinds = [(WorkerKind::Local, 3), (WorkerKind::Push, 2), (WorkerKind::Pull, 2), (WorkerKind::Push, 1)];
        let (kind, slots) = kinds[which];
        let id = script::worker(which as u64);
        let before = self.workers.remove(&id);
        let asked_to_drain = before.as_ref().is_some_and(|worker| worker.asked_to_drain);
        // The executor here has no connection to lose, so it says hello only when it is new.
        let has = before.map(|worker| worker.has).filter(|_| which > 0).unwrap_or_default();
        let in_hand: Vec<(TaskId, Attempt)> = has.keys().copied().collect();
        let ended: Vec<_> = has.iter().filter_map(|(id, progress)| Some((*id, progress.end()?))).collect();
        let declared = in_hand.iter().copied().collect();
        self.declared.extend(in_hand.iter().map(|(task, attempt)| (*task, *attempt, id)));
        let worker = Worker {
            kind,
            slots,
            ahead: 0,
            leaving: asked_to_drain,
            asked_to_drain,
            linked: true,
            told_broken: false,
            has,
            declared,
        };
        self.workers.insert(id, worker);
        self.input(Input::Hello { worker: id, kind, slots, in_hand });
        for ((task, attempt), outcome) in ended {
            if self.workers.get(&id).is_some_and(|worker| worker.linked && worker.has.contains_key(&(task, attempt))) {
                self.input(Input::Ended { worker: id, task, attempt, outcome, bytes: 1 });
            }
        }
    }

    pub(super) fn check_assign(&mut self, id: WorkerId, task: TaskId, attempt: Attempt) {
        assert!(self.drained.is_none(), "{task} begins in a drain");
        let stored = &self.store[&task];
        // After a takeover a claim's answer may be late, and the store refuses the start.
        let its = stored.claimed || stored.ended.is_some() || self.was_taken_over;
        assert!(its, "{task} is another dispatcher's");
        assert!(!self.writes.contains_key(&task), "{task} begins while its end is written");
        assert!(!self.cancels.contains_key(&task), "{task} begins while it is being cancelled");
        self.assigned.insert((task, attempt, id));
        let before = self.newest.insert(task, attempt).unwrap_or(0);
        assert!(attempt > before, "attempt {attempt} after {before}");
        let worker = self.workers.get_mut(&id).expect("assigned to a worker that is not there");
        assert!(!worker.leaving, "{id} takes no more");
        assert!(!worker.told_broken, "the connection to {id} is broken");
        if !worker.linked {
            return;
        }
        let progress = if worker.kind == WorkerKind::Local { Progress::Runs } else { Progress::Waits };
        assert!(worker.has.insert((task, attempt), progress).is_none(), "{id} is assigned {task}#{attempt} twice");
        let room = (worker.slots + worker.ahead) as usize;
        assert!(worker.attempts().count() <= room, "{id} has no room");
        if worker.kind == WorkerKind::Local {
            self.starts.insert((task, attempt, id));
        }
    }

    pub(super) fn start_attempt(&mut self, pick: usize) {
        let waiting =
            self.workers.iter().flat_map(|(id, worker)| worker.has.iter().map(move |(has, how)| (*id, *has, how)));
        let waiting = waiting.filter(|(_, _, how)| **how == Progress::Waits).map(|(id, has, _)| (id, has));
        let Some((id, (task, attempt))) = nth(waiting, pick) else { return };
        let worker = self.workers.get_mut(&id).unwrap();
        worker.has.insert((task, attempt), Progress::Runs);
        if worker.linked {
            // The driver tells the store only of what it assigned.
            if self.newest.get(&task) == Some(&attempt) && !worker.declared.contains(&(task, attempt)) {
                self.starts.insert((task, attempt, id));
            }
            self.input(Input::Started { worker: id, task, attempt });
        }
    }

    pub(super) fn end_attempt(&mut self, pick: usize, outcome: &Outcome) {
        let running = self.workers.iter().flat_map(|(id, worker)| worker.attempts().map(|attempt| (*id, attempt)));
        let Some((id, (task, attempt))) = nth(running, pick) else { return };
        self.end(id, task, attempt, outcome.clone());
    }

    fn end(&mut self, id: WorkerId, task: TaskId, attempt: Attempt, outcome: Outcome) {
        let worker = self.workers.get_mut(&id).unwrap();
        worker.has.insert((task, attempt), Progress::Ended(outcome.clone()));
        self.ends.insert((task, attempt, id), outcome.clone());
        if worker.linked {
            self.input(Input::Ended { worker: id, task, attempt, outcome, bytes: 1 });
        }
    }

    pub(super) fn repeat_end(&mut self, pick: usize) {
        if let Some(((task, attempt, worker), outcome)) = nth(&self.ends, pick).map(|(id, end)| (*id, end.clone())) {
            let has = self.workers.get(&worker).and_then(|worker| worker.has.get(&(task, attempt)));
            if has.is_none_or(|progress| matches!(progress, Progress::Ended(_))) {
                self.input(Input::Ended { worker, task, attempt, outcome, bytes: 1 });
            }
        }
    }

    /// A kill; the attempt ends when a later step says so.
    pub(super) fn kill(&mut self, id: WorkerId, task: TaskId, attempt: Attempt) {
        if let Some(worker) = self.workers.get_mut(&id) {
            worker.declared.remove(&(task, attempt));
        }
    }

    pub(super) fn acknowledge(&mut self, id: WorkerId, task: TaskId, attempt: Attempt) {
        if let Some(worker) = self.workers.get_mut(&id)
            && worker.linked
            && matches!(worker.has.get(&(task, attempt)), Some(Progress::Ended(_)))
        {
            worker.has.remove(&(task, attempt));
            worker.declared.remove(&(task, attempt));
        }
    }

    /// The dispatcher cuts the link; the worker goes on with what it has.
    pub(super) fn cut(&mut self, id: WorkerId) {
        if let Some(worker) = self.workers.get_mut(&id) {
            worker.unlink();
        }
    }

    pub(super) fn dismiss(&mut self, id: WorkerId) {
        if self.workers[&id].linked {
            let left = self.workers.remove(&id).map(|worker| worker.has).unwrap_or_default();
            assert!(left.is_empty(), "{id} is dismissed with {left:?}");
        } else {
            // It never hears of it.
            self.cut(id);
        }
    }

    pub(super) fn die(&mut self, pick: usize) {
        let Some(id) = nth(self.workers.keys().copied(), pick) else { return };
        let worker = self.workers.get_mut(&id).unwrap();
        if worker.kind != WorkerKind::Local {
            worker.has.clear();
            worker.linked = false;
        }
    }

    pub(super) fn disconnect(&mut self, pick: usize) {
        let Some(id) = nth(self.workers.keys().copied(), pick / 2) else { return };
        let worker = self.workers.get_mut(&id).unwrap();
        if worker.kind == WorkerKind::Local {
            return;
        }
        worker.linked = false;
        // Every second time the dispatcher does not notice.
        if pick.is_multiple_of(2) {
            worker.told_broken = true;
            self.input(Input::Disconnected { worker: id });
        }
    }

    /// Words about attempts that are another's, or nobody's, or of a worker that nobody knows.
    pub(super) fn lie(&mut self, pick: usize) {
        let worker = script::worker([1, 2, 3, 77][pick % 4]);
        let task = script::task((pick / 4 % 30) as u64);
        let attempt = [0, 1, 2, 3, 4, u32::MAX][pick / 128 % 6];
        // Of what a worker was assigned, nobody can tell from its words that it is not true.
        if self.assigned.contains(&(task, attempt, worker)) {
            return;
        }
        self.input(match pick / 1024 % 2 {
            0 => Input::Started { worker, task, attempt },
            _ => Input::Ended { worker, task, attempt, outcome: Outcome::Succeeded, bytes: u64::MAX },
        });
    }

    pub(super) fn goodbye(&mut self, pick: usize) {
        if let Some(worker) = nth(self.linked(), pick) {
            self.workers.get_mut(&worker).unwrap().leaving = true;
            self.input(Input::Goodbye { worker });
        }
    }

    pub(super) fn ready(&mut self, pick: usize) {
        let worker = script::worker(2);
        if self.linked().any(|linked| linked == worker) {
            self.input(Input::Ready { worker, count: u32::try_from(pick % 5).unwrap() });
        }
    }

    pub(super) fn ahead(&mut self, pick: usize) {
        if let Some(id) = nth(self.linked(), pick / 4).filter(|id| *id != script::worker(0)) {
            let ahead = u32::try_from(pick % 4).unwrap();
            // What it has already stays.
            let worker = self.workers.get_mut(&id).unwrap();
            worker.ahead = worker.ahead.max(ahead);
            self.input(Input::Ahead { worker: id, ahead: self.workers[&id].ahead });
        }
    }
}

impl Progress {
    fn end(&self) -> Option<Outcome> {
        match self {
            Self::Ended(outcome) => Some(outcome.clone()),
            _ => None,
        }
    }
}
