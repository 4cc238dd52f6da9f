//! Writes that wait to be made with others.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bulkhead_protocol::id::TaskId;
use tokio::sync::{Notify, Semaphore};
use tokio::time::Instant;

use super::group::{Answer, Awaited, Write};
use crate::store::redis::shared::BULK_BYTES;
use crate::store::types::Error;

/// How long a start waits for the end of its attempt, to be one write with it. Longer than a short call
/// takes, and short for whoever looks whether a task runs.
const LINGER: Duration = Duration::from_millis(5);

/// Most writes that wait or are made; more wait for a place. Each has less than [`BULK_BYTES`].
const MAX_WRITES: usize = 1024;

/// Most writes of one group: bounds how long its script keeps the server, to about a millisecond.
const GROUP_WRITES: usize = 128;

/// Bytes of writes from which on a group takes no more of them.
const GROUP_BYTES: usize = 1024 * 1024;

const _: () = assert!(GROUP_BYTES >= BULK_BYTES, "one write fits into a group");

/// Writes that wait.
pub(in crate::store::redis) struct Queue {
    /// They.
    waiting: Mutex<Waiting>,
    /// Wakes whoever makes them.
    more: Notify,
    /// Bounds them, with those that are being made.
    places: Arc<Semaphore>,
}

/// They themselves.
#[derive(Default)]
struct Waiting {
    /// To be made at once, in their order.
    due: VecDeque<Awaited>,
    /// Starts that wait for the end of their attempt, by task.
    starts: HashMap<TaskId, (Instant, Awaited)>,
    /// When each start has waited long enough, in order. Those that were made since go when their time comes:
    /// no more are here than starts that come within [`LINGER`].
    deadlines: VecDeque<(Instant, TaskId)>,
}

impl Queue {
    pub(in crate::store::redis) fn new() -> Self {
        let places = Arc::new(Semaphore::new(MAX_WRITES));
        Self { waiting: Mutex::default(), more: Notify::new(), places }
    }

    /// Has a write made.
    ///
    /// # Errors
    /// What the group failed with.
    ///
    /// # Cancel safety
    /// Once it has a place, the write is made all the same.
    pub(super) async fn put(&self, write: Write) -> Result<Answer, Error> {
        let (mut write, answer) = write.awaited();
        // Never closed. Places are given in the order in which they were asked for, which a yield by the runtime's
        // budget would break.
        write.place = tokio::task::unconstrained(Arc::clone(&self.places).acquire_owned()).await.ok();
        if self.lock().put(Instant::now(), write) {
            self.more.notify_one();
        }
        answer.await
    }

    /// Takes the start of a task's attempt, if it waits for company.
    pub(super) fn take_start(&self, task: TaskId) -> Option<Awaited> {
        self.lock().starts.remove(&task).map(|(_, start)| start)
    }

    /// The next group, once there is one.
    pub(super) async fn next(&self) -> Vec<Awaited> {
        loop {
            let more = self.more.notified();
            let wake_at = {
                let mut waiting = self.lock();
                waiting.ripen(Instant::now());
                if !waiting.due.is_empty() {
                    return waiting.take_group();
                }
                waiting.deadlines.front().map(|(at, _)| *at)
            };
            match wake_at {
                None => more.await,
                Some(at) => {
                    // Whichever came, the next round sees it.
                    let _ = tokio::time::timeout_at(at, more).await;
                }
            }
        }
    }

    /// Waits until every write was made or failed.
    pub(in crate::store::redis) async fn drained(&self) {
        self.lock().hurry();
        self.more.notify_one();
        // Never closed.
        let _ = self.places.acquire_many(MAX_WRITES as u32).await;
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    /// Adds a write; whether there is something new to wake for.
    fn put(&mut self, now: Instant, write: Awaited) -> bool {
        let task = write.task();
        let before = self.starts.remove(&task).map(|(_, start)| start);
        let had_none = self.due.is_empty();
        self.due.extend(before);
        if !write.write.is_start() {
            self.due.push_back(write);
            return had_none;
        }
        let at = now + LINGER;
        let is_first = self.deadlines.is_empty();
        self.starts.insert(task, (at, write));
        self.deadlines.push_back((at, task));
        is_first || (had_none && !self.due.is_empty())
    }

    /// Has those starts made that waited long enough.
    fn ripen(&mut self, now: Instant) {
        while let Some((at, task)) = self.deadlines.front().copied() {
            // Made with something else, or another start of the task has come since.
            let is_over = self.starts.get(&task).is_none_or(|(its, _)| *its != at);
            if !is_over && at > now {
                break;
            }
            self.deadlines.pop_front();
            if !is_over {
                self.due.extend(self.starts.remove(&task).map(|(_, start)| start));
            }
        }
    }

    /// Has all starts made.
    fn hurry(&mut self) {
        let deadlines = std::mem::take(&mut self.deadlines);
        self.due.extend(deadlines.iter().filter_map(|(_, task)| self.starts.remove(task)).map(|(_, start)| start));
    }

    /// Takes what is to be made at once, or as much as a group takes.
    fn take_group(&mut self) -> Vec<Awaited> {
        let mut bytes = 0;
        let fits = |write: &&Awaited| {
            bytes += write.write.size();
            bytes <= GROUP_BYTES
        };
        // The first goes in any case.
        let count = self.due.iter().take(GROUP_WRITES).take_while(fits).count().max(1);
        self.due.drain(..count).collect()
    }
}

#[cfg(test)]
mod tests;
