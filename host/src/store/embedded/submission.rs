//! How tasks come into the store: submitted, adopted from a call that runs already, or due after a
//! delay.

use bulkhead_protocol::id::TaskId;
use bulkhead_protocol::task::{Status, TaskState};
use redb::ReadableTable;

use super::database::{Failure, KEY_TIMES, KEYS, PAYLOAD_INPUT};
use super::live::{LiveTask, QueueKey};
use super::record::{EncodedTask, Place, StateRecord};
use super::transition::{Effect, Group, queue_entry};
use crate::store::types::{IDEMPOTENCY_WINDOW_MS, Submitted};

/// Most delayed tasks that one step moves to the queue.
const PROMOTED_AT_ONCE: usize = 1024;

/// A task on its way in: what the committer needs of it beside its encoded record.
pub(super) struct NewTask {
    /// Its id.
    pub(super) id: TaskId,
    /// Its queue.
    pub(super) queue: QueueKey,
    /// When it was submitted; milliseconds since the Unix epoch.
    pub(super) submitted_at_ms: u64,
    /// Before when it does not run.
    pub(super) not_before_ms: Option<u64>,
    /// How long it is kept after its end, when it says so itself.
    pub(super) result_ttl_ms: Option<u64>,
    /// SHA-256 of its idempotency key, and of function and input.
    pub(super) idempotency: Option<([u8; 32], [u8; 32])>,
    /// The record.
    pub(super) encoded: EncodedTask,
}

impl Group<'_> {
    /// Stores and queues tasks.
    pub(super) fn submit(&mut self, tasks: Vec<NewTask>) -> Result<Vec<Submitted>, Failure> {
        let queued = self.shared.live().queued;
        tasks.into_iter().map(|task| self.submit_one(task, queued)).collect()
    }

    fn submit_one(&mut self, mut task: NewTask, queued: usize) -> Result<Submitted, Failure> {
        if let Some(earlier) = self.earlier(&task)? {
            return Ok(earlier);
        }
        if queued + self.added >= self.shared.max_queued {
            return Ok(Submitted::QueueFull);
        }
        self.enter_key(&task)?;
        let place = self.new_place(task.not_before_ms);
        self.write_task(&mut task, place)?;
        self.put(task.id, task.queue, place)?;
        Ok(Submitted::Stored)
    }

    /// Stores a task whose first attempt runs already.
    pub(super) fn adopt(&mut self, mut task: NewTask, started_at_ms: u64) -> Result<(), Failure> {
        let seq = self.take_seq();
        let place = Place::Ready { seq };
        self.write_task(&mut task, place)?;
        self.queue.insert(queue_entry(task.queue, seq), task.id.0.into_bytes())?;
        let state = TaskState {
            status: Status::Running,
            attempt: 1,
            started_at_ms: Some(started_at_ms),
            ..TaskState::queued()
        };
        let record = StateRecord { state, fence: 1, ..StateRecord::queued(place) };
        self.write_state(task.id, &record)?;
        let live = LiveTask {
            queue: task.queue,
            seq,
            result_ttl_ms: task.result_ttl_ms,
            state: record.state,
            fence: 1,
            changing: false,
            reserved: false,
            unwanted: false,
            progress: None,
        };
        self.effects.push(Effect::Adopted { id: task.id, task: Box::new(live) });
        Ok(())
    }

    /// Moves delayed tasks whose time has come to their queues.
    pub(super) fn promote(&mut self) -> Result<(), Failure> {
        let mut due = Vec::new();
        for entry in self.delayed.range(..=(self.now_ms, u64::MAX))?.take(PROMOTED_AT_ONCE) {
            let (key, id) = entry?;
            due.push((key.value(), TaskId(uuid::Uuid::from_bytes(id.value()))));
        }
        for (key, id) in due {
            self.changed = true;
            self.delayed.remove(key)?;
            let Some((queue, _, mut record)) = self.read(id)? else { continue };
            let seq = self.take_seq();
            record.place = Some(Place::Ready { seq });
            self.write_state(id, &record)?;
            self.queue.insert(queue_entry(queue, seq), id.0.into_bytes())?;
            self.effects.push(Effect::Promoted { queue, seq, id });
        }
        let at_ms = self.delayed.first()?.map(|(key, _)| key.value().0);
        self.effects.push(Effect::NextDue { at_ms });
        Ok(())
    }

    fn write_task(&mut self, task: &mut NewTask, place: Place) -> Result<(), Failure> {
        self.changed = true;
        let key = task.id.0.into_bytes();
        self.tasks.insert(key, task.encoded.place(place))?;
        if let Some(input) = &task.encoded.input {
            self.payloads.insert((key, PAYLOAD_INPUT), input.as_slice())?;
        }
        Ok(())
    }

    /// What an earlier task with the same idempotency key makes of this one.
    fn earlier(&self, task: &NewTask) -> Result<Option<Submitted>, Failure> {
        let Some((key, digest)) = task.idempotency else { return Ok(None) };
        let keys = self.transaction.open_table(KEYS)?;
        let Some((id, submitted_at_ms, earlier)) = keys.get(key)?.map(|entry| entry.value()) else {
            return Ok(None);
        };
        if task.submitted_at_ms >= submitted_at_ms.saturating_add(IDEMPOTENCY_WINDOW_MS) {
            return Ok(None);
        }
        let id = TaskId(uuid::Uuid::from_bytes(id));
        Ok(Some(if digest == earlier { Submitted::Duplicate(id) } else { Submitted::Conflict(id) }))
    }

    fn enter_key(&mut self, task: &NewTask) -> Result<(), Failure> {
        let Some((key, digest)) = task.idempotency else { return Ok(()) };
        let mut keys = self.transaction.open_table(KEYS)?;
        let mut times = self.transaction.open_table(KEY_TIMES)?;
        let replaced = keys.insert(key, (task.id.0.into_bytes(), task.submitted_at_ms, digest))?;
        if let Some(replaced) = replaced {
            times.remove((replaced.value().1, key))?;
        }
        times.insert((task.submitted_at_ms, key), ())?;
        Ok(())
    }
}
