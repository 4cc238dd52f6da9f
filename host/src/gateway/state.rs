//! What the handlers share.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bulkhead_protocol::limits::Limits;
use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

use super::body::{Bound, Receiver};
use super::calls::Calls;
use super::problem::{Kind, Problem};
use crate::config::{Config, FunctionCaps, GatewayBounds};
use crate::dispatcher;
use crate::executor::Executor;
use crate::store::Store;

/// How a synchronous call runs, unless its client wants it stored.
#[derive(Clone)]
pub enum SyncRuns {
    /// In the executor of this process, past the queue.
    Here(Executor),
    /// Through the queue, on whichever worker takes it.
    Queued,
}

/// What a gateway stands before.
pub struct Parts {
    /// What remembers.
    pub store: Store,
    /// What asks packages for their functions.
    pub inspector: Executor,
    /// How synchronous calls run.
    pub sync_runs: SyncRuns,
    /// What runs queued tasks, here or elsewhere; asked to cancel them.
    pub dispatcher: dispatcher::Handle,
    /// Configuration for calls, JSON objects, by function name.
    pub function_configs: Arc<HashMap<String, Bytes>>,
}

/// The gateway: shared by all requests.
pub struct Gateway {
    /// What remembers.
    pub(super) store: Store,
    /// What asks packages for their functions.
    pub(super) inspector: Executor,
    /// How synchronous calls run.
    pub(super) sync_runs: SyncRuns,
    /// What runs queued tasks, here or elsewhere; asked to cancel them.
    pub(super) dispatcher: dispatcher::Handle,
    /// Bounds of requests.
    pub(super) bounds: GatewayBounds,
    /// What a function gets whose author asks for nothing.
    pub(super) defaults: Limits,
    /// The most that an author can ask for.
    pub(super) caps: FunctionCaps,
    /// Configuration for calls, JSON, by function name.
    pub(super) function_configs: Arc<HashMap<String, Bytes>>,
    /// Receives bodies.
    pub(super) receiver: Receiver,
    /// A permit for each synchronous call at once.
    pub(super) sync_calls: Arc<Semaphore>,
    /// A permit for each registration at once.
    pub(super) registrations: Semaphore,
    /// Synchronous calls that outlived their wait.
    pub(super) calls: Calls,
    /// Cancelled when the server takes no new work.
    pub(super) draining: CancellationToken,
    /// Cancelled when the grace of a shutdown is over.
    pub(super) grace_over: CancellationToken,
    /// Names that `Host` may have; any when none.
    pub(super) hosts: Option<Vec<String>>,
}

impl Gateway {
    /// A gateway over what runs and remembers. Must be called inside a tokio runtime.
    pub fn new(config: &Config, parts: Parts) -> Arc<Self> {
        let Parts { store, inspector, sync_runs, dispatcher, function_configs } = parts;
        let bounds = config.gateway.clone();
        Arc::new(Self {
            calls: Calls::new(store.clone()),
            store,
            inspector,
            sync_runs,
            dispatcher,
            defaults: config.defaults.limits(),
            caps: config.caps.clone(),
            function_configs,
            receiver: Receiver::new(&bounds),
            sync_calls: Arc::new(Semaphore::new(bounds.sync_calls)),
            registrations: Semaphore::new(bounds.registrations),
            bounds,
            draining: CancellationToken::new(),
            grace_over: CancellationToken::new(),
            hosts: config.host.is_loopback().then(|| config.allowed_hosts.clone()),
        })
    }

    /// Takes no new work, ends long polls, and gives synchronous calls `grace` to finish. Of those that
    /// do not, the ones that are stored are answered as going on; those that outlived their wait here are
    /// killed and requeued.
    pub async fn drain(&self, grace: Duration) {
        self.draining.cancel();
        // A call that can still outlive its wait holds one of these, as those do that have.
        let all = u32::try_from(self.bounds.sync_calls).unwrap_or(u32::MAX);
        let _ = tokio::time::timeout(grace, self.sync_calls.acquire_many(all)).await;
        self.grace_over.cancel();
        self.calls.drain().await;
    }

    /// Refuses new work while the server drains.
    pub(super) fn require_open(&self) -> Result<(), Problem> {
        if self.draining.is_cancelled() {
            return Err(Problem::new(Kind::ShuttingDown, "the server takes no new work"));
        }
        Ok(())
    }

    /// A place among the synchronous calls that run or wait at once.
    pub(super) fn sync_place(&self) -> Result<OwnedSemaphorePermit, Problem> {
        Arc::clone(&self.sync_calls).try_acquire_owned().map_err(|_| {
            let most = self.bounds.sync_calls as u64;
            let detail = format!("{most} synchronous calls run or wait already; try again, or submit a task");
            Problem::over_limit(Kind::TooManyRequests, "sync_calls", most, None, detail)
        })
    }

    /// The bound of a task's input.
    pub(super) fn input_bound(&self) -> Bound {
        Bound { name: "input_bytes", bytes: self.bounds.input_bytes.0 }
    }

    /// The bound of a package.
    pub(super) fn package_bound(&self) -> Bound {
        Bound { name: "package_bytes", bytes: self.bounds.package_bytes.0 }
    }

    /// What calls of a function are configured with; empty when nothing is.
    pub(super) fn function_config(&self, name: &str) -> Bytes {
        self.function_configs.get(name).cloned().unwrap_or_default()
    }
}

/// The bound of a JSON document that carries up to `bound` in base64, and little else.
pub(super) fn in_base64(bound: Bound) -> Bound {
    Bound { name: bound.name, bytes: in_base64_bytes(bound.bytes) }
}

/// Bytes of a JSON document that carries `bytes` in base64, and little else.
pub fn in_base64_bytes(bytes: u64) -> u64 {
    /// Room for the document around the payload.
    const AROUND_BYTES: u64 = 64 * 1024;
    bytes.div_ceil(3) * 4 + AROUND_BYTES
}

/// Milliseconds since the Unix epoch.
pub fn unix_ms() -> u64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX)
}
