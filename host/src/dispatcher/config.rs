//! How a dispatcher is set up.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bulkhead_protocol::worker_message::WorkerMode;
use bytes::Bytes;

use crate::link::{BindError, Endpoint, JoinKey, RouterBounds};

/// How a dispatcher is set up.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// Where attempts run.
    pub mode: Mode,
    /// Its name in the records of its workers; the host's name and the port or process when absent.
    pub name: Option<String>,
    /// The window, the budgets and the backoffs. With remote workers, [`Remote::dead_after`] takes the
    /// place of the silence in here.
    pub bounds: bulkhead_dispatch::Config,
    /// Determines all jitter; the clock does when absent.
    pub seed: Option<u64>,
    /// How long a task may wait for its first attempt from the time it may run; for ever when
    /// absent.
    pub queue_ttl: Option<Duration>,
    /// Configuration for calls, a JSON object each, by function name.
    pub function_configs: Arc<HashMap<String, Bytes>>,
    /// Most attempts at once by function name, counted for each version; as many as there are slots
    /// when absent.
    pub concurrency: Arc<HashMap<String, u32>>,
}

/// Where a dispatcher's attempts run.
#[derive(Clone, Debug)]
pub enum Mode {
    /// On the executor of this process.
    Local {
        /// Attempts that run at once; as many as the executor has slots when absent.
        slots: Option<u32>,
    },
    /// On workers that are sent tasks as long as they have room.
    Push(Remote),
    /// On workers that ask for tasks.
    Pull(Remote),
}

impl Default for Mode {
    fn default() -> Self {
        Self::Local { slots: None }
    }
}

impl Mode {
    /// The remote side, and what kind of workers it takes.
    pub(super) fn remote(&self) -> Option<(&Remote, WorkerMode)> {
        match self {
            Self::Local { .. } => None,
            Self::Push(remote) => Some((remote, WorkerMode::Push)),
            Self::Pull(remote) => Some((remote, WorkerMode::Pull)),
        }
    }
}

/// How workers reach a dispatcher.
#[derive(Clone, Debug)]
pub struct Remote {
    /// Where to listen.
    pub endpoint: Endpoint,
    /// What seals the link; needed to listen on more than loopback.
    pub join_key: Option<JoinKey>,
    /// How often each side says something. Default 2 s.
    pub heartbeat: Duration,
    /// Silence after which each side takes the other for dead. Default 10 s.
    pub dead_after: Duration,
    /// Most workers at once; the next is refused. Default 1024.
    pub max_workers: usize,
    /// What the link holds at most. [`Remote::max_workers`] takes the place of the peers in here.
    pub link: RouterBounds,
}

impl Remote {
    /// The defaults at an endpoint.
    pub fn new(endpoint: Endpoint, join_key: Option<JoinKey>) -> Self {
        Self {
            endpoint,
            join_key,
            heartbeat: Duration::from_secs(2),
            dead_after: Duration::from_secs(10),
            max_workers: 1024,
            link: RouterBounds::default(),
        }
    }
}

/// Why a dispatcher did not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The local mode needs an executor.
    #[error("the local mode runs attempts in this process, and there is no executor in it")]
    NoExecutor,
    /// Nobody can listen there.
    #[error("failed to listen for workers at {endpoint}")]
    Listen {
        /// Where.
        endpoint: Endpoint,
        /// Why.
        #[source]
        source: BindError,
    },
}
