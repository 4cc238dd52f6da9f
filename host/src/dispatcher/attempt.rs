//! One attempt, from the function's record to the report.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bulkhead_protocol::function::Function;
use bulkhead_protocol::id::FunctionId;
use bulkhead_protocol::outcome::{Outcome, Report};
use bulkhead_protocol::task::{Attempt as Number, Task};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use tokio_util::sync::CancellationToken;

use super::write::unix_ms;
use crate::executor::Call;
use crate::store::Store;

/// First and longest wait before a store that does not answer is asked again.
const ASK_AGAIN: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// Runs a call until its process is reaped: the executor, or what stands for it in tests.
pub(super) type Run = Arc<dyn Fn(Call, CancellationToken) -> BoxFuture<'static, Report> + Send + Sync>;

/// An attempt to run.
pub(super) struct Attempt {
    /// Knows the function, and is told of the start.
    pub(super) store: Store,
    /// Runs it.
    pub(super) run: Run,
    /// Configuration by function name.
    pub(super) function_configs: Arc<HashMap<String, Bytes>>,
    /// The task.
    pub(super) task: Arc<Task>,
    /// Which try.
    pub(super) number: Number,
    /// Kills it.
    pub(super) cancel: CancellationToken,
}

/// The input of a task as the executor takes it, without a copy.
struct TaskInput(Arc<Task>);

impl AsRef<[u8]> for TaskInput {
    fn as_ref(&self) -> &[u8] {
        &self.0.input.bytes
    }
}

impl Attempt {
    /// Runs it. Returns when its process is reaped and the store was told of its start, so that
    /// whatever is written next of the task comes after that.
    pub(super) async fn run(self) -> Report {
        let function = match self.function().await {
            Ok(function) => function,
            Err(outcome) => return Report::without_process(outcome),
        };
        let call = Call {
            task: self.task.id,
            attempt: self.number,
            config: self.function_configs.get(&function.name).cloned().unwrap_or_default(),
            function,
            encoding: self.task.input.encoding,
            input: Bytes::from_owner(TaskInput(Arc::clone(&self.task))),
            timeout: self.task.options.timeout_ms.map(Duration::from_millis),
        };
        let run = (self.run)(call, self.cancel.clone());
        let (report, ()) = tokio::join!(run, self.tell_start());
        report
    }

    /// The function's record. A store that does not answer is no failure of the attempt: it is
    /// asked until it does.
    async fn function(&self) -> Result<Arc<Function>, Outcome> {
        let id: FunctionId = self.task.function;
        let (mut wait, longest) = ASK_AGAIN;
        loop {
            let error = match self.store.function(id).await {
                Ok(Some(function)) => return Ok(function),
                Ok(None) => {
                    let name = &self.task.function_name;
                    let reason = format!("{name} ({id}) was deleted after the task was submitted");
                    return Err(Outcome::LoadFailed { reason });
                }
                Err(error) => error,
            };
            tracing::warn!(function_id = %id, error = &error as &dyn std::error::Error, "the function is not known yet");
            let cancelled = self.cancel.cancelled();
            if tokio::time::timeout(wait, cancelled).await.is_ok() {
                return Err(Outcome::Cancelled);
            }
            wait = (2 * wait).min(longest);
        }
    }

    /// Tells the store that the attempt began, for those who look; nothing depends on it.
    async fn tell_start(&self) {
        if let Err(error) = self.store.started(self.task.id, self.number, unix_ms()).await {
            tracing::warn!(
                task_id = %self.task.id, attempt = self.number, error = &error as &dyn std::error::Error,
                "the start of an attempt was not stored"
            );
        }
    }
}
