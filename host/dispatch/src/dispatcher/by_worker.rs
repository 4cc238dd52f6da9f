//! Sets of things that belong to workers.

use std::collections::{BTreeMap, BTreeSet};

use bulkhead_protocol::id::WorkerId;

/// A set for each worker; empty ones take no memory.
#[derive(Debug)]
pub(super) struct ByWorker<T> {
    /// The sets that are not empty.
    sets: BTreeMap<WorkerId, BTreeSet<T>>,
}

impl<T> Default for ByWorker<T> {
    fn default() -> Self {
        Self { sets: BTreeMap::new() }
    }
}

impl<T: Ord + Copy> ByWorker<T> {
    pub(super) fn insert(&mut self, worker: WorkerId, thing: T) {
        self.sets.entry(worker).or_default().insert(thing);
    }

    pub(super) fn remove(&mut self, worker: WorkerId, thing: T) {
        if let Some(set) = self.sets.get_mut(&worker) {
            set.remove(&thing);
            if set.is_empty() {
                self.sets.remove(&worker);
            }
        }
    }

    pub(super) fn contains(&self, worker: WorkerId, thing: T) -> bool {
        self.sets.get(&worker).is_some_and(|set| set.contains(&thing))
    }

    /// How many things there are.
    pub(super) fn len(&self) -> usize {
        self.sets.values().map(BTreeSet::len).sum()
    }

    /// All that belongs to a worker.
    pub(super) fn of(&self, worker: WorkerId) -> Vec<T> {
        self.sets.get(&worker).into_iter().flatten().copied().collect()
    }
}
