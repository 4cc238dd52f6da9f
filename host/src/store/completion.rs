//! Who waits for the end of which task. The backend tells of an end, this wakes those who wait for
//! it; nobody polls.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bulkhead_protocol::id::TaskId;
use tokio::sync::Notify;

use super::types::{Error, MAX_WAITERS};

/// Enough that two cores seldom meet at one lock.
const SHARDS: usize = 16;

/// Those who wait, by task.
pub(super) struct Completion {
    /// By the last byte of the task's id, which is random in a UUIDv7.
    shards: [Mutex<HashMap<TaskId, Waited>>; SHARDS],
    /// Waiters over all shards, at most [`MAX_WAITERS`].
    waiters: AtomicUsize,
}

/// A task that somebody waits for.
struct Waited {
    /// Wakes all of them.
    ended: Arc<Notify>,
    /// How many they are; the entry goes with the last.
    waiters: usize,
}

/// One wait for one task; its place is given back on drop.
pub(super) struct Waiter<'a> {
    /// Where it is entered.
    completion: &'a Completion,
    /// The task.
    id: TaskId,
    /// Wakes it.
    pub(super) ended: Arc<Notify>,
}

impl Completion {
    pub(super) fn new() -> Self {
        Self { shards: Default::default(), waiters: AtomicUsize::new(0) }
    }

    /// Enters a waiter. Whoever reads the state after this and finds no end will be woken at the
    /// end, provided that they enabled the notification first.
    ///
    /// # Errors
    /// [`Error::Unavailable`] at [`MAX_WAITERS`].
    pub(super) fn waiter(&self, id: TaskId) -> Result<Waiter<'_>, Error> {
        let entered = self.waiters.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |waiters| {
            (waiters < MAX_WAITERS).then_some(waiters + 1)
        });
        if entered.is_err() {
            return Err(Error::Unavailable { reason: format!("{MAX_WAITERS} calls wait for a task already") });
        }
        let mut shard = self.shard(id);
        let waited = shard.entry(id).or_insert_with(|| Waited { ended: Arc::new(Notify::new()), waiters: 0 });
        waited.waiters += 1;
        Ok(Waiter { completion: self, id, ended: waited.ended.clone() })
    }

    /// Wakes those who wait for `id`.
    pub(super) fn ended(&self, id: TaskId) {
        if let Some(waited) = self.shard(id).get(&id) {
            waited.ended.notify_waiters();
        }
    }

    /// Wakes all who wait, to look for themselves: ends may have passed unheard.
    pub(super) fn wake_all(&self) {
        for shard in &self.shards {
            let shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            shard.values().for_each(|waited| waited.ended.notify_waiters());
        }
    }

    fn shard(&self, id: TaskId) -> MutexGuard<'_, HashMap<TaskId, Waited>> {
        let shard = usize::from(id.0.as_bytes()[15]) % SHARDS;
        self.shards[shard].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        let mut shard = self.completion.shard(self.id);
        if let Some(waited) = shard.get_mut(&self.id) {
            waited.waiters -= 1;
            if waited.waiters == 0 {
                shard.remove(&self.id);
            }
        }
        self.completion.waiters.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bound_is_kept_and_places_come_back() {
        let completion = Completion::new();
        let id = TaskId(uuid::Uuid::now_v7());
        let mut waiters: Vec<_> = (0..MAX_WAITERS).map(|_| completion.waiter(id).unwrap()).collect();
        assert!(matches!(completion.waiter(id), Err(Error::Unavailable { .. })));
        waiters.pop();
        waiters.push(completion.waiter(id).unwrap());
        drop(waiters);
        assert!(completion.shard(id).is_empty());
        assert_eq!(completion.waiters.load(Ordering::Relaxed), 0);
    }
}
