//! What the embedded store holds in memory of tasks that have not ended: those that a dispatcher
//! took, and short windows onto the queues on disk. Its size follows the tasks that are claimed
//! and the functions that have work, not the length of the queue.

use std::collections::{HashMap, VecDeque};

use bulkhead_protocol::id::{FunctionId, TaskId};
use bulkhead_protocol::task::{Attempt, Priority, Progress, TaskState};

use super::database::Failure;
use super::record::{Place, StateRecord};

/// Most entries of one function's queue that are read ahead: a few kilobytes each.
const WINDOW: usize = 128;

/// The priorities in the order of the claims.
const BY_URGENCY: [Priority; 3] = [Priority::High, Priority::Normal, Priority::Low];

/// The queue that a task stands in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct QueueKey {
    /// Its priority.
    pub(super) priority: Priority,
    /// Its function.
    pub(super) function: FunctionId,
}

/// Reads up to a number of entries of a queue from disk, from a first to a last number.
pub(super) type ReadQueue<'a> = dyn FnMut(QueueKey, (u64, u64), usize) -> Result<Vec<(u64, TaskId)>, Failure> + 'a;

/// A task that a dispatcher holds, or whose end is on its way to the disk.
#[derive(Clone, Debug)]
pub(super) struct LiveTask {
    /// Its queue.
    pub(super) queue: QueueKey,
    /// Its number there.
    pub(super) seq: u64,
    /// How long it is kept after its end, when it says so itself.
    pub(super) result_ttl_ms: Option<u64>,
    /// How far it has come.
    pub(super) state: TaskState,
    /// As in [`super::record::StateRecord`].
    pub(super) fence: Attempt,
    /// A change of it is being committed: what the transaction says counts, not this.
    pub(super) changing: bool,
    /// Nobody claimed it: the entry only keeps claims away until the change is committed.
    pub(super) reserved: bool,
    /// Somebody asked for its end: it is not queued again. In memory alone, as whoever asked learns of a
    /// restart.
    pub(super) unwanted: bool,
    /// What its function last said of its progress.
    pub(super) progress: Option<Progress>,
}

/// All of it. Guarded by one mutex; nothing under it waits for a sync.
#[derive(Default)]
pub(super) struct Live {
    /// Claimed and changing tasks.
    pub(super) tasks: HashMap<TaskId, LiveTask>,
    /// Started tasks whose state on disk does not say so yet.
    pub(super) unwritten_starts: Vec<TaskId>,
    /// Tasks that wait to be claimed, the delayed ones included.
    pub(super) queued: usize,
    /// When the first of the delayed tasks comes due, or earlier; milliseconds since the epoch.
    pub(super) next_due_ms: Option<u64>,
    /// The queues by priority, the least urgent first.
    lanes: [Lane; 3],
}

/// The queues of one priority.
#[derive(Default)]
struct Lane {
    /// By function; only functions with something left.
    queues: HashMap<FunctionId, FunctionQueue>,
    /// The same functions, the one to be served next in front.
    turns: VecDeque<FunctionId>,
}

/// A window onto the queue of one function.
#[derive(Default)]
struct FunctionQueue {
    /// The first entries in order.
    window: VecDeque<(u64, TaskId)>,
    /// First and last number of the entries that stand only on disk, all after the window.
    unread: Option<(u64, u64)>,
}

impl LiveTask {
    /// A task that was just taken from its queue.
    pub(super) fn claimed(queue: QueueKey, seq: u64, result_ttl_ms: Option<u64>, record: StateRecord) -> Self {
        let fence = record.fence;
        let state = record.unclaimed_state();
        Self {
            queue,
            seq,
            result_ttl_ms,
            state,
            fence,
            changing: false,
            reserved: false,
            unwanted: false,
            progress: None,
        }
    }

    /// Its record on disk, where it still stands in its queue.
    pub(super) fn record(&self) -> StateRecord {
        let place = Place::Ready { seq: self.seq };
        StateRecord { state: self.state.clone(), fence: self.fence, ..StateRecord::queued(place) }
    }
}

impl Live {
    /// Appends a committed entry to its queue.
    pub(super) fn push(&mut self, key: QueueKey, seq: u64, id: TaskId) {
        let queue = self.lane(key.priority).queue(key.function);
        match &mut queue.unread {
            Some((_, last)) => *last = seq,
            None if queue.window.len() < WINDOW => queue.window.push_back((seq, id)),
            unread => *unread = Some((seq, seq)),
        }
    }

    /// Puts an entry back in front of its queue: the claim that took it failed.
    pub(super) fn put_back(&mut self, key: QueueKey, seq: u64, id: TaskId) {
        self.queued += 1;
        self.lane(key.priority).queue(key.function).window.push_front((seq, id));
    }

    /// Notes an entry that was found on disk at opening, in the order of the numbers.
    pub(super) fn found(&mut self, key: QueueKey, seq: u64) {
        let queue = self.lane(key.priority).queue(key.function);
        let first = queue.unread.map_or(seq, |(first, _)| first);
        queue.unread = Some((first, seq));
    }

    /// Forgets an entry that a commit took out of its queue.
    pub(super) fn forget(&mut self, key: QueueKey, seq: u64) {
        if let Some(queue) = self.lane(key.priority).queues.get_mut(&key.function) {
            queue.window.retain(|(other, _)| *other != seq);
        }
    }

    /// Forgets all queues, and that changes were on their way: after a failed commit.
    pub(super) fn start_over(&mut self) {
        self.lanes = Default::default();
        self.queued = 0;
        self.next_due_ms = None;
        self.tasks.retain(|_, task| !task.reserved);
        for task in self.tasks.values_mut() {
            task.changing = false;
        }
    }

    /// Takes the entry whose turn it is.
    pub(super) fn take(&mut self, read: &mut ReadQueue<'_>) -> Result<Option<(QueueKey, u64, TaskId)>, Failure> {
        for priority in BY_URGENCY {
            let lane = &mut self.lanes[priority as usize];
            while let Some(&function) = lane.turns.front() {
                let key = QueueKey { priority, function };
                let queue = lane.queues.entry(function).or_default();
                if queue.window.is_empty() {
                    queue.refill(|range| read(key, range, WINDOW))?;
                }
                // What is being changed or was claimed already is not queued.
                let found = loop {
                    match queue.window.pop_front() {
                        Some((_, id)) if self.tasks.contains_key(&id) => {}
                        other => break other,
                    }
                };
                lane.turns.pop_front();
                if queue.window.is_empty() && queue.unread.is_none() {
                    lane.queues.remove(&function);
                } else {
                    lane.turns.push_back(function);
                }
                if let Some((seq, id)) = found {
                    self.queued = self.queued.saturating_sub(1);
                    return Ok(Some((key, seq, id)));
                }
            }
        }
        Ok(None)
    }

    fn lane(&mut self, priority: Priority) -> &mut Lane {
        &mut self.lanes[priority as usize]
    }
}

impl Lane {
    /// The queue of a function, which gets a turn when it has none.
    fn queue(&mut self, function: FunctionId) -> &mut FunctionQueue {
        self.queues.entry(function).or_insert_with(|| {
            self.turns.push_back(function);
            FunctionQueue::default()
        })
    }
}

impl FunctionQueue {
    fn refill(&mut self, read: impl FnOnce((u64, u64)) -> Result<Vec<(u64, TaskId)>, Failure>) -> Result<(), Failure> {
        let Some(range) = self.unread else { return Ok(()) };
        let entries = read(range)?;
        self.unread = match entries.last() {
            // Fewer than asked for would also do; the next refill finds that out.
            Some((seq, _)) if *seq < range.1 => Some((seq + 1, range.1)),
            _ => None,
        };
        self.window.extend(entries);
        Ok(())
    }
}
