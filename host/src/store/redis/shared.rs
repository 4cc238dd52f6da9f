//! What the operations and the tasks in the background share.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bulkhead_protocol::id::{PackageId, TaskId};
use redis::FromRedisValue;
use tokio::sync::{Notify, Semaphore, SemaphorePermit, broadcast};

use super::attempts::Queue;
use super::desk::Desk;
use super::functions::Cache;
use super::link::Link;
use super::packages::Expected;
use super::scripts::Call;
use super::target::Target;
use crate::store::completion::Completion;
use crate::store::types::{Control, Error};

/// Payloads from this size on go by a connection of their own, where small commands do not wait behind
/// them.
pub(super) const BULK_BYTES: usize = 256 * 1024;

/// Most small commands that wait for an answer at one time.
pub(super) const MAX_IN_FLIGHT: usize = 1024;

/// Most commands with large payloads that wait for an answer at one time.
pub(super) const MAX_BULK_IN_FLIGHT: usize = 8;

/// Bytes of payload on their way to Redis; more wait for room.
const MAX_PENDING_BYTES: usize = 256 * 1024 * 1024;

/// The grain of that bound, in bytes: smaller payloads are bounded by [`MAX_IN_FLIGHT`] alone.
const PENDING_GRAIN: usize = 64 * 1024;

/// Words to the dispatcher that wait; it misses older ones when it lags behind.
const MAX_CONTROLS: usize = 1024;

/// What the operations and the tasks in the background share.
pub(in crate::store) struct Shared {
    /// Makes connections.
    pub(super) target: Arc<Target>,
    /// For small commands.
    pub(super) link: Link,
    /// For large payloads.
    pub(super) bulk: Link,
    /// What all keys begin with.
    pub(super) namespace: String,
    /// `{namespace}:`, what all keys but those of packages begin with.
    pub(super) prefix: String,
    /// How long a task is kept after its end that does not say so itself; milliseconds.
    pub(super) result_ttl_ms: u64,
    /// How long a lease counts.
    pub(super) lease: Duration,
    /// Most tasks in the queue.
    pub(super) max_queued: usize,
    /// Who waits for the end of a task.
    pub(super) completion: Completion,
    /// Wakes claims: there may be something to claim.
    pub(super) ready: Notify,
    /// To those who listen to controls.
    pub(super) controls: broadcast::Sender<Control>,
    /// Functions that were read lately.
    pub(super) functions: Cache,
    /// Packages that this process stored for registrations still to come.
    pub(super) expected: Expected,
    /// Who this process is among the dispatchers.
    pub(super) desk: Desk,
    /// What became of attempts, to be written.
    pub(super) attempts: Queue,
    /// Room for payloads on their way, in [`PENDING_GRAIN`]s.
    room: Semaphore,
    /// Whether the store was closed.
    closed: AtomicBool,
}

/// What [`Shared`] is made of.
pub(super) struct Parts {
    /// See [`Shared::target`].
    pub(super) target: Arc<Target>,
    /// See [`Shared::link`].
    pub(super) link: Link,
    /// See [`Shared::bulk`].
    pub(super) bulk: Link,
    /// See [`Shared::namespace`].
    pub(super) namespace: String,
    /// See [`Shared::result_ttl_ms`].
    pub(super) result_ttl_ms: u64,
    /// See [`Shared::lease`].
    pub(super) lease: Duration,
    /// See [`Shared::max_queued`].
    pub(super) max_queued: usize,
}

impl Shared {
    pub(super) fn new(parts: Parts) -> Self {
        let Parts { target, link, bulk, namespace, result_ttl_ms, lease, max_queued } = parts;
        Self {
            target,
            link,
            bulk,
            prefix: prefix(&namespace),
            namespace,
            result_ttl_ms,
            lease,
            max_queued,
            completion: Completion::new(),
            ready: Notify::new(),
            controls: broadcast::Sender::new(MAX_CONTROLS),
            functions: Cache::default(),
            expected: Expected::default(),
            desk: Desk::new(),
            attempts: Queue::new(),
            room: Semaphore::new(MAX_PENDING_BYTES / PENDING_GRAIN),
            closed: AtomicBool::new(false),
        }
    }

    /// A key or channel of the namespace.
    pub(super) fn key(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    /// The key of a task.
    pub(super) fn task_key(&self, id: TaskId) -> String {
        format!("{}task:{id}", self.prefix)
    }

    /// The key of a package's bytes, which has a hash tag of its own: a cluster spreads packages over its
    /// nodes.
    pub(super) fn package_key(&self, id: PackageId, generation: &str) -> String {
        format!("{{{}:package:{id}}}:{generation}", self.namespace)
    }

    pub(in crate::store) fn controls(&self) -> broadcast::Receiver<Control> {
        self.controls.subscribe()
    }

    /// Runs a script on the connection that fits its size.
    pub(super) async fn run<T: FromRedisValue>(&self, call: Call<'_>) -> Result<T, Error> {
        self.check_open()?;
        let _room = self.room(call.size()).await?;
        let link = if call.size() < BULK_BYTES { &self.link } else { &self.bulk };
        link.run(call).await
    }

    /// Whether the store may be used still.
    pub(super) fn check_open(&self) -> Result<(), Error> {
        if self.closed.load(Ordering::Acquire) { Err(stopped()) } else { Ok(()) }
    }

    /// Lets nobody use the store any more; false when that was so already.
    pub(super) fn shut(&self) -> bool {
        let was_open = !self.closed.swap(true, Ordering::AcqRel);
        self.ready.notify_waiters();
        self.completion.wake_all();
        was_open
    }

    /// Waits for room for a payload.
    pub(super) async fn room(&self, bytes: usize) -> Result<Option<SemaphorePermit<'_>>, Error> {
        // More than all the room can never be had; such a request goes alone.
        let grains = (bytes / PENDING_GRAIN).min(MAX_PENDING_BYTES / PENDING_GRAIN);
        let Some(grains) = u32::try_from(grains).ok().filter(|grains| *grains > 0) else { return Ok(None) };
        self.room.acquire_many(grains).await.map(Some).map_err(|_| stopped())
    }
}

/// What the keys of a namespace begin with.
pub(super) fn prefix(namespace: &str) -> String {
    format!("{{{namespace}}}:")
}

fn stopped() -> Error {
    Error::Unavailable { reason: "the store is closed".to_owned() }
}
