//! What the rest of the server asks a dispatcher.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bulkhead_dispatch::{CancelAnswer, Cancelled, Stats};
use bulkhead_protocol::id::TaskId;
use tokio::sync::{Semaphore, mpsc, oneshot};

use super::write::cancel_stored;
use crate::store::Store;

/// Commands that wait for the driver; more wait for a place.
pub(super) const MAX_COMMANDS: usize = 256;

/// Tasks that are being cancelled at once; more wait for their turn.
const MAX_CANCELS: usize = 1024;

/// What the driver is asked to do.
pub(super) enum Command {
    /// End a task.
    Cancel {
        /// The task.
        task: TaskId,
        /// Where the answer goes; dropped unanswered when the driver has ended.
        answer: oneshot::Sender<Cancelled>,
    },
    /// Begin nothing new, and end.
    Drain {
        /// How long running attempts may take.
        grace: Duration,
        /// Dropped when it is over.
        done: oneshot::Sender<()>,
    },
}

/// Asks a dispatcher. Cheap to clone.
#[derive(Clone)]
pub struct Handle {
    /// To the driver.
    commands: mpsc::Sender<Command>,
    /// Decides alone once the driver has ended.
    store: Store,
    /// What went on when the driver last did something.
    stats: Arc<Mutex<Stats>>,
    /// A permit for each task that is being cancelled.
    cancels: Arc<Semaphore>,
}

impl Handle {
    pub(super) fn new(commands: mpsc::Sender<Command>, store: Store, stats: Arc<Mutex<Stats>>) -> Self {
        Self { commands, store, stats, cancels: Arc::new(Semaphore::new(MAX_CANCELS)) }
    }

    /// Ends a task: one that does not run never does; one that runs is killed. Returns once the
    /// process is reaped and the store has the end.
    ///
    /// # Cancel safety
    /// Dropping the future leaves the wish in force, if it had reached the driver.
    pub async fn cancel(&self, task: TaskId) -> Cancelled {
        // The semaphore is never closed.
        let _permit = self.cancels.acquire().await;
        let (answer, answered) = oneshot::channel();
        if self.commands.send(Command::Cancel { task, answer }).await.is_ok()
            && let Ok(cancelled) = answered.await
        {
            return cancelled;
        }
        // The driver has drained and ended, so nothing of it runs.
        match cancel_stored(&self.store, task).await {
            CancelAnswer::Cancelled => Cancelled::Cancelled,
            CancelAnswer::Ended => Cancelled::Ended,
            CancelAnswer::Unknown => Cancelled::Unknown,
            CancelAnswer::Running => Cancelled::Elsewhere,
            CancelAnswer::Failed => Cancelled::Unavailable,
        }
    }

    /// Begins nothing new; what runs may take `grace` to finish and is then killed and put back in
    /// the queue, where the next start finds it with everything that waits. Returns when nothing
    /// runs and the store has it all, which may take longer than `grace` while the store is
    /// unavailable.
    ///
    /// # Cancel safety
    /// Dropping the future does not stop the drain.
    pub async fn drain(&self, grace: Duration) {
        let (done, ended) = oneshot::channel();
        if self.commands.send(Command::Drain { grace, done }).await.is_ok() {
            // Its sender is only ever dropped.
            let _ = ended.await;
        }
    }

    /// What goes on now.
    pub fn snapshot(&self) -> Stats {
        // The driver only ever writes whole fields.
        self.stats.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
