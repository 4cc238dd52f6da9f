//! The bounds and budgets of a dispatcher.

use std::time::Duration;

/// The bounds and budgets of a dispatcher, each with its documented default.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Most tasks held at once, in whatever state; the store keeps the rest. Tasks that workers bring as
    /// they connect come on top: at most what they have in hand. Default 16,384.
    pub window: usize,
    /// Tasks ready to run that are kept at hand, at least twice the slots of all workers. Small on
    /// purpose: a task of a higher priority that comes to the store waits until one of these was
    /// assigned. Default 256.
    pub prefetch: usize,
    /// Bytes of reports that wait for the store, beyond which nothing new is assigned; the report of
    /// an attempt that runs already is taken all the same. Default 256 MiB.
    pub unrecorded_bytes: u64,
    /// How often a task may lose its attempt to the platform and be tried again. Default 2.
    pub losses: u32,
    /// How often a task may be given back unrun by a worker that died before it began it. Default 32.
    pub returns: u32,
    /// Crashed attempts after which a task goes to the dead letters, whatever its retry policy
    /// still allows. Default 3.
    pub crash_cap: u32,
    /// Longest wait before another attempt. Default 1 hour.
    pub retry_backoff_max: Duration,
    /// Wait after a sandbox that could not be set up; doubles with each loss. Default 1 s.
    pub setup_backoff: Duration,
    /// Wait before a failed write to the store, or a failed claim, is tried again; doubles with
    /// each failure. Default 100 ms.
    pub store_backoff: Duration,
    /// Longest wait before the store is tried again. Default 5 s.
    pub store_backoff_max: Duration,
    /// Silence after which a remote worker is taken for dead. Default 10 s.
    pub silence: Duration,
    /// How long a worker whose connection broke has to come back before it is evicted. Default 500 ms.
    pub reconnect_wait: Duration,
    /// How long an attempt whose dispatcher died, on a remote worker, is waited for before it counts as
    /// lost. Default 10 s.
    pub orphan_wait: Duration,
    /// How long before the store is asked again for an attempt that another dispatcher still owns.
    /// Default 1 s.
    pub recover_again: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            window: 16_384,
            prefetch: 256,
            unrecorded_bytes: 256 * 1024 * 1024,
            losses: 2,
            returns: 32,
            crash_cap: 3,
            retry_backoff_max: Duration::from_secs(3600),
            setup_backoff: Duration::from_secs(1),
            store_backoff: Duration::from_millis(100),
            store_backoff_max: Duration::from_secs(5),
            silence: Duration::from_secs(10),
            reconnect_wait: Duration::from_millis(500),
            orphan_wait: Duration::from_secs(10),
            recover_again: Duration::from_secs(1),
        }
    }
}
