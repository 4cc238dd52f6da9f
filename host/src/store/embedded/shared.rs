//! What the callers and the committer share: the file, and all that is held in memory beside it.

use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use bulkhead_protocol::id::{FunctionId, TaskId, WorkerId};
use bulkhead_protocol::task::{Attempt, Priority, Status, Task, TaskState};
use redb::{ReadTransaction, ReadableTable};
use tokio::sync::Notify;

use super::database::{DELAYED, Failure, File, PAYLOAD_INPUT, PAYLOADS, QUEUE, STATES, TASKS};
use super::folder::Folder;
use super::functions::Registry;
use super::live::{Live, LiveTask, QueueKey};
use super::record::{Place, StateRecord, TaskRecord};
use super::transition::{priority_number, queue_entry};
use crate::store::completion::Completion;
use crate::store::types::{Claimed, Error, Recovered, Transition};

/// The memory of the embedded store.
pub(super) struct Shared {
    /// The database.
    pub(super) file: File,
    /// The folder and the packages in it.
    pub(super) folder: Folder,
    /// Tasks that have not ended. Taken before `file` reads, never held over a sync.
    live: Mutex<Live>,
    /// Functions.
    registry: RwLock<Registry>,
    /// Who waits for the end of a task.
    pub(super) completion: Completion,
    /// Wakes claims when the queues change.
    pub(super) ready: Notify,
    /// Most tasks in the queue.
    pub(super) max_queued: usize,
}

impl Shared {
    pub(super) fn new(file: File, folder: Folder, registry: Registry, max_queued: usize) -> Self {
        Self {
            file,
            folder,
            live: Mutex::default(),
            registry: RwLock::new(registry),
            completion: Completion::new(),
            ready: Notify::new(),
            max_queued,
        }
    }

    // A panic while a lock is held cannot leave these half-changed in a way that matters more than
    // going on: a task that got lost in memory is queued again at the next start.

    pub(super) fn live(&self) -> MutexGuard<'_, Live> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn registry(&self) -> RwLockReadGuard<'_, Registry> {
        self.registry.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn registry_mut(&self) -> RwLockWriteGuard<'_, Registry> {
        self.registry.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Builds the queues in memory from those on disk; returns the highest number in use. Its cost
    /// follows the tasks that have not ended, not those that are stored.
    pub(super) fn load(&self) -> Result<u64, Failure> {
        let mut live = self.live();
        live.start_over();
        let mut highest = 0;
        let mut still_claimed = HashSet::new();
        let loaded = self.file.read(|transaction| {
            for entry in transaction.open_table(QUEUE)?.iter()? {
                let (key, id) = entry?;
                let (priority, function, seq) = key.value();
                let function = FunctionId(uuid::Uuid::from_bytes(function));
                live.found(QueueKey { priority: priority_of(priority)?, function }, seq);
                highest = highest.max(seq);
                let id = TaskId(uuid::Uuid::from_bytes(id.value()));
                if live.tasks.get(&id).is_some_and(|task| task.seq == seq) {
                    still_claimed.insert(id);
                } else {
                    live.queued += 1;
                }
            }
            let delayed = transaction.open_table(DELAYED)?;
            for entry in delayed.iter()? {
                highest = highest.max(entry?.0.value().1);
                live.queued += 1;
            }
            live.next_due_ms = delayed.first()?.map(|(key, _)| key.value().0);
            Ok(())
        });
        loaded.map_err(|error| Failure::Record(error.to_string()))?;
        // A commit may have reached the disk though it was reported as failed: what it ended or
        // requeued is no longer claimed.
        live.tasks.retain(|id, _| still_claimed.contains(id));
        drop(live);
        self.ready.notify_waiters();
        Ok(highest)
    }

    /// How far a task has come.
    pub(super) fn state(&self, id: TaskId) -> Result<Option<TaskState>, Error> {
        if let Some(state) = self.live_state(id) {
            return Ok(Some(state));
        }
        self.file.read(|transaction| Ok(read_record(transaction, id)?.map(StateRecord::unclaimed_state)))
    }

    /// A task with its input, and how far it has come.
    pub(super) fn task(&self, id: TaskId) -> Result<Option<(Task, TaskState)>, Error> {
        let live = self.live_state(id);
        self.file.read(|transaction| {
            let Some((task, record)) = read_task(transaction, id)? else { return Ok(None) };
            let task = with_input(transaction, task)?;
            Ok(Some((task, live.unwrap_or_else(|| record.unclaimed_state()))))
        })
    }

    /// How far a task has come that somebody claimed.
    pub(super) fn live_state(&self, id: TaskId) -> Option<TaskState> {
        self.live().tasks.get(&id).filter(|task| !task.reserved).map(|task| task.state.clone())
    }

    /// Notes in memory that an attempt began; none when the committer must decide, because a
    /// change of the task is on its way or nobody claimed it.
    pub(super) fn start_claimed(
        &self,
        id: TaskId,
        attempt: Attempt,
        worker: WorkerId,
        at_ms: u64,
    ) -> Option<Transition> {
        let mut live = self.live();
        let live = &mut *live;
        let task = live.tasks.get_mut(&id).filter(|task| !task.changing)?;
        if attempt < task.fence {
            return Some(Transition::Stale);
        }
        if task.state.status != Status::Running || task.state.attempt != attempt {
            task.state.status = Status::Running;
            task.state.attempt = attempt;
            task.state.started_at_ms = Some(at_ms);
            task.state.worker = Some(worker);
            task.fence = attempt;
            live.unwritten_starts.push(id);
        }
        Some(Transition::Applied)
    }

    /// Notes that an attempt began; between the committer's groups, so nothing else changes the
    /// task meanwhile but a claim.
    pub(super) fn start(
        &self,
        id: TaskId,
        attempt: Attempt,
        worker: WorkerId,
        at_ms: u64,
    ) -> Result<Transition, Error> {
        if let Some(transition) = self.start_claimed(id, attempt, worker, at_ms) {
            return Ok(transition);
        }
        self.take_out(id, attempt)?;
        Ok(self.start_claimed(id, attempt, worker, at_ms).unwrap_or(Transition::Stale))
    }

    /// Finds the task of an attempt that outlived the server, or whose dispatcher is this one; between
    /// the committer's groups as well.
    pub(super) fn recover(&self, id: TaskId, attempt: Attempt) -> Result<Recovered, Error> {
        let held = self.live().tasks.get(&id).filter(|task| !task.reserved).map(|task| task.state.clone());
        // As it is on disk, RUNNING included: that says which attempt was cut off, as for a claim.
        let recorded = match held {
            Some(_) => None,
            None => self.file.read(|transaction| read_record(transaction, id))?.map(|record| record.state),
        };
        self.take_out(id, attempt)?;
        let fence = self.live().tasks.get(&id).filter(|task| !task.changing).map(|task| task.fence);
        let (Some(fence), Some(state)) = (fence, held.or(recorded)) else { return Ok(Recovered::Stale) };
        // One that began without the store's knowledge is the next after the newest, which had ended.
        let next = state.attempt.saturating_add(1);
        let is_newest = attempt == state.attempt || (attempt == next && state.status != Status::Running);
        if attempt < fence || !is_newest {
            return Ok(Recovered::Stale);
        }
        Ok(match self.task(id)? {
            Some((task, _)) => Recovered::Taken(Claimed { task: task.into(), state }),
            None => Recovered::Stale,
        })
    }

    /// Claims a queued task out of turn, if `attempt` may still be its newest.
    fn take_out(&self, id: TaskId, attempt: Attempt) -> Result<(), Error> {
        let found = self.file.read(|transaction| read_task(transaction, id))?;
        let Some((TaskRecord { task, .. }, record)) = found else { return Ok(()) };
        let Some(Place::Ready { seq }) = record.place else { return Ok(()) };
        let queue = QueueKey { priority: task.options.priority, function: task.function };
        let mut live = self.live();
        if !live.tasks.contains_key(&id) && attempt >= record.fence {
            // An attempt that outlived the server: it takes its task out of the queue.
            live.forget(queue, seq);
            live.queued = live.queued.saturating_sub(1);
            live.tasks.insert(id, LiveTask::claimed(queue, seq, task.options.result_ttl_ms, record));
        }
        Ok(())
    }

    /// Takes up to `max` tasks from the queues.
    pub(super) fn take(&self, max: usize) -> Result<Vec<Claimed>, Error> {
        let mut taken = Vec::new();
        // Locked before the snapshot is taken: it then holds all that the windows name.
        let mut live = self.live();
        let claimed = self.file.read(|transaction| {
            let mut records = Vec::new();
            while records.len() < max {
                let Some(entry) = live.take(&mut |key, numbers, count| read_queue(transaction, key, numbers, count))?
                else {
                    break;
                };
                match claim(&mut live, transaction, entry) {
                    Ok(Some(found)) => {
                        taken.push(entry);
                        records.push(found);
                    }
                    Ok(None) => tracing::error!(task_id = %entry.2, "a queued task has no record or has ended"),
                    Err(failure) => {
                        let (key, seq, id) = entry;
                        live.put_back(key, seq, id);
                        return Err(failure);
                    }
                }
            }
            drop(live);
            let mut claimed = Vec::with_capacity(records.len());
            for (record, state) in records {
                claimed.push(Claimed { task: with_input(transaction, record)?.into(), state });
            }
            Ok(claimed)
        });
        if claimed.is_err() {
            let mut live = self.live();
            for (key, seq, id) in taken.into_iter().rev() {
                // One that is being changed is no longer this claim's to give back.
                if live.tasks.get(&id).is_some_and(|task| !task.changing) {
                    live.tasks.remove(&id);
                    live.put_back(key, seq, id);
                }
            }
        }
        claimed
    }
}

/// Marks a task that was taken from its queue as claimed, and reads it without its input.
fn claim(
    live: &mut Live,
    transaction: &ReadTransaction,
    (queue, seq, id): (QueueKey, u64, TaskId),
) -> Result<Option<(TaskRecord, TaskState)>, Failure> {
    let Some((task, record)) = read_task(transaction, id)? else { return Ok(None) };
    if record.state.status.is_terminal() {
        return Ok(None);
    }
    // As it is on disk, RUNNING included: that says that its latest attempt was cut off.
    let state = record.state.clone();
    live.tasks.insert(id, LiveTask::claimed(queue, seq, task.task.options.result_ttl_ms, record));
    Ok(Some((task, state)))
}

fn read_queue(
    transaction: &ReadTransaction,
    key: QueueKey,
    (first, last): (u64, u64),
    count: usize,
) -> Result<Vec<(u64, TaskId)>, Failure> {
    let entries = transaction.open_table(QUEUE)?.range(queue_entry(key, first)..=queue_entry(key, last))?;
    entries
        .take(count)
        .map(|entry| {
            let (key, id) = entry?;
            Ok((key.value().2, TaskId(uuid::Uuid::from_bytes(id.value()))))
        })
        .collect()
}

/// How a task that nobody in memory runs is recorded.
fn read_record(transaction: &ReadTransaction, id: TaskId) -> Result<Option<StateRecord>, Failure> {
    let key = id.0.into_bytes();
    if let Some(bytes) = transaction.open_table(STATES)?.get(key)? {
        return StateRecord::decode(bytes.value()).map(Some);
    }
    let tasks = transaction.open_table(TASKS)?;
    let bytes = tasks.get(key)?;
    bytes.map(|bytes| Ok(StateRecord::queued(TaskRecord::decode(bytes.value())?.place))).transpose()
}

fn read_task(transaction: &ReadTransaction, id: TaskId) -> Result<Option<(TaskRecord, StateRecord)>, Failure> {
    let key = id.0.into_bytes();
    let tasks = transaction.open_table(TASKS)?;
    let Some(bytes) = tasks.get(key)? else { return Ok(None) };
    let task = TaskRecord::decode(bytes.value())?;
    let record = match transaction.open_table(STATES)?.get(key)? {
        Some(bytes) => StateRecord::decode(bytes.value())?,
        None => StateRecord::queued(task.place),
    };
    Ok(Some((task, record)))
}

fn with_input(transaction: &ReadTransaction, record: TaskRecord) -> Result<Task, Failure> {
    let TaskRecord { mut task, input_apart, .. } = record;
    if input_apart {
        let payloads = transaction.open_table(PAYLOADS)?;
        let input = payloads.get((task.id.0.into_bytes(), PAYLOAD_INPUT))?;
        task.input.bytes = input.ok_or_else(|| Failure::record("has no input"))?.value().to_vec();
    }
    Ok(task)
}

fn priority_of(number: u8) -> Result<Priority, Failure> {
    [Priority::Low, Priority::Normal, Priority::High]
        .into_iter()
        .find(|priority| priority_number(*priority) == number)
        .ok_or_else(|| Failure::record("has an unknown priority"))
}
