//! The workers, what they have, and how much room there is.

mod worker;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bulkhead_protocol::id::{FunctionId, TaskId, WorkerId};
use bulkhead_protocol::task::Attempt;

use crate::input::WorkerKind;

use worker::Worker;

/// What a worker does now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkerStats {
    /// The worker.
    pub id: WorkerId,
    /// How it gets its tasks.
    pub kind: WorkerKind,
    /// Attempts that it runs at once.
    pub slots: u32,
    /// Attempts that it has: they run, or wait there for a slot.
    pub running: u32,
    /// Whether it takes no more tasks.
    pub draining: bool,
    /// Whether it takes none for now.
    pub resting: bool,
}

/// All workers of the dispatcher.
#[derive(Debug, Default)]
pub(crate) struct Pool {
    /// The workers that said hello and are neither gone nor evicted.
    workers: BTreeMap<WorkerId, Worker>,
    /// Those with idle slots, the one with the most first.
    idle: ByMost,
    /// Those that can take a task, to run or to wait, the one with the most room first.
    room: ByMost,
    /// The workers that hold each function.
    holders: BTreeMap<FunctionId, BTreeSet<WorkerId>>,
    /// Slots of all workers that are not leaving.
    slots: usize,
}

/// Workers, the one with the most of something first; of equals always the same, so that transcripts
/// are stable.
type ByMost = BTreeSet<(Reverse<u32>, WorkerId)>;

/// How many workers are looked at from the top of the order before the holders of a function are gone
/// through: a function in heavy use is held near the top, and one in little use has few holders.
const LOOKED_AT: usize = 8;

impl Pool {
    /// Adds a worker, or takes note that it is there again, and returns what it was taken to have until
    /// now: from here on that is nothing. It keeps the functions that it holds.
    pub(crate) fn greet(
        &mut self,
        id: WorkerId,
        kind: WorkerKind,
        slots: u32,
        now: Duration,
    ) -> BTreeSet<(TaskId, Attempt)> {
        self.workers.entry(id).or_insert_with(|| Worker::new(kind));
        self.change(id, |worker| worker.greet(kind, slots, now)).unwrap_or_default()
    }

    /// Removes a worker and returns what it had.
    pub(crate) fn remove(&mut self, id: WorkerId) -> BTreeSet<(TaskId, Attempt)> {
        // One that takes nothing is in no index.
        self.change(id, |worker| worker.leaving = true);
        let Some(worker) = self.workers.remove(&id) else { return BTreeSet::new() };
        for function in worker.functions() {
            self.unhold(function, id);
        }
        worker.running
    }

    /// Whether a worker said hello and is neither gone nor evicted.
    pub(crate) fn knows(&self, id: WorkerId) -> bool {
        self.workers.contains_key(&id)
    }

    /// Whether a worker is known and its connection stands.
    pub(crate) fn is_connected(&self, id: WorkerId) -> bool {
        self.workers.get(&id).is_some_and(|worker| worker.broken.is_none())
    }

    /// How a worker gets its tasks.
    pub(crate) fn kind(&self, id: WorkerId) -> Option<WorkerKind> {
        self.workers.get(&id).map(|worker| worker.kind)
    }

    /// A sign of life.
    pub(crate) fn heard(&mut self, id: WorkerId, now: Duration) {
        if let Some(worker) = self.workers.get_mut(&id) {
            worker.heard = now;
        }
    }

    /// The connection to a worker broke; false when it was broken already.
    pub(crate) fn broke(&mut self, id: WorkerId, now: Duration) -> bool {
        self.change(id, |worker| {
            let stood = worker.broken.is_none();
            worker.broken = worker.broken.or(Some(now));
            stood
        })
        .unwrap_or(false)
    }

    /// When a worker last gave a sign of life, and since when its connection is broken.
    pub(crate) fn signs(&self, id: WorkerId) -> Option<(Duration, Option<Duration>)> {
        self.workers.get(&id).map(|worker| (worker.heard, worker.broken))
    }

    /// A pull worker's request.
    pub(crate) fn ask(&mut self, id: WorkerId, count: u32) {
        self.change(id, |worker| worker.ask(count));
    }

    /// How many attempts may wait at a worker.
    pub(crate) fn ahead(&mut self, id: WorkerId, ahead: u32) {
        self.change(id, |worker| worker.set_ahead(ahead));
    }

    /// A worker takes nothing for now, or takes tasks again.
    pub(crate) fn rest(&mut self, id: WorkerId, resting: bool) {
        self.change(id, |worker| worker.resting = resting);
    }

    /// Where a task of a function goes: first where a slot is idle, and among those where the function
    /// is held, so that its package need not travel; of equals to the one with the most room.
    pub(crate) fn choose(&self, function: FunctionId) -> Option<WorkerId> {
        let holders = self.holders.get(&function);
        let idle = self.choose_by(&self.idle, holders, Worker::idle);
        idle.or_else(|| self.choose_by(&self.room, holders, Worker::room))
    }

    /// The first of the holders in an order, else the first of all.
    fn choose_by(
        &self,
        order: &ByMost,
        holders: Option<&BTreeSet<WorkerId>>,
        most: fn(&Worker) -> u32,
    ) -> Option<WorkerId> {
        let (_, first) = order.first()?;
        let Some(holders) = holders else { return Some(*first) };
        if let Some((_, holder)) = order.iter().take(LOOKED_AT).find(|(_, id)| holders.contains(id)) {
            return Some(*holder);
        }
        if order.len() <= LOOKED_AT {
            return Some(*first);
        }
        let holder = holders.iter().filter_map(|id| {
            let most = self.workers.get(id).map_or(0, most);
            (most > 0).then_some((Reverse(most), *id))
        });
        Some(holder.min().map_or(*first, |(_, id)| id))
    }

    /// Gives an attempt of a function to a worker.
    pub(crate) fn assign(&mut self, id: WorkerId, function: FunctionId, task: TaskId, attempt: Attempt) {
        self.change(id, |worker| {
            debug_assert!(worker.room() > 0, "an attempt goes where there is room");
            worker.assign(task, attempt);
        });
        self.hold(id, function);
    }

    /// A worker has an attempt.
    pub(crate) fn has(&mut self, id: WorkerId, task: TaskId, attempt: Attempt) {
        self.change(id, |worker| worker.running.insert((task, attempt)));
    }

    /// A worker holds a function.
    pub(crate) fn hold(&mut self, id: WorkerId, function: FunctionId) {
        let Some(worker) = self.workers.get_mut(&id) else { return };
        let dropped = worker.hold(function);
        self.holders.entry(function).or_default().insert(id);
        if let Some(dropped) = dropped {
            self.unhold(dropped, id);
        }
    }

    fn unhold(&mut self, function: FunctionId, id: WorkerId) {
        if let Some(holders) = self.holders.get_mut(&function) {
            holders.remove(&id);
            if holders.is_empty() {
                self.holders.remove(&function);
            }
        }
    }

    /// A worker's attempt ended.
    pub(crate) fn ended(&mut self, id: WorkerId, task: TaskId, attempt: Attempt) {
        self.change(id, |worker| worker.running.remove(&(task, attempt)));
    }

    /// A worker takes no more tasks, by the dispatcher's wish.
    pub(crate) fn drain(&mut self, id: WorkerId) {
        self.change(id, |worker| (worker.leaving, worker.asked_to_drain) = (true, true));
    }

    /// Whether a worker was asked to finish what it has.
    pub(crate) fn is_asked_to_drain(&self, id: WorkerId) -> bool {
        self.workers.get(&id).is_some_and(|worker| worker.asked_to_drain)
    }

    /// A worker takes no more tasks and goes when it has none.
    pub(crate) fn goodbye(&mut self, id: WorkerId) {
        self.change(id, |worker| (worker.leaving, worker.said_goodbye) = (true, true));
    }

    /// Whether a worker said goodbye, has nothing left, and can be told that it may go.
    pub(crate) fn has_left(&self, id: WorkerId) -> bool {
        let left = |worker: &Worker| worker.said_goodbye && worker.running.is_empty() && worker.broken.is_none();
        self.workers.get(&id).is_some_and(left)
    }

    /// Whether the executor in this process has an attempt.
    pub(crate) fn runs_locally(&self) -> bool {
        self.workers.values().any(|worker| worker.kind == WorkerKind::Local && !worker.running.is_empty())
    }

    /// Slots of all workers that are not leaving.
    pub(crate) fn slots(&self) -> usize {
        self.slots
    }

    /// What each worker does, by id.
    pub(crate) fn stats(&self) -> impl Iterator<Item = WorkerStats> {
        self.workers.iter().map(|(id, worker)| WorkerStats {
            id: *id,
            kind: worker.kind,
            slots: worker.slots,
            running: worker.load(),
            draining: worker.leaving,
            resting: worker.resting,
        })
    }

    /// Whether a worker has an attempt, be it one that was given up.
    pub(crate) fn has_attempt(&self, id: WorkerId, task: TaskId, attempt: Attempt) -> bool {
        self.workers.get(&id).is_some_and(|worker| worker.running.contains(&(task, attempt)))
    }

    /// Makes every order anew and compares, for tests.
    pub(crate) fn audit(&self) {
        let order = |most: fn(&Worker) -> u32| -> ByMost {
            let all = self.workers.iter().map(|(id, worker)| (Reverse(most(worker)), *id));
            all.filter(|(Reverse(most), _)| *most > 0).collect()
        };
        assert_eq!(self.idle, order(Worker::idle));
        assert_eq!(self.room, order(Worker::room));
        assert_eq!(self.slots, self.workers.values().map(Worker::counted_slots).sum::<usize>());
        let holds = |id: &WorkerId, function| self.holders.get(&function).is_some_and(|all| all.contains(id));
        let held = self.workers.iter().flat_map(|(id, worker)| worker.functions().map(move |held| (id, held)));
        assert_eq!(
            held.filter(|(id, function)| holds(id, *function)).count(),
            self.holders.values().map(BTreeSet::len).sum::<usize>()
        );
    }

    /// Changes a worker, and its place in every order.
    fn change<T>(&mut self, id: WorkerId, change: impl FnOnce(&mut Worker) -> T) -> Option<T> {
        let worker = self.workers.get_mut(&id)?;
        let before = (worker.idle(), worker.room(), worker.counted_slots());
        let answer = change(worker);
        let after = (worker.idle(), worker.room(), worker.counted_slots());
        reorder(&mut self.idle, id, before.0, after.0);
        reorder(&mut self.room, id, before.1, after.1);
        self.slots = self.slots - before.2 + after.2;
        Some(answer)
    }
}

/// Moves a worker to its new place in an order.
fn reorder(order: &mut ByMost, id: WorkerId, before: u32, after: u32) {
    if before != after {
        order.remove(&(Reverse(before), id));
        if after > 0 {
            order.insert((Reverse(after), id));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn function(number: u32) -> FunctionId {
        format!("00000000-0000-4000-8000-{number:012x}").parse().unwrap()
    }

    fn worker(number: u32) -> WorkerId {
        format!("00000000-0000-4000-8000-{number:012x}").parse().unwrap()
    }

    fn pool_of(workers: u32) -> Pool {
        let mut pool = Pool::default();
        for number in 0..workers {
            pool.greet(worker(number), WorkerKind::Push, 10, Duration::ZERO);
        }
        pool
    }

    #[test]
    fn a_holder_is_found_however_many_have_more_room() {
        let mut pool = pool_of(50);
        pool.hold(worker(40), function(1));
        assert_eq!(pool.choose(function(1)), Some(worker(40)));
        assert_eq!(pool.choose(function(2)), Some(worker(0)));
        pool.hold(worker(30), function(1));
        assert_eq!(pool.choose(function(1)), Some(worker(30)));
        pool.goodbye(worker(30));
        pool.remove(worker(40));
        assert_eq!(pool.choose(function(1)), Some(worker(0)));
        pool.audit();
    }

    #[test]
    fn the_function_that_was_assigned_the_longest_ago_is_forgotten_first() {
        let mut pool = pool_of(2);
        for number in 0..256 {
            pool.hold(worker(1), function(number));
        }
        pool.hold(worker(1), function(0));
        assert_eq!(pool.choose(function(1)), Some(worker(1)));
        pool.hold(worker(1), function(256));
        assert_eq!(pool.choose(function(1)), Some(worker(0)));
        assert_eq!(pool.choose(function(0)), Some(worker(1)));
        assert_eq!(pool.choose(function(256)), Some(worker(1)));
        pool.audit();
    }
}
