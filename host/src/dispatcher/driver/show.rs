//! What the driver shows to those who look: statistics, workers, the progress of running functions.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bulkhead_dispatch::Stats;
use bulkhead_protocol::id::TaskId;
use bulkhead_protocol::task::Progress;
use tokio::time::{Instant, Sleep};

use super::{Driver, Event};
use crate::dispatcher::handle::LOCAL;
use crate::store::WorkerRecord;

/// How often the store is told of progress at most.
const PROGRESS_EVERY: Duration = Duration::from_millis(200);

/// How long the store may take to hear that the workers are gone.
const LAST_WORD: Duration = Duration::from_secs(1);

/// What is shown to those who look.
pub(super) struct Shown {
    /// The dispatcher's name.
    name: String,
    /// When it started; milliseconds since the Unix epoch.
    since_ms: u64,
    /// For the handles.
    stats: Arc<Mutex<Stats>>,
    /// Whether the workers are to be told to the store.
    is_stale: bool,
    /// Whether the store is being told.
    is_publishing: bool,
    /// Whether the store was told of any worker last time.
    has_published: bool,
    /// What running functions said since the store was last told. At most one of each task in a
    /// worker's hand.
    progress: HashMap<TaskId, Progress>,
    /// When the store may be told; runs only while there is something to tell.
    progress_timer: Option<Pin<Box<Sleep>>>,
    /// When the store was last told.
    progress_said: Option<Instant>,
    /// Whether the store is being told.
    is_saying_progress: bool,
}

impl Shown {
    pub(super) fn new(name: String, stats: Arc<Mutex<Stats>>, since_ms: u64) -> Self {
        Self {
            name,
            since_ms,
            stats,
            is_stale: true,
            is_publishing: false,
            has_published: false,
            progress: HashMap::new(),
            progress_timer: None,
            progress_said: None,
            is_saying_progress: false,
        }
    }

    /// The store was told of the workers, or it failed; the next beat tells it again.
    pub(super) fn published(&mut self) {
        self.is_publishing = false;
    }

    /// A running function said how far it is.
    pub(super) fn progress(&mut self, task: TaskId, progress: Progress) {
        self.progress.insert(task, progress);
        self.set_progress_timer();
    }

    /// An attempt ended: nothing of its progress is of interest.
    pub(super) fn forget_progress(&mut self, task: TaskId) {
        self.progress.remove(&task);
    }

    /// The store was told of progress.
    pub(super) fn said_progress(&mut self) {
        self.is_saying_progress = false;
        if !self.progress.is_empty() {
            self.set_progress_timer();
        }
    }

    fn set_progress_timer(&mut self) {
        if self.progress_timer.is_none() && !self.is_saying_progress {
            let due = self.progress_said.map_or_else(Instant::now, |said| said + PROGRESS_EVERY);
            self.progress_timer = Some(Box::pin(tokio::time::sleep_until(due)));
        }
    }

    /// Until the store is to be told of progress; for ever while there is none.
    pub(super) async fn progress_due(&mut self) {
        match &mut self.progress_timer {
            Some(timer) => timer.await,
            None => std::future::pending().await,
        }
    }
}

impl Driver {
    /// Every now and then: tells the workers and those who look that this dispatcher lives.
    pub(super) fn beat(&mut self) {
        if let Some(remotes) = &mut self.remotes {
            remotes.beat();
        }
        self.shown.is_stale = true;
    }

    /// Shows what goes on.
    pub(super) fn show(&mut self) {
        self.core.stats(&mut self.shown.stats.lock().unwrap_or_else(PoisonError::into_inner));
        let changed = self.remotes.as_mut().is_some_and(|remotes| remotes.roster.take_change());
        self.shown.is_stale |= changed;
        if self.shown.is_stale && !self.shown.is_publishing {
            self.publish();
        }
    }

    fn publish(&mut self) {
        self.shown.is_stale = false;
        let records = self.records();
        if records.is_empty() && !self.shown.has_published {
            return;
        }
        self.shown.has_published = !records.is_empty();
        self.shown.is_publishing = true;
        let (store, name) = (self.store.clone(), self.shown.name.clone());
        self.asked.push(super::guarded(Event::Published, async move {
            if let Err(error) = store.publish_workers(&name, records).await {
                tracing::warn!(error = &error as &dyn std::error::Error, "the workers are not shown for now");
            }
            Event::Published
        }));
    }

    fn records(&self) -> Vec<WorkerRecord> {
        let stats = self.shown.stats.lock().unwrap_or_else(PoisonError::into_inner);
        let record = |worker: &bulkhead_dispatch::WorkerStats| match &self.remotes {
            Some(remotes) => remotes.roster.record(worker, &self.shown.name),
            None => Some(WorkerRecord {
                id: LOCAL,
                name: "local".to_owned(),
                mode: "local".to_owned(),
                slots: worker.slots,
                running: worker.running,
                draining: worker.draining,
                resting: worker.resting,
                since_ms: self.shown.since_ms,
                dispatcher: self.shown.name.clone(),
            }),
        };
        stats.workers.iter().filter_map(record).collect()
    }

    /// Tells the store of progress.
    pub(super) fn say_progress(&mut self) {
        self.shown.progress_timer = None;
        if self.shown.progress.is_empty() {
            return;
        }
        self.shown.progress_said = Some(Instant::now());
        self.shown.is_saying_progress = true;
        let said: Vec<(TaskId, Progress)> = self.shown.progress.drain().collect();
        let store = self.store.clone();
        self.ask(Event::ProgressSaid, async move {
            if let Err(error) = store.set_progress(said).await {
                tracing::debug!(error = &error as &dyn std::error::Error, "progress is not shown for now");
            }
            Event::ProgressSaid
        });
    }

    /// After a drain: the workers are shown no more, and hear the last words.
    pub(super) async fn leave(&mut self) {
        if self.shown.has_published {
            let gone = self.store.publish_workers(&self.shown.name, Vec::new());
            // They are forgotten in any case after a while.
            let _ = tokio::time::timeout(LAST_WORD, gone).await;
        }
        if let Some(remotes) = self.remotes.take() {
            remotes.roster.shutdown().await;
        }
        self.drains.clear();
    }
}

/// The name of a dispatcher that was given none: the host's, and the port where workers connect or the
/// process.
pub(super) fn default_name(address: Option<SocketAddr>) -> String {
    let host = nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok());
    let host = host.unwrap_or_else(|| "dispatcher".to_owned());
    match address {
        Some(address) => format!("{host}:{}", address.port()),
        None => format!("{host}/{}", std::process::id()),
    }
}
