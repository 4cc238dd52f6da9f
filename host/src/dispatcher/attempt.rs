//! One attempt on the executor of this process, from the function's record to the report.

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

use crate::executor::Call;
use crate::store::Store;
use crate::telemetry::stage::{self, Stage};

/// First and longest wait before a store that does not answer is asked again.
const ASK_AGAIN: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// Runs a call until its process is reaped: the executor, or what stands for it in tests.
pub(super) type Run = Arc<dyn Fn(Call, CancellationToken) -> BoxFuture<'static, Report> + Send + Sync>;

/// An attempt to run.
pub(super) struct Attempt {
    /// Knows the function.
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
    /// Runs it. Returns when its process is reaped.
    pub(super) async fn run(self) -> Report {
        let id = self.task.id;
        stage::reached(Stage::Begun, id);
        let report = self.run_to_end().await;
        stage::reached(Stage::Reported, id);
        report
    }

    async fn run_to_end(self) -> Report {
        let function = tokio::select! {
            function = find_function(&self.store, self.task.function) => function,
            () = self.cancel.cancelled() => return Report::without_process(Outcome::Cancelled),
        };
        let Some(function) = function else { return Report::without_process(deleted(&self.task)) };
        let call = Call {
            task: self.task.id,
            attempt: self.number,
            config: self.function_configs.get(&function.name).cloned().unwrap_or_default(),
            function,
            encoding: self.task.input.encoding,
            input: Bytes::from_owner(TaskInput(Arc::clone(&self.task))),
            timeout: self.task.options.timeout_ms.map(Duration::from_millis),
        };
        (self.run)(call, self.cancel.clone()).await
    }
}

/// A function's record; none when it was deleted. A store that does not answer is no failure of the
/// attempt: it is asked until it does.
pub(super) async fn find_function(store: &Store, id: FunctionId) -> Option<Arc<Function>> {
    let (mut wait, longest) = ASK_AGAIN;
    loop {
        let error = match store.function(id).await {
            Ok(function) => return function,
            Err(error) => error,
        };
        tracing::warn!(function_id = %id, error = &error as &dyn std::error::Error, "the function is not known yet");
        tokio::time::sleep(wait).await;
        wait = (2 * wait).min(longest);
    }
}

/// How an attempt ends whose function is gone.
pub(super) fn deleted(task: &Task) -> Outcome {
    let reason = format!("{} ({}) was deleted after the task was submitted", task.function_name, task.function);
    Outcome::LoadFailed { reason }
}
