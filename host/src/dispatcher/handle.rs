//! What the rest of the server asks a dispatcher.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bulkhead_dispatch::{CancelAnswer, Cancelled, Stats};
use bulkhead_protocol::id::{TaskId, WorkerId};
use tokio::sync::{Semaphore, mpsc, oneshot};

use super::write::cancel_stored;
use crate::store::{self, Control, Store};

/// Commands that wait for the driver; more wait for a place.
pub(super) const MAX_COMMANDS: usize = 256;

/// Tasks that are being cancelled at once; more wait for their turn.
const MAX_CANCELS: usize = 1024;

/// How long a kill by another dispatcher is waited for.
const KILL_ELSEWHERE: Duration = Duration::from_secs(20);

/// How often another dispatcher is told of a kill: whoever was not connected to the store when it was
/// said hears it the next time.
const SAY_AGAIN: Duration = Duration::from_secs(2);

/// The executor beside a dispatcher, as a worker.
pub(super) const LOCAL: WorkerId = WorkerId(uuid::Uuid::nil());

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

/// What became of the wish that a worker drains.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DrainAsked {
    /// Its dispatcher was told.
    Asked,
    /// No dispatcher has such a worker.
    Unknown,
    /// It is the executor inside a dispatcher, which drains with its process.
    Local,
}

/// Asks a dispatcher: the one in this process, or through the store whichever it concerns. Cheap
/// to clone.
#[derive(Clone)]
pub struct Handle {
    /// To the driver of this process, if there is one.
    commands: Option<mpsc::Sender<Command>>,
    /// Decides over what does not run here, and reaches the other dispatchers.
    store: Store,
    /// What went on when the driver last did something.
    stats: Arc<Mutex<Stats>>,
    /// A permit for each task that is being cancelled.
    cancels: Arc<Semaphore>,
    /// Where workers connect.
    address: Option<SocketAddr>,
}

impl Handle {
    pub(super) fn new(
        commands: mpsc::Sender<Command>,
        store: Store,
        stats: Arc<Mutex<Stats>>,
        address: Option<SocketAddr>,
    ) -> Self {
        Self { commands: Some(commands), stats, address, ..Self::of_store(store) }
    }

    /// For a process without a dispatcher: reaches those of other processes through the store.
    pub fn of_store(store: Store) -> Self {
        let cancels = Arc::new(Semaphore::new(MAX_CANCELS));
        Self { commands: None, store, stats: Arc::default(), cancels, address: None }
    }

    /// Where workers connect to the dispatcher of this process; none without remote workers. The port
    /// is the one that the system chose, when it was to choose.
    pub fn address(&self) -> Option<SocketAddr> {
        self.address
    }

    /// Ends a task: one that does not run never does; one that runs is killed. Returns once the
    /// process is reaped and the store has the end; for an attempt of another dispatcher also, as
    /// [`Cancelled::Elsewhere`], when that took longer than 20 s.
    ///
    /// # Cancel safety
    /// Dropping the future leaves the wish in force, if it had reached the driver or the store.
    pub async fn cancel(&self, task: TaskId) -> Cancelled {
        // The semaphore is never closed.
        let _permit = self.cancels.acquire().await;
        let cancelled = match self.cancel_here(task).await {
            Some(cancelled) => cancelled,
            // There is no driver, or it has drained and ended, so nothing of it runs.
            None => match cancel_stored(&self.store, task).await {
                CancelAnswer::Cancelled => Cancelled::Cancelled,
                CancelAnswer::Ended => Cancelled::Ended,
                CancelAnswer::Unknown => Cancelled::Unknown,
                CancelAnswer::Running => Cancelled::Elsewhere,
                CancelAnswer::Failed => Cancelled::Unavailable,
            },
        };
        match cancelled {
            Cancelled::Elsewhere => self.cancel_elsewhere(task).await,
            answer => answer,
        }
    }

    /// Has the driver of this process end a task; none when there is no driver.
    async fn cancel_here(&self, task: TaskId) -> Option<Cancelled> {
        let (answer, answered) = oneshot::channel();
        self.commands.as_ref()?.send(Command::Cancel { task, answer }).await.ok()?;
        answered.await.ok()
    }

    /// Has whichever dispatcher runs the task kill it.
    async fn cancel_elsewhere(&self, task: TaskId) -> Cancelled {
        for _ in 0..KILL_ELSEWHERE.as_secs() / SAY_AGAIN.as_secs() {
            let asked = self.store.send_control(Control::Cancel(task)).await;
            let state = match asked {
                Ok(()) => self.store.wait(task, SAY_AGAIN).await,
                Err(error) => Err(error),
            };
            match state {
                Ok(None) => return Cancelled::Unknown,
                Ok(Some(state)) if state.status.is_terminal() => {
                    let was_killed = state.outcome == Some(bulkhead_protocol::outcome::Outcome::Cancelled);
                    return if was_killed { Cancelled::Cancelled } else { Cancelled::Ended };
                }
                Ok(Some(_)) => {}
                Err(error) => {
                    tracing::warn!(task_id = %task, error = &error as &dyn std::error::Error, "a cancel was not passed on");
                    return Cancelled::Unavailable;
                }
            }
        }
        Cancelled::Elsewhere
    }

    /// Lets a worker finish what it has and leave, whichever dispatcher it is connected to. Returns
    /// when its dispatcher was told; [`Store::workers`] tells how far it is.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn drain_worker(&self, worker: WorkerId) -> Result<DrainAsked, store::Error> {
        if worker == LOCAL {
            return Ok(DrainAsked::Local);
        }
        if !self.store.workers().await?.iter().any(|record| record.id == worker) {
            return Ok(DrainAsked::Unknown);
        }
        self.store.send_control(Control::DrainWorker(worker)).await?;
        Ok(DrainAsked::Asked)
    }

    /// Begins nothing new; what runs may take `grace` to finish and is then killed and put back in
    /// the queue, where the next start finds it with everything that waits. Returns when nothing
    /// runs and the store has it all, which may take longer than `grace` while the store is
    /// unavailable. Without a dispatcher in this process there is nothing to drain.
    ///
    /// # Cancel safety
    /// Dropping the future does not stop the drain.
    pub async fn drain(&self, grace: Duration) {
        let Some(commands) = &self.commands else { return };
        let (done, ended) = oneshot::channel();
        if commands.send(Command::Drain { grace, done }).await.is_ok() {
            // Its sender is only ever dropped.
            let _ = ended.await;
        }
    }

    /// What goes on now in the dispatcher of this process; nothing without one.
    pub fn snapshot(&self) -> Stats {
        // The driver only ever writes whole fields.
        self.stats.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
