//! What the handlers share.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bulkhead_protocol::limits::Limits;
use bytes::Bytes;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::body::{Bound, Receiver};
use super::calls::Calls;
use super::problem::{Kind, Problem};
use crate::config::{Config, FunctionCaps, GatewayBounds};
use crate::dispatcher;
use crate::executor::Executor;
use crate::store::Store;

/// The gateway: shared by all requests.
pub struct Gateway {
    /// What remembers.
    pub(super) store: Store,
    /// What runs synchronous calls and inspects packages.
    pub(super) executor: Executor,
    /// What runs queued tasks; asked to cancel them.
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
    /// Names that `Host` may have; any when none.
    pub(super) hosts: Option<Vec<String>>,
}

impl Gateway {
    /// A gateway over what runs and remembers. `function_configs`: JSON objects by function name.
    pub fn new(
        config: &Config,
        store: Store,
        executor: Executor,
        dispatcher: dispatcher::Handle,
        function_configs: Arc<HashMap<String, Bytes>>,
    ) -> Arc<Self> {
        let bounds = config.gateway.clone();
        Arc::new(Self {
            calls: Calls::new(store.clone()),
            store,
            executor,
            dispatcher,
            defaults: config.defaults.limits(),
            caps: config.caps.clone(),
            function_configs,
            receiver: Receiver::new(&bounds),
            sync_calls: Arc::new(Semaphore::new(bounds.sync_calls)),
            registrations: Semaphore::new(bounds.registrations),
            bounds,
            draining: CancellationToken::new(),
            hosts: config.host.is_loopback().then(|| config.allowed_hosts.clone()),
        })
    }

    /// Takes no new work, ends long polls, and gives synchronous calls `grace` to finish; those that
    /// outlived their wait and do not are killed and requeued.
    pub async fn drain(&self, grace: Duration) {
        self.draining.cancel();
        // A call that can still outlive its wait holds one of these, as those do that have.
        let all = u32::try_from(self.bounds.sync_calls).unwrap_or(u32::MAX);
        let _ = tokio::time::timeout(grace, self.sync_calls.acquire_many(all)).await;
        self.calls.drain().await;
    }

    /// Refuses new work while the server drains.
    pub(super) fn require_open(&self) -> Result<(), Problem> {
        if self.draining.is_cancelled() {
            return Err(Problem::new(Kind::ShuttingDown, "the server takes no new work"));
        }
        Ok(())
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
