//! What falls due, and when.

use std::collections::BTreeMap;
use std::time::Duration;

use bulkhead_protocol::id::{TaskId, WorkerId};

/// What falls due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Timer {
    /// When to end a task that waited beyond its time to live.
    Expire(TaskId),
    /// When to try a failed write to the store again.
    RetryRecord(TaskId),
    /// When to ask the store for tasks again after it failed to answer.
    RetryClaim,
    /// When to look whether a remote worker was silent, or its connection broken, for too long.
    Silence(WorkerId),
    /// When to stop waiting for the worker that may still run a task's attempt.
    Orphan(TaskId),
    /// When to ask the store again for a task that a worker has in hand.
    Recover(TaskId),
    /// When to kill what still runs in a drain.
    DrainGrace,
}

/// Names a timer that was set, so that it can be unset. Ordered by time, then by age.
pub(crate) type Key = (Duration, u64);

/// The timers that are set. Setting, unsetting and firing take O(log n).
#[derive(Debug, Default)]
pub(crate) struct Timers {
    /// The timers, the next one first.
    set: BTreeMap<Key, Timer>,
    /// Makes keys of the same time unique; counts up.
    made: u64,
}

impl Timers {
    pub(crate) fn set(&mut self, at: Duration, timer: Timer) -> Key {
        self.made += 1;
        self.set.insert((at, self.made), timer);
        (at, self.made)
    }

    pub(crate) fn unset(&mut self, key: Key) {
        self.set.remove(&key);
    }

    /// Takes a timer that is due at `now`.
    pub(crate) fn fire(&mut self, now: Duration) -> Option<Timer> {
        let entry = self.set.first_entry()?;
        (entry.key().0 <= now).then(|| entry.remove())
    }

    /// When the next one falls due.
    pub(crate) fn next(&self) -> Option<Duration> {
        self.set.first_key_value().map(|(key, _)| key.0)
    }
}
