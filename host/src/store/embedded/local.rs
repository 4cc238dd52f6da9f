//! What concerns the running process alone and is never written: words to its dispatcher, and the
//! workers that are connected now.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::broadcast;

use crate::store::types::{Control, WorkerRecord};

/// Words to the dispatcher that wait; it misses older ones when it lags behind.
const MAX_CONTROLS: usize = 1024;

/// What is never written.
pub(super) struct Local {
    /// To those who listen.
    pub(super) controls: broadcast::Sender<Control>,
    /// The workers by dispatcher. The one dispatcher of this store lives as long as it does, so that
    /// none of this grows old.
    workers: Mutex<BTreeMap<String, Vec<WorkerRecord>>>,
}

impl Local {
    pub(super) fn new() -> Self {
        Self { controls: broadcast::Sender::new(MAX_CONTROLS), workers: Mutex::default() }
    }

    pub(super) fn publish_workers(&self, dispatcher: &str, workers: Vec<WorkerRecord>) {
        self.lock().insert(dispatcher.to_owned(), workers);
    }

    pub(super) fn workers(&self) -> Vec<WorkerRecord> {
        let mut workers: Vec<_> = self.lock().values().flatten().cloned().collect();
        workers.sort_by_key(|worker| worker.id);
        workers
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Vec<WorkerRecord>>> {
        // Every change replaces a whole value.
        self.workers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
