//! How a dispatcher is set up.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

/// How a dispatcher is set up.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// The window, the budgets and the backoffs.
    pub bounds: bulkhead_dispatch::Config,
    /// Determines all jitter; the clock does when absent.
    pub seed: Option<u64>,
    /// Attempts that run at once; as many as the executor has slots when absent.
    pub slots: Option<u32>,
    /// How long a task may wait for its first attempt from the time it may run; for ever when
    /// absent.
    pub queue_ttl: Option<Duration>,
    /// Configuration for calls, a JSON object each, by function name.
    pub function_configs: Arc<HashMap<String, Bytes>>,
    /// Most attempts at once by function name, counted for each version; as many as there are slots
    /// when absent.
    pub concurrency: Arc<HashMap<String, u32>>,
}
