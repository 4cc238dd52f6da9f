//! The changes of tasks, each decided and written inside the committer's transaction. The
//! committer is the only writer and a transaction reads its own writes, so a decision always sees
//! every change before it, those of the same group included.

use bulkhead_protocol::id::TaskId;
use bulkhead_protocol::outcome::{Outcome, Report};
use bulkhead_protocol::task::{Attempt, Priority, Spent, Status, TaskState};
use redb::{ReadableTable, Table, WriteTransaction};

use super::Shared;
use super::database::{
    DELAYED, ENDED, EXPIRING, Failure, PAYLOAD_LOGS, PAYLOAD_RESULT, PAYLOADS, QUEUE, STATES, TASKS,
};
use super::live::{Live, LiveTask, QueueKey};
use super::record::{Payload, Place, StateRecord, TaskRecord, encode_logs};
use crate::store::types::{CancelQueued, Transition};

/// What a commit changes in memory, applied in order once it is on disk.
pub(super) enum Effect {
    /// A new entry in a queue.
    Queued { queue: QueueKey, seq: u64, id: TaskId },
    /// A new entry among the delayed.
    Delayed { until_ms: u64 },
    /// A delayed task came due.
    Promoted { queue: QueueKey, seq: u64, id: TaskId },
    /// No delayed task comes due before this.
    NextDue { at_ms: Option<u64> },
    /// A task that runs elsewhere was taken in.
    Adopted { id: TaskId, task: Box<LiveTask> },
    /// A task left its place, to stand in another or to end.
    Left { id: TaskId, queue: QueueKey, place: Place },
    /// A task ended.
    Ended { id: TaskId },
}

/// The transaction of one group of changes.
pub(super) struct Group<'t> {
    /// The memory that goes with the file.
    pub(super) shared: &'t Shared,
    /// For the tables that few groups need.
    pub(super) transaction: &'t WriteTransaction,
    /// See [`TASKS`].
    pub(super) tasks: Table<'t, [u8; 16], &'static [u8]>,
    /// See [`STATES`].
    pub(super) states: Table<'t, [u8; 16], &'static [u8]>,
    /// See [`PAYLOADS`].
    pub(super) payloads: Table<'t, ([u8; 16], u8), &'static [u8]>,
    /// See [`QUEUE`].
    pub(super) queue: Table<'t, (u8, [u8; 16], u64), [u8; 16]>,
    /// See [`DELAYED`].
    pub(super) delayed: Table<'t, (u64, u64), [u8; 16]>,
    /// See [`ENDED`].
    pub(super) ended: Table<'t, (u64, [u8; 16]), ()>,
    /// The next free number of a queue entry.
    next_seq: &'t mut u64,
    /// Milliseconds since the Unix epoch, read once for the group.
    pub(super) now_ms: u64,
    /// Entries that this group adds to the queues.
    pub(super) added: usize,
    /// What to do in memory once it is committed.
    pub(super) effects: Vec<Effect>,
    /// Whether anything was written.
    pub(super) changed: bool,
}

/// A task as a decision finds it.
struct Found {
    queue: QueueKey,
    result_ttl_ms: Option<u64>,
    record: StateRecord,
}

impl<'t> Group<'t> {
    pub(super) fn begin(
        shared: &'t Shared,
        transaction: &'t WriteTransaction,
        next_seq: &'t mut u64,
        now_ms: u64,
    ) -> Result<Self, Failure> {
        Ok(Self {
            shared,
            transaction,
            tasks: transaction.open_table(TASKS)?,
            states: transaction.open_table(STATES)?,
            payloads: transaction.open_table(PAYLOADS)?,
            queue: transaction.open_table(QUEUE)?,
            delayed: transaction.open_table(DELAYED)?,
            ended: transaction.open_table(ENDED)?,
            next_seq,
            now_ms,
            added: 0,
            effects: Vec::new(),
            changed: false,
        })
    }

    /// Ends a task with the report of `attempt`.
    pub(super) fn finish(
        &mut self,
        id: TaskId,
        attempt: Attempt,
        report: &Report,
        dead_letter: bool,
        at_ms: u64,
    ) -> Result<Transition, Failure> {
        let Some(mut found) = self.seize(id, |record| attempt >= record.fence)?.ok() else {
            return Ok(Transition::Stale);
        };
        found.record.state.dead_letter = dead_letter;
        self.end(id, found, attempt, report, at_ms)?;
        Ok(Transition::Applied)
    }

    /// Ends a task as cancelled unless an attempt runs.
    pub(super) fn cancel(&mut self, id: TaskId, at_ms: u64) -> Result<CancelQueued, Failure> {
        let found = match self.seize(id, |record| record.state.status != Status::Running)? {
            Ok(found) => found,
            Err(refused) => {
                return Ok(match refused {
                    Some(status) if status.is_terminal() => CancelQueued::Ended,
                    Some(_) => CancelQueued::Running,
                    None => CancelQueued::Unknown,
                });
            }
        };
        let attempt = found.record.state.attempt;
        self.end(id, found, attempt, &Report::without_process(Outcome::Cancelled), at_ms)?;
        Ok(CancelQueued::Cancelled)
    }

    /// Puts a task back in the queue after a failed attempt.
    pub(super) fn requeue(
        &mut self,
        id: TaskId,
        attempt: Attempt,
        outcome: Outcome,
        spent: Spent,
        not_before_ms: u64,
    ) -> Result<Transition, Failure> {
        let Some(mut found) = self.seize(id, |record| attempt >= record.fence)?.ok() else {
            return Ok(Transition::Stale);
        };
        if self.shared.live().tasks.get(&id).is_some_and(|task| task.unwanted) {
            self.end(id, found, attempt, &Report::without_process(Outcome::Cancelled), self.now_ms)?;
            return Ok(Transition::Applied);
        }
        self.leave(id, &found)?;
        let place = self.new_place(Some(not_before_ms));
        let state = &mut found.record.state;
        state.status = Status::Queued;
        state.attempt = attempt;
        state.outcome = Some(outcome);
        state.spent = spent;
        state.worker = None;
        found.record.fence = attempt + 1;
        found.record.place = Some(place);
        self.write_state(id, &found.record)?;
        self.put(id, found.queue, place)?;
        Ok(Transition::Applied)
    }

    /// Writes what started and has not ended since the last commit; it rides along with a commit
    /// that is made anyway.
    pub(super) fn write_starts(&mut self) -> Result<(), Failure> {
        let mut records = Vec::new();
        {
            let mut live = self.shared.live();
            for id in std::mem::take(&mut live.unwritten_starts) {
                if let Some(task) =
                    live.tasks.get(&id).filter(|task| !task.changing && task.state.status == Status::Running)
                {
                    records.push((id, task.record()));
                }
            }
        }
        records.into_iter().try_for_each(|(id, record)| self.write_state(id, &record))
    }

    /// Finds a task and, when it has not ended and `wanted` holds, keeps claims and starts away
    /// from it until the group is committed. Otherwise gives its status, none when it is unknown.
    fn seize(
        &mut self,
        id: TaskId,
        wanted: impl FnOnce(&StateRecord) -> bool,
    ) -> Result<Result<Found, Option<Status>>, Failure> {
        let mut live = self.shared.live();
        let found = match live.tasks.get(&id).filter(|task| !task.changing) {
            Some(task) => Found { queue: task.queue, result_ttl_ms: task.result_ttl_ms, record: task.record() },
            None => match self.read(id)? {
                None => return Ok(Err(None)),
                Some((queue, result_ttl_ms, record)) => Found { queue, result_ttl_ms, record },
            },
        };
        let status = found.record.state.status;
        if status.is_terminal() || !wanted(&found.record) {
            return Ok(Err(Some(status)));
        }
        reserve(&mut live, id, &found);
        Ok(Ok(found))
    }

    /// A task as the transaction has it; one that nobody runs is queued.
    pub(super) fn read(&self, id: TaskId) -> Result<Option<(QueueKey, Option<u64>, StateRecord)>, Failure> {
        let key = id.0.into_bytes();
        let Some(bytes) = self.tasks.get(key)? else { return Ok(None) };
        let TaskRecord { place, task, .. } = TaskRecord::decode(bytes.value())?;
        let mut record = match self.states.get(key)? {
            Some(bytes) => StateRecord::decode(bytes.value())?,
            None => StateRecord::queued(place),
        };
        if record.state.status == Status::Running {
            record.state.status = Status::Queued;
        }
        let queue = QueueKey { priority: task.options.priority, function: task.function };
        Ok(Some((queue, task.options.result_ttl_ms, record)))
    }

    fn end(&mut self, id: TaskId, found: Found, attempt: Attempt, report: &Report, at_ms: u64) -> Result<(), Failure> {
        self.leave(id, &found)?;
        let Report { outcome, usage, logs, result } = report;
        let status = if outcome.is_success() { Status::Completed } else { Status::Failed };
        let result = if outcome.is_success() { result.clone() } else { Vec::new() };
        let (result, apart) = Payload::of(result);
        let logs = encode_logs(logs)?;
        let key = id.0.into_bytes();
        if let Some(bytes) = apart {
            self.payloads.insert((key, PAYLOAD_RESULT), bytes.as_slice())?;
        }
        if let Some(bytes) = &logs {
            self.payloads.insert((key, PAYLOAD_LOGS), bytes.as_slice())?;
        }
        let state = TaskState {
            status,
            attempt,
            ended_at_ms: Some(at_ms),
            outcome: Some(outcome.clone()),
            usage: *usage,
            ..found.record.state
        };
        let record = StateRecord { state, fence: attempt, place: None, result, has_logs: logs.is_some() };
        self.write_state(id, &record)?;
        match found.result_ttl_ms {
            None => drop(self.ended.insert((at_ms, key), ())?),
            Some(ttl_ms) => {
                let mut expiring = self.transaction.open_table(EXPIRING)?;
                expiring.insert((at_ms.saturating_add(ttl_ms), key), ())?;
            }
        }
        self.effects.push(Effect::Ended { id });
        Ok(())
    }

    /// Takes a task out of the queue or from among the delayed.
    fn leave(&mut self, id: TaskId, found: &Found) -> Result<(), Failure> {
        self.changed = true;
        let Some(place) = found.record.place else { return Ok(()) };
        match place {
            Place::Ready { seq } => drop(self.queue.remove(queue_entry(found.queue, seq))?),
            Place::Delayed { until_ms, seq } => drop(self.delayed.remove((until_ms, seq))?),
        }
        self.effects.push(Effect::Left { id, queue: found.queue, place });
        Ok(())
    }

    /// Puts a task into the queue or among the delayed.
    pub(super) fn put(&mut self, id: TaskId, queue: QueueKey, place: Place) -> Result<(), Failure> {
        self.added += 1;
        match place {
            Place::Ready { seq } => {
                self.queue.insert(queue_entry(queue, seq), id.0.into_bytes())?;
                self.effects.push(Effect::Queued { queue, seq, id });
            }
            Place::Delayed { until_ms, seq } => {
                self.delayed.insert((until_ms, seq), id.0.into_bytes())?;
                self.effects.push(Effect::Delayed { until_ms });
            }
        }
        Ok(())
    }

    pub(super) fn write_state(&mut self, id: TaskId, record: &StateRecord) -> Result<(), Failure> {
        self.changed = true;
        self.states.insert(id.0.into_bytes(), record.encode()?.as_slice())?;
        Ok(())
    }

    pub(super) fn new_place(&mut self, not_before_ms: Option<u64>) -> Place {
        let seq = self.take_seq();
        match not_before_ms {
            Some(until_ms) if until_ms > self.now_ms => Place::Delayed { until_ms, seq },
            _ => Place::Ready { seq },
        }
    }

    pub(super) fn take_seq(&mut self) -> u64 {
        *self.next_seq += 1;
        *self.next_seq
    }
}

fn reserve(live: &mut Live, id: TaskId, found: &Found) {
    match live.tasks.get_mut(&id) {
        Some(task) => task.changing = true,
        None => {
            let seq = match found.record.place {
                Some(Place::Ready { seq } | Place::Delayed { seq, .. }) => seq,
                None => 0,
            };
            let task = LiveTask {
                queue: found.queue,
                seq,
                result_ttl_ms: found.result_ttl_ms,
                state: found.record.state.clone(),
                fence: found.record.fence,
                changing: true,
                reserved: true,
                unwanted: false,
                progress: None,
            };
            live.tasks.insert(id, task);
        }
    }
}

pub(super) fn queue_entry(key: QueueKey, seq: u64) -> (u8, [u8; 16], u64) {
    (priority_number(key.priority), key.function.0.into_bytes(), seq)
}

/// The number of a priority on disk; must never change.
pub(super) fn priority_number(priority: Priority) -> u8 {
    match priority {
        Priority::Low => 0,
        Priority::Normal => 1,
        Priority::High => 2,
    }
}
