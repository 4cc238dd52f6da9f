//! The operations of the embedded store as callers see them. What they mean is written at
//! [`crate::store::Store`].

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bulkhead_protocol::function::{Function, FunctionRef};
use bulkhead_protocol::id::{FunctionId, PackageId, TaskId, WorkerId};
use bulkhead_protocol::outcome::{Logs, Outcome, Report};
use bulkhead_protocol::package::sha256;
use bulkhead_protocol::task::{Attempt, Progress, Spent, Status, Task, TaskState};
use bytes::Bytes;
use tokio::sync::{Semaphore, SemaphorePermit, broadcast, mpsc, oneshot};

use super::Shared;
use super::committer::{Committer, MAX_PENDING, Reply, Request, now_ms};
use super::database::{Failure, File, PAYLOAD_LOGS, PAYLOAD_RESULT, PAYLOADS, STATES, TOMBSTONES};
use super::expiry::EXPIRED_AT_ONCE;
use super::folder::Folder;
use super::functions::{self, Registration, Registry};
use super::listing;
use super::live::QueueKey;
use super::local::Local;
use super::record::{EncodedTask, Payload, StateRecord, decode_versioned};
use super::submission::NewTask;
use crate::store::types::{
    CancelQueued, Claimed, Completed, Control, Error, MAX_QUEUED, NewFunction, Recovered, Registered, Standing,
    Submitted, TaskFilter, TaskPage, Transition, WorkerRecord,
};

/// Bytes of payload that wait for the committer; more wait for room.
const MAX_PENDING_BYTES: usize = 256 * 1024 * 1024;

/// The grain of that bound, in bytes: smaller payloads are bounded by [`MAX_PENDING`] alone.
const PENDING_GRAIN: usize = 64 * 1024;

/// What tests make smaller.
#[derive(Clone, Copy, Debug)]
pub(in crate::store) struct Settings {
    /// Most tasks in the queue.
    pub(in crate::store) max_queued: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self { max_queued: MAX_QUEUED }
    }
}

/// The embedded store.
pub(in crate::store) struct Embedded {
    /// The memory that goes with it.
    shared: Arc<Shared>,
    /// To the committer, which ends when this is gone.
    requests: mpsc::Sender<Request>,
    /// What is never written.
    local: Local,
    /// Room for payloads on their way to the committer, in [`PENDING_GRAIN`]s.
    room: Semaphore,
}

impl Embedded {
    pub(in crate::store) async fn open(folder: &Path, settings: Settings) -> Result<Self, Error> {
        let folder = folder.to_owned();
        blocking(move || Self::open_now(&folder, settings)).await
    }

    fn open_now(path: &Path, settings: Settings) -> Result<Self, Error> {
        let folder = Folder::open(path)?;
        let unusable = |error: Failure| folder.error(std::io::Error::other(error.to_string()));
        let file = File::open(&folder.database()).map_err(unusable)?;
        folder.sync().map_err(|error| folder.error(error))?;
        let registry = file.read(Registry::load)?;
        folder.sweep(|id| registry.uses(id)).map_err(|error| folder.error(error))?;
        let shared = Arc::new(Shared::new(file, folder, registry, settings.max_queued));
        let next_seq = shared.load()?;
        let (requests, receiver) = mpsc::channel(MAX_PENDING);
        let committer = Committer::new(shared.clone(), receiver, next_seq);
        let wake = WakeClaims(shared.clone());
        let spawned = std::thread::Builder::new().name("store".to_owned()).spawn(move || {
            // Dropped after the committer's end of the channel, whether it returns or panics.
            let _wake = wake;
            committer.run();
        });
        spawned.map_err(|error| shared.folder.error(error))?;
        Ok(Self { shared, requests, local: Local::new(), room: Semaphore::new(MAX_PENDING_BYTES / PENDING_GRAIN) })
    }

    pub(in crate::store) async fn put_package(&self, id: PackageId, package: Bytes) -> Result<(), Error> {
        let shared = self.shared.clone();
        blocking(move || {
            shared.registry_mut().expect_more(id);
            shared.folder.put_package(id, &package).map_err(|error| {
                shared.registry_mut().expect_less(id);
                unavailable(&error)
            })
        })
        .await
    }

    pub(in crate::store) async fn package(&self, id: PackageId) -> Result<Option<Bytes>, Error> {
        let shared = self.shared.clone();
        blocking(move || shared.folder.read_package(id).map_err(|error| unavailable(&error))).await
    }

    pub(in crate::store) async fn register(&self, functions: Vec<NewFunction>) -> Result<Vec<Registered>, Error> {
        self.ask(|reply| Request::Register(Registration::Register { functions, reply })).await
    }

    pub(in crate::store) async fn remove_function(&self, id: FunctionId) -> Result<bool, Error> {
        self.ask(|reply| Request::Register(Registration::Remove { id, reply })).await
    }

    pub(in crate::store) async fn set_alias(&self, name: &str, alias: &str, version: u32) -> Result<Transition, Error> {
        let (name, alias) = (name.to_owned(), alias.to_owned());
        self.ask(|reply| Request::Register(Registration::Alias { name, alias, version, reply })).await
    }

    pub(in crate::store) fn function(&self, id: FunctionId) -> Result<Option<Arc<Function>>, Error> {
        let cached = self.shared.registry().cached(id);
        if cached.is_some() {
            return Ok(cached);
        }
        let function = self.shared.file.read(|transaction| functions::read(transaction, id))?;
        if let Some(function) = &function {
            self.shared.registry_mut().remember(function.clone());
        }
        Ok(function)
    }

    pub(in crate::store) fn resolve(&self, reference: &FunctionRef) -> Result<Option<Arc<Function>>, Error> {
        let id = self.shared.registry().resolve(reference);
        id.map_or(Ok(None), |id| self.function(id))
    }

    pub(in crate::store) fn functions(&self, after: Option<&str>, limit: usize) -> Result<Vec<Arc<Function>>, Error> {
        let ids = self.shared.registry().newest(after, limit);
        self.all(ids)
    }

    pub(in crate::store) fn versions(&self, name: &str) -> Result<Vec<Arc<Function>>, Error> {
        let ids = self.shared.registry().versions(name);
        self.all(ids)
    }

    fn all(&self, ids: Vec<FunctionId>) -> Result<Vec<Arc<Function>>, Error> {
        // One that was removed meanwhile is left out.
        ids.into_iter().filter_map(|id| self.function(id).transpose()).collect()
    }

    pub(in crate::store) fn aliases(&self, name: &str) -> Vec<(String, u32)> {
        self.shared.registry().aliases(name)
    }

    pub(in crate::store) async fn submit(&self, tasks: Vec<Task>) -> Result<Vec<Submitted>, Error> {
        let _room = self.room(tasks.iter().map(|task| task.input.bytes.len()).sum()).await?;
        let tasks = tasks.into_iter().map(new_task).collect::<Result<_, _>>()?;
        self.ask(|reply| Request::Submit { tasks, reply }).await
    }

    pub(in crate::store) async fn adopt(&self, task: Task, started_at_ms: u64) -> Result<(), Error> {
        let _room = self.room(task.input.bytes.len()).await?;
        let task = Box::new(new_task(task)?);
        self.ask(|reply| Request::Adopt { task, started_at_ms, reply }).await
    }

    pub(in crate::store) async fn claim(&self, max: usize) -> Result<Vec<Claimed>, Error> {
        loop {
            let ready = self.shared.ready.notified();
            tokio::pin!(ready);
            // From here on a change of the queues is not missed, though nobody awaits it yet.
            ready.as_mut().enable();
            if self.requests.is_closed() {
                return Err(stopped());
            }
            let due_ms = self.shared.live().next_due_ms;
            let now_ms = now_ms();
            if due_ms.is_some_and(|due| due <= now_ms) {
                self.ask(|reply| Request::Promote { reply }).await?;
                continue;
            }
            let claimed = self.shared.take(max)?;
            if !claimed.is_empty() || max == 0 {
                return Ok(claimed);
            }
            match due_ms {
                None => ready.await,
                Some(due_ms) => {
                    let until_due = Duration::from_millis(due_ms - now_ms);
                    let _ = tokio::time::timeout(until_due, ready).await;
                }
            }
        }
    }

    pub(in crate::store) async fn started(
        &self,
        id: TaskId,
        attempt: Attempt,
        worker: WorkerId,
        at_ms: u64,
    ) -> Result<Transition, Error> {
        match self.shared.start_claimed(id, attempt, worker, at_ms) {
            Some(transition) => Ok(transition),
            None => self.ask(|reply| Request::Start { id, attempt, worker, at_ms, reply }).await,
        }
    }

    pub(in crate::store) async fn finish(
        &self,
        id: TaskId,
        attempt: Attempt,
        report: Arc<Report>,
        dead_letter: bool,
        at_ms: u64,
    ) -> Result<Transition, Error> {
        let _room = self.room(report.result.len()).await?;
        self.ask(|reply| Request::Finish { id, attempt, report, dead_letter, at_ms, reply }).await
    }

    pub(in crate::store) async fn requeue(
        &self,
        id: TaskId,
        attempt: Attempt,
        outcome: Outcome,
        spent: Spent,
        not_before_ms: u64,
    ) -> Result<Transition, Error> {
        self.ask(|reply| Request::Requeue { id, attempt, outcome, spent, not_before_ms, reply }).await
    }

    pub(in crate::store) async fn cancel_queued(&self, id: TaskId, at_ms: u64) -> Result<CancelQueued, Error> {
        self.ask(|reply| Request::Cancel { id, at_ms, reply }).await
    }

    pub(in crate::store) async fn recover(
        &self,
        id: TaskId,
        attempt: Attempt,
        // Only one dispatcher ever uses this store, so that it matters not which worker it is.
        _worker: WorkerId,
    ) -> Result<Recovered, Error> {
        self.ask(|reply| Request::Recover { id, attempt, reply }).await
    }

    pub(in crate::store) async fn send_control(&self, control: Control) -> Result<(), Error> {
        if let Control::Cancel(id) = control
            && let Some(task) = self.shared.live().tasks.get_mut(&id)
        {
            task.unwanted = true;
        }
        // Nobody listens when no dispatcher runs.
        let _ = self.local.controls.send(control);
        Ok(())
    }

    pub(in crate::store) fn controls(&self) -> broadcast::Receiver<Control> {
        self.local.controls.subscribe()
    }

    pub(in crate::store) async fn publish_workers(
        &self,
        dispatcher: &str,
        workers: Vec<WorkerRecord>,
    ) -> Result<(), Error> {
        self.local.publish_workers(dispatcher, workers);
        Ok(())
    }

    pub(in crate::store) async fn workers(&self) -> Result<Vec<WorkerRecord>, Error> {
        Ok(self.local.workers())
    }

    pub(in crate::store) async fn set_progress(&self, said: Vec<(TaskId, Progress)>) -> Result<(), Error> {
        let mut live = self.shared.live();
        for (id, progress) in said {
            if let Some(task) = live.tasks.get_mut(&id) {
                task.progress = Some(progress);
            }
        }
        Ok(())
    }

    pub(in crate::store) async fn progress(&self, id: TaskId) -> Result<Option<Progress>, Error> {
        Ok(self.shared.live().tasks.get(&id).and_then(|task| task.progress.clone()))
    }

    pub(in crate::store) fn task(&self, id: TaskId) -> Result<Option<(Arc<Task>, TaskState)>, Error> {
        Ok(self.shared.task(id)?.map(|(task, state)| (Arc::new(task), state)))
    }

    pub(in crate::store) fn state(&self, id: TaskId) -> Result<Option<TaskState>, Error> {
        self.shared.state(id)
    }

    pub(in crate::store) async fn wait(&self, id: TaskId, wait: Duration) -> Result<Option<TaskState>, Error> {
        let ended = |state: &Option<TaskState>| state.as_ref().is_none_or(|state| state.status.is_terminal());
        let state = self.shared.state(id)?;
        if ended(&state) || wait.is_zero() {
            return Ok(state);
        }
        let waiter = self.shared.completion.waiter(id)?;
        let notified = waiter.ended.notified();
        tokio::pin!(notified);
        notified.as_mut().enable();
        // It may have ended before the waiter was entered.
        let state = self.shared.state(id)?;
        if ended(&state) {
            return Ok(state);
        }
        let _ = tokio::time::timeout(wait, notified).await;
        self.shared.state(id)
    }

    pub(in crate::store) async fn wait_for_result(
        &self,
        id: TaskId,
        wait: Duration,
    ) -> Result<Option<Standing>, Error> {
        let Some(state) = self.wait(id, wait).await? else { return Ok(None) };
        if state.status != Status::Completed {
            return Ok(Some(Standing { state, completed: None }));
        }
        // One of both may have expired since.
        let (Some((task, _)), Some(result)) = (self.shared.task(id)?, self.result(id)?) else { return Ok(None) };
        Ok(Some(Standing { state, completed: Some(Completed { encoding: task.input.encoding, result }) }))
    }

    pub(in crate::store) fn result(&self, id: TaskId) -> Result<Option<Bytes>, Error> {
        self.shared.file.read(|transaction| {
            let key = id.0.into_bytes();
            let states = transaction.open_table(STATES)?;
            let Some(bytes) = states.get(key)? else { return Ok(None) };
            let record = StateRecord::decode(bytes.value())?;
            if record.state.status != Status::Completed {
                return Ok(None);
            }
            Ok(match record.result {
                Payload::None => Some(Bytes::new()),
                Payload::Inline(bytes) => Some(bytes.into()),
                Payload::Apart => {
                    let payloads = transaction.open_table(PAYLOADS)?;
                    payloads.get((key, PAYLOAD_RESULT))?.map(|bytes| Bytes::copy_from_slice(bytes.value()))
                }
            })
        })
    }

    pub(in crate::store) fn logs(&self, id: TaskId) -> Result<Option<Logs>, Error> {
        self.shared.file.read(|transaction| {
            let key = id.0.into_bytes();
            let states = transaction.open_table(STATES)?;
            let Some(bytes) = states.get(key)? else { return Ok(None) };
            let record = StateRecord::decode(bytes.value())?;
            if !record.state.status.is_terminal() {
                return Ok(None);
            }
            if !record.has_logs {
                return Ok(Some(Logs::default()));
            }
            let payloads = transaction.open_table(PAYLOADS)?;
            let bytes = payloads.get((key, PAYLOAD_LOGS))?;
            bytes.map(|bytes| decode_versioned(bytes.value())).transpose()
        })
    }

    pub(in crate::store) async fn tasks(&self, filter: &TaskFilter) -> Result<TaskPage, Error> {
        let (shared, filter) = (self.shared.clone(), filter.clone());
        let live = |shared: &Shared, id| shared.live_state(id);
        blocking(move || shared.file.read(|transaction| listing::page(transaction, |id| live(&shared, id), &filter)))
            .await
    }

    pub(in crate::store) fn is_expired(&self, id: TaskId) -> Result<bool, Error> {
        let id = id.0.into_bytes();
        self.shared.file.read(|transaction| Ok(transaction.open_table(TOMBSTONES)?.get(id)?.is_some()))
    }

    pub(in crate::store) async fn expire(&self, now_ms: u64, ttl: Duration) -> Result<usize, Error> {
        let ttl_ms = u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX);
        let mut total = 0;
        loop {
            let count = self.ask(|reply| Request::Expire { now_ms, ttl_ms, reply }).await?;
            total += count;
            if count < EXPIRED_AT_ONCE {
                return Ok(total);
            }
        }
    }

    pub(in crate::store) fn queued(&self) -> Result<usize, Error> {
        match self.requests.is_closed() {
            true => Err(stopped()),
            false => Ok(self.shared.live().queued),
        }
    }

    pub(in crate::store) async fn close(&self) -> Result<(), Error> {
        self.ask(|reply| Request::Close { reply }).await
    }

    /// Sends a request to the committer and waits for its answer.
    async fn ask<T>(&self, request: impl FnOnce(Reply<T>) -> Request) -> Result<T, Error> {
        let (reply, answer) = oneshot::channel();
        self.requests.send(request(reply)).await.map_err(|_| stopped())?;
        answer.await.map_err(|_| stopped())?
    }

    async fn room(&self, bytes: usize) -> Result<Option<SemaphorePermit<'_>>, Error> {
        // More than all the room can never be had; such a request goes alone.
        let grains = (bytes / PENDING_GRAIN).min(MAX_PENDING_BYTES / PENDING_GRAIN);
        let Some(grains) = u32::try_from(grains).ok().filter(|grains| *grains > 0) else { return Ok(None) };
        self.room.acquire_many(grains).await.map(Some).map_err(|_| stopped())
    }
}

/// Wakes those who wait for tasks when the committer is gone: none will come, as they then learn
/// from the closed channel.
struct WakeClaims(Arc<Shared>);

impl Drop for WakeClaims {
    fn drop(&mut self) {
        self.0.ready.notify_waiters();
    }
}

fn new_task(mut task: Task) -> Result<NewTask, Error> {
    let idempotency = task.options.idempotency_key.as_ref().map(|key| {
        let encoding = [task.input.encoding as u8];
        let content = [task.function.0.as_bytes().as_slice(), &encoding, &task.input.bytes].concat();
        (sha256(key.as_bytes()), sha256(&content))
    });
    let encoded = EncodedTask::new(&mut task)?;
    Ok(NewTask {
        id: task.id,
        queue: QueueKey { priority: task.options.priority, function: task.function },
        submitted_at_ms: task.submitted_at_ms,
        not_before_ms: task.options.not_before_ms,
        result_ttl_ms: task.options.result_ttl_ms,
        idempotency,
        encoded,
    })
}

/// Runs what waits for the disk on a thread that may.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T, Error> + Send + 'static) -> Result<T, Error> {
    tokio::task::spawn_blocking(work).await.map_err(|_| stopped())?
}

fn unavailable(error: &std::io::Error) -> Error {
    Error::Unavailable { reason: error.to_string() }
}

fn stopped() -> Error {
    Error::Unavailable { reason: "the store is closed".to_owned() }
}
