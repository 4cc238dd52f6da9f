//! Synchronous calls that outlived their wait: handed to the store, run on here, and ended there.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, Weak};
use std::time::Duration;

use bulkhead_protocol::id::TaskId;
use bulkhead_protocol::outcome::{Outcome, Report};
use bulkhead_protocol::task::{Spent, Task};
use futures_util::future::BoxFuture;
use tokio::sync::broadcast::{Receiver, error::RecvError};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::state::unix_ms;
use crate::store::{self, Control, Store};

/// The attempt of a synchronous call: it has no other.
pub(super) const ONLY_ATTEMPT: u32 = 1;
/// Wait between tries to store the end of a call while the store is down.
const FINISH_AGAIN: Duration = Duration::from_secs(1);

/// A running call that outlived its wait.
pub(super) struct Outliving {
    /// The task to store.
    pub(super) task: Task,
    /// When its attempt began; milliseconds since the Unix epoch.
    pub(super) started_at_ms: u64,
    /// The attempt.
    pub(super) run: BoxFuture<'static, Report>,
    /// Ends the attempt.
    pub(super) cancel: CancellationToken,
}

/// The calls that outlived their wait.
pub(super) struct Calls {
    /// Shared with the tasks that carry the calls on.
    shared: Arc<Shared>,
    /// One entry for each call that is carried on.
    tracker: TaskTracker,
}

struct Shared {
    /// Where the calls' ends are kept.
    store: Store,
    /// What ends each call, by task.
    running: Mutex<HashMap<TaskId, Running>>,
    /// Whether the grace of a shutdown is over: calls are killed then, and what the store does not take
    /// is left as it is, and found again at its next start.
    is_over: AtomicBool,
}

/// How a call is ended.
struct Running {
    /// Ends it.
    cancel: CancellationToken,
    /// Whether a client wants its end. A call that is killed without that goes back to the queue.
    is_unwanted: bool,
}

impl Calls {
    /// Must be called inside a tokio runtime.
    pub(super) fn new(store: Store) -> Self {
        let controls = store.controls();
        let shared = Arc::new(Shared { store, running: Mutex::default(), is_over: AtomicBool::new(false) });
        tokio::spawn(obey(Arc::downgrade(&shared), controls));
        Self { shared, tracker: TaskTracker::new() }
    }

    /// Stores the task of a running call and carries the call on until its end. Durable on return.
    ///
    /// # Errors
    /// The store's; the call is killed then.
    ///
    /// # Cancel safety
    /// Dropping the future changes nothing: what was stored is carried on.
    pub(super) async fn adopt(&self, call: Outliving) -> Result<(), store::Error> {
        let (stored, answer) = oneshot::channel();
        let shared = Arc::clone(&self.shared);
        // The handler's future is dropped when its client goes away; the call must not be.
        self.tracker.spawn(async move { shared.carry_on(call, stored).await });
        let gone = |_| Err(store::Error::Unavailable { reason: "the call's task failed".to_owned() });
        answer.await.unwrap_or_else(gone)
    }

    /// Ends a call; false when it is none of these. Its end is in the store soon after.
    pub(super) fn cancel(&self, task: TaskId) -> bool {
        self.shared.cancel(task)
    }

    /// Kills and requeues the calls that run, and waits until all have ended. One that outlives its
    /// wait only later is waited for by the next drain.
    pub(super) async fn drain(&self) {
        self.tracker.close();
        self.shared.is_over.store(true, Ordering::Release);
        for running in self.shared.running().values() {
            running.cancel.cancel();
        }
        self.tracker.wait().await;
    }
}

impl Shared {
    fn running(&self) -> std::sync::MutexGuard<'_, HashMap<TaskId, Running>> {
        // Nothing under the lock can panic half-way through a change.
        self.running.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn cancel(&self, task: TaskId) -> bool {
        let mut running = self.running();
        let Some(running) = running.get_mut(&task) else { return false };
        running.is_unwanted = true;
        running.cancel.cancel();
        true
    }

    async fn carry_on(&self, call: Outliving, stored: oneshot::Sender<Result<(), store::Error>>) {
        let id = call.task.id;
        // Before it is stored: whoever learns the id must be able to cancel it.
        self.running().insert(id, Running { cancel: call.cancel.clone(), is_unwanted: false });
        if self.is_over.load(Ordering::Acquire) {
            // Who kills the calls that run may have looked before this was one of them.
            call.cancel.cancel();
        }
        match self.store.adopt(call.task, call.started_at_ms).await {
            Ok(()) => {
                // The client may have left; the task is there all the same.
                let _ = stored.send(Ok(()));
                let report = call.run.await;
                self.end(id, report).await;
            }
            Err(error) => {
                // Nobody could ever ask for the result; dropping the run kills the process.
                drop(call.run);
                let _ = stored.send(Err(error));
            }
        }
        self.running().remove(&id);
    }

    async fn end(&self, id: TaskId, report: Report) {
        let is_unwanted = self.running().get(&id).is_some_and(|running| running.is_unwanted);
        let requeue = report.outcome == Outcome::Cancelled && !is_unwanted;
        let report = Arc::new(report);
        loop {
            let now_ms = unix_ms();
            let ended = match requeue {
                // As the dispatcher writes it of an attempt that a drain killed, which is nobody's fault.
                true => self.store.requeue(id, ONLY_ATTEMPT, Outcome::Cancelled, Spent::default(), now_ms).await,
                false => self.store.finish(id, ONLY_ATTEMPT, Arc::clone(&report), false, now_ms).await,
            };
            let Err(error) = ended else { return };
            tracing::error!(task_id = %id, error = &error as &dyn std::error::Error, "the end of a call is not stored yet");
            // At shutdown the store recovers the task itself at its next start.
            if self.is_over.load(Ordering::Acquire) {
                return;
            }
            tokio::time::sleep(FINISH_AGAIN).await;
        }
    }
}

/// Ends the calls that other gateways on the same store are asked to cancel.
async fn obey(calls: Weak<Shared>, mut controls: Receiver<Control>) {
    loop {
        match controls.recv().await {
            Ok(Control::Cancel(task)) => {
                let Some(calls) = calls.upgrade() else { return };
                calls.cancel(task);
            }
            // Whoever asked for what was missed is told that the call could not be ended, and asks again.
            Ok(Control::DrainWorker(_)) | Err(RecvError::Lagged(_)) => {}
            Err(RecvError::Closed) => return,
        }
    }
}
