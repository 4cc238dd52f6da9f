//! What remembers functions, packages, tasks and results, and holds the durable queue: one set of
//! operations over two backends, of which `embedded` is the first. Between gateway and dispatcher.

mod completion;
#[cfg(test)]
mod contract;
#[cfg(test)]
mod crash_test;
mod embedded;
mod redis;
mod types;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bulkhead_protocol::function::{Function, FunctionRef};
use bulkhead_protocol::id::{FunctionId, PackageId, TaskId, WorkerId};
use bulkhead_protocol::outcome::{Logs, Outcome, Report};
use bulkhead_protocol::task::{Attempt, Progress, Spent, Task, TaskState};
use bytes::Bytes;
use embedded::{Embedded, Settings};
use redis::Redis;
use tokio::sync::broadcast;

pub use redis::RedisSettings;
pub use types::{
    CancelQueued, Claimed, Completed, Control, Error, IDEMPOTENCY_WINDOW_MS, MAX_QUEUED, MAX_WAITERS, NewFunction,
    Recovered, Registered, Standing, Submitted, TOMBSTONE_MS, TaskFilter, TaskPage, Transition, WorkerRecord,
};

/// The store. Cheap to clone; all clones are one store.
#[derive(Clone)]
pub struct Store {
    /// Where it keeps what it is given.
    backend: Backend,
}

/// Where a store keeps what it is given.
#[derive(Clone)]
enum Backend {
    /// In a folder of this machine.
    Embedded(Arc<Embedded>),
    /// In a Redis or Valkey that several processes share.
    Redis(Arc<Redis>),
}

impl Store {
    /// Opens or makes the embedded store in `folder`.
    ///
    /// # Errors
    /// [`Error::Folder`], [`Error::InUse`].
    pub async fn open_embedded(folder: &Path) -> Result<Self, Error> {
        Self::open_embedded_with(folder, Settings::default()).await
    }

    /// Opens the store in Redis or Valkey.
    ///
    /// # Errors
    /// [`Error::Address`]; [`Error::Unavailable`] when it does not answer or is too old.
    pub async fn open_redis(settings: RedisSettings) -> Result<Self, Error> {
        Ok(Self { backend: Backend::Redis(Arc::new(Redis::open(settings).await?)) })
    }

    /// Keeps a package. Durable on return; the same id again is a no-op. It stays for one call of
    /// [`Store::register`] even if the last function that uses it goes meanwhile; without one it
    /// goes at the next restart.
    pub async fn put_package(&self, id: PackageId, package: Bytes) -> Result<(), Error> {
        match &self.backend {
            Backend::Embedded(embedded) => embedded.put_package(id, package).await,
            Backend::Redis(redis) => redis.put_package(id, package).await,
        }
    }

    /// A package's bytes.
    pub async fn package(&self, id: PackageId) -> Result<Option<Bytes>, Error> {
        match &self.backend {
            Backend::Embedded(embedded) => embedded.package(id).await,
            Backend::Redis(redis) => redis.package(id).await,
        }
    }

    /// Registers several functions in one atomic, durable step.
    ///
    /// # Errors
    /// [`Error::Unavailable`] also when a package is not stored.
    pub async fn register(&self, functions: Vec<NewFunction>) -> Result<Vec<Registered>, Error> {
        match &self.backend {
            Backend::Embedded(embedded) => embedded.register(functions).await,
            Backend::Redis(redis) => redis.register(functions).await,
        }
    }

    /// The function with an id; answered from memory after the first time.
    pub async fn function(&self, id: FunctionId) -> Result<Option<Arc<Function>>, Error> {
        match &self.backend {
            Backend::Embedded(embedded) => embedded.function(id),
            Backend::Redis(redis) => redis.function(id).await,
        }
    }

    /// The function that a reference means now.
    pub async fn resolve(&self, reference: &FunctionRef) -> Result<Option<Arc<Function>>, Error> {
        match &self.backend {
            Backend::Embedded(embedded) => embedded.resolve(reference),
            Backend::Redis(redis) => redis.resolve(reference).await,
        }
    }

    /// The newest version of each name, by name, after `after`.
    pub async fn functions(&self, after: Option<&str>, limit: usize) -> Result<Vec<Arc<Function>>, Error> {
        match &self.backend {
            Backend::Embedded(embedded) => embedded.functions(after, limit),
            Backend::Redis(redis) => redis.functions(after, limit).await,
        }
    }

    /// All versions of a name, the newest first; empty for an unknown name.
    pub async fn versions(&self, name: &str) -> Result<Vec<Arc<Function>>, Error> {
        match &self.backend {
            Backend::Embedded(embedded) => embedded.versions(name),
            Backend::Redis(redis) => redis.versions(name).await,
        }
    }

    /// Removes one version; aliases on it go too, and the package with its last function. Version
    /// numbers are never given again. False when there was none.
    pub async fn remove_function(&self, id: FunctionId) -> Result<bool, Error> {
        match &self.backend {
            Backend::Embedded(embedded) => embedded.remove_function(id).await,
            Backend::Redis(redis) => redis.remove_function(id).await,
        }
    }

    /// Points an alias at a version of its own name; stale when there is no such version. Durable on
    /// return.
    pub async fn set_alias(&self, name: &str, alias: &str, version: u32) -> Result<Transition, Error> {
        match &self.backend {
            Backend::Embedded(embedded) => embedded.set_alias(name, alias, version).await,
            Backend::Redis(redis) => redis.set_alias(name, alias, version).await,
        }
    }

    /// The aliases of a name with their versions, by alias.
    pub async fn aliases(&self, name: &str) -> Result<Vec<(String, u32)>, Error> {
        match &self.backend {
            Backend::Embedded(embedded) => Ok(embedded.aliases(name)),
            Backend::Redis(redis) => redis.aliases(name).await,
        }
    }

    /// Stores tasks and queues them: durable on return, one answer a task, in order.
    pub async fn submit(&self, tasks: Vec<Task>) -> Result<Vec<Submitted>, Error> {
        match &self.backend {
            Backend::Embedded(embedded) => embedded.submit(tasks).await,
            Backend::Redis(redis) => redis.submit(tasks).await,
        }
    }

    /// Stores a task whose first attempt runs already (a synchronous call that outlived its wait),
    /// as RUNNING with attempt 1. Durable on return.
    pub async fn adopt(&self, task: Task, started_at_ms: u64) -> Result<(), Error> {
        match &self.backend {
            Backend::Embedded(embedded) => embedded.adopt(task, started_at_ms).await,
            Backend::Redis(redis) => redis.adopt(task, started_at_ms).await,
        }
    }

    /// Takes up to `max` queued tasks whose time has come, by priority, and inside one priority
    /// round-robin over functions; waits until there is at least one. A claimed task is not given
    /// again while this process lives; after a restart it is queued again.
    ///
    /// # Errors
    /// [`Error::Unavailable`], also once the store is closed. It may come at once: whoever asks
    /// again pauses first.
    ///
    /// # Cancel safety
    /// Dropping the future loses no task.
    pub async fn claim(&self, max: usize) -> Result<Vec<Claimed>, Error> {
        match &self.backend {
            Backend::Embedded(embedded) => embedded.claim(max).await,
            Backend::Redis(redis) => redis.claim(max).await,
        }
    }

    /// Records that an attempt began; it is stale when a newer one began or it was requeued. Need
    /// not be durable: a crash makes the next attempt's number at worst one too low. The same start
    /// again changes nothing, and one of a task that waits in the queue (its attempt outlived the
    /// server) takes it out of there.
    ///
    /// Stale also when another dispatcher has taken the task over.
    pub async fn started(
        &self,
        id: TaskId,
        attempt: Attempt,
        worker: WorkerId,
        at_ms: u64,
    ) -> Result<Transition, Error> {
        match &self.backend {
            Backend::Embedded(embedded) => embedded.started(id, attempt, worker, at_ms).await,
            Backend::Redis(redis) => redis.started(id, attempt, worker, at_ms).await,
        }
    }

    /// Ends a task with the report of `attempt` (0 for a task that ends before any; after a requeue
    /// of attempt n, n + 1). Stale when a newer attempt began or this one was requeued; an attempt
    /// whose start was never recorded may end the task. Durable on return; wakes those who wait.
    /// `dead_letter`: it crashed too often.
    pub async fn finish(
        &self,
        id: TaskId,
        attempt: Attempt,
        report: Arc<Report>,
        dead_letter: bool,
        at_ms: u64,
    ) -> Result<Transition, Error> {
        match &self.backend {
            Backend::Embedded(embedded) => embedded.finish(id, attempt, report, dead_letter, at_ms).await,
            Backend::Redis(redis) => redis.finish(id, attempt, report, dead_letter, at_ms).await,
        }
    }

    /// Puts a task back at the end of the queue after `attempt` failed with `outcome`, to be claimed
    /// not before `not_before_ms`. Stale as for [`Store::finish`]; whatever `attempt` reports from
    /// now on is. A task that someone asked to cancel ends as `Cancelled` instead. Durable on return.
    pub async fn requeue(
        &self,
        id: TaskId,
        attempt: Attempt,
        outcome: Outcome,
        spent: Spent,
        not_before_ms: u64,
    ) -> Result<Transition, Error> {
        match &self.backend {
            Backend::Embedded(embedded) => embedded.requeue(id, attempt, outcome, spent, not_before_ms).await,
            Backend::Redis(redis) => redis.requeue(id, attempt, &outcome, spent, not_before_ms).await,
        }
    }

    /// Ends a queued task as cancelled, claimed by the dispatcher or not, unless an attempt runs.
    pub async fn cancel_queued(&self, id: TaskId, at_ms: u64) -> Result<CancelQueued, Error> {
        match &self.backend {
            Backend::Embedded(embedded) => embedded.cancel_queued(id, at_ms).await,
            Backend::Redis(redis) => redis.cancel_queued(id, at_ms).await,
        }
    }

    /// Takes over the task of an attempt that `worker` says it has in hand, from a dispatcher that is
    /// dead; taken also when the task is this dispatcher's already.
    pub async fn recover(&self, id: TaskId, attempt: Attempt, worker: WorkerId) -> Result<Recovered, Error> {
        match &self.backend {
            Backend::Embedded(embedded) => embedded.recover(id, attempt, worker).await,
            Backend::Redis(redis) => redis.recover(id, attempt, worker).await,
        }
    }

    /// Tells the dispatchers something; [`Control::Cancel`] is kept with the task as well, so that it
    /// ends even if its dispatcher dies now.
    pub async fn send_control(&self, control: Control) -> Result<(), Error> {
        match &self.backend {
            Backend::Embedded(embedded) => embedded.send_control(control).await,
            Backend::Redis(redis) => redis.send_control(control).await,
        }
    }

    /// What gateways ask from now on. A receiver that lags behind misses some.
    pub fn controls(&self) -> broadcast::Receiver<Control> {
        match &self.backend {
            Backend::Embedded(embedded) => embedded.controls(),
            Backend::Redis(redis) => redis.controls(),
        }
    }

    /// Says which workers a dispatcher has; forgotten unless it says so again within 10 s.
    pub async fn publish_workers(&self, dispatcher: &str, workers: Vec<WorkerRecord>) -> Result<(), Error> {
        match &self.backend {
            Backend::Embedded(embedded) => embedded.publish_workers(dispatcher, workers).await,
            Backend::Redis(redis) => redis.publish_workers(dispatcher, workers).await,
        }
    }

    /// The workers of all dispatchers, by id.
    pub async fn workers(&self) -> Result<Vec<WorkerRecord>, Error> {
        match &self.backend {
            Backend::Embedded(embedded) => embedded.workers().await,
            Backend::Redis(redis) => redis.workers().await,
        }
    }

    /// Remembers what running functions last said of their progress; need not be durable, and is
    /// forgotten with the end of the task.
    pub async fn set_progress(&self, said: Vec<(TaskId, Progress)>) -> Result<(), Error> {
        match &self.backend {
            Backend::Embedded(embedded) => embedded.set_progress(said).await,
            Backend::Redis(redis) => redis.set_progress(said).await,
        }
    }

    /// What a running function last said of its progress.
    pub async fn progress(&self, id: TaskId) -> Result<Option<Progress>, Error> {
        match &self.backend {
            Backend::Embedded(embedded) => embedded.progress(id).await,
            Backend::Redis(redis) => redis.progress(id).await,
        }
    }

    /// A task and how far it has come.
    pub async fn task(&self, id: TaskId) -> Result<Option<(Arc<Task>, TaskState)>, Error> {
        match &self.backend {
            Backend::Embedded(embedded) => embedded.task(id),
            Backend::Redis(redis) => redis.task(id).await,
        }
    }

    /// How far a task has come; `None` when unknown.
    pub async fn state(&self, id: TaskId) -> Result<Option<TaskState>, Error> {
        match &self.backend {
            Backend::Embedded(embedded) => embedded.state(id),
            Backend::Redis(redis) => redis.state(id).await,
        }
    }

    /// Waits until a task has ended or `wait` is over, then tells how far it has come. Waking is by
    /// notification, with a read to close the race.
    pub async fn wait(&self, id: TaskId, wait: Duration) -> Result<Option<TaskState>, Error> {
        match &self.backend {
            Backend::Embedded(embedded) => embedded.wait(id, wait).await,
            Backend::Redis(redis) => redis.wait(id, wait).await,
        }
    }

    /// As [`Store::wait`], and gives with the state of a completed task what it gave: in Redis one exchange in place
    /// of three.
    pub async fn wait_for_result(&self, id: TaskId, wait: Duration) -> Result<Option<Standing>, Error> {
        match &self.backend {
            Backend::Embedded(embedded) => embedded.wait_for_result(id, wait).await,
            Backend::Redis(redis) => redis.wait_for_result(id, wait).await,
        }
    }

    /// The result of a completed task.
    pub async fn result(&self, id: TaskId) -> Result<Option<Bytes>, Error> {
        match &self.backend {
            Backend::Embedded(embedded) => embedded.result(id),
            Backend::Redis(redis) => redis.result(id).await,
        }
    }

    /// What the latest ended attempt printed.
    pub async fn logs(&self, id: TaskId) -> Result<Option<Logs>, Error> {
        match &self.backend {
            Backend::Embedded(embedded) => embedded.logs(id),
            Backend::Redis(redis) => redis.logs(id).await,
        }
    }

    /// A page of tasks, newest first.
    pub async fn tasks(&self, filter: &TaskFilter) -> Result<TaskPage, Error> {
        match &self.backend {
            Backend::Embedded(embedded) => embedded.tasks(filter).await,
            Backend::Redis(redis) => redis.tasks(filter).await,
        }
    }

    /// Whether an unknown task was once here and expired (so: 410 rather than 404). Kept for a
    /// bounded number of ids or a bounded time.
    pub async fn is_expired(&self, id: TaskId) -> Result<bool, Error> {
        match &self.backend {
            Backend::Embedded(embedded) => embedded.is_expired(id),
            Backend::Redis(redis) => redis.is_expired(id).await,
        }
    }

    /// Deletes what ended longer ago than its time to live (the task's own, else `ttl`); returns
    /// how many tasks went.
    pub async fn expire(&self, now_ms: u64, ttl: Duration) -> Result<usize, Error> {
        match &self.backend {
            Backend::Embedded(embedded) => embedded.expire(now_ms, ttl).await,
            Backend::Redis(redis) => redis.expire(now_ms, ttl).await,
        }
    }

    /// How many tasks are queued.
    ///
    /// # Errors
    /// [`Error::Unavailable`] while the store does not answer, which makes this a check of its health.
    pub async fn queued(&self) -> Result<usize, Error> {
        match &self.backend {
            Backend::Embedded(embedded) => embedded.queued(),
            Backend::Redis(redis) => redis.queued().await,
        }
    }

    /// Ends it: on return everything pending is on disk, and what was claimed is given back.
    pub async fn close(&self) -> Result<(), Error> {
        match &self.backend {
            Backend::Embedded(embedded) => embedded.close().await,
            Backend::Redis(redis) => redis.close().await,
        }
    }

    async fn open_embedded_with(folder: &Path, settings: Settings) -> Result<Self, Error> {
        let embedded = Embedded::open(folder, settings).await?;
        Ok(Self { backend: Backend::Embedded(Arc::new(embedded)) })
    }
}
