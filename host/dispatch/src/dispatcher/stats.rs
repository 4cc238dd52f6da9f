//! What a dispatcher does now, for listings and metrics.

use super::Dispatcher;
use crate::pool::WorkerStats;

/// What a dispatcher does now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Tasks in hand that wait for a slot; the store may hold more.
    pub waiting: usize,
    /// Attempts that run, or wait for a slot at their worker.
    pub running: usize,
    /// Tasks whose attempt may still run on a worker of another dispatcher, now dead.
    pub orphaned: usize,
    /// Tasks that the store is asked about because workers have attempts of them.
    pub recovering: usize,
    /// Tasks whose end or requeueing the store has not acknowledged yet.
    pub recording: usize,
    /// Late reports that were dropped since the start.
    pub stale: u64,
    /// Tasks that became dead letters since the start.
    pub dead_letters: u64,
    /// What each worker does, by id.
    pub workers: Vec<WorkerStats>,
}

impl Dispatcher {
    /// Writes what the dispatcher does now into `stats`, whose memory is used again.
    pub fn stats(&self, stats: &mut Stats) {
        stats.waiting = self.queue.waiting();
        stats.running = self.running;
        stats.orphaned = self.orphans.len();
        stats.recovering = self.recovering.len();
        stats.recording = self.recording;
        stats.stale = self.stale;
        stats.dead_letters = self.dead_letters;
        stats.workers.clear();
        stats.workers.extend(self.pool.stats());
    }
}
