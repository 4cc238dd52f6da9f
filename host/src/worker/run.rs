//! What runs attempts: an executor, or what stands for one in tests.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use bulkhead_protocol::function::Function;
use bulkhead_protocol::id::TaskId;
use bulkhead_protocol::outcome::{Outcome, Report};
use bulkhead_protocol::task::Progress;
use bulkhead_protocol::worker_message::Assignment;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use tokio_util::sync::CancellationToken;

use crate::executor::{Call, Executor, NoRoom};

/// Runs a call until its process is reaped.
type Run = Arc<dyn Fn(Call, CancellationToken) -> BoxFuture<'static, Report> + Send + Sync>;
/// What the running attempt of a task last said of its progress.
type LastProgress = Arc<dyn Fn(TaskId) -> Option<Progress> + Send + Sync>;

/// Whether an attempt of a function can begin at once.
type IsWarm = Arc<dyn Fn(&Function) -> bool + Send + Sync>;
/// Gets a function ready that is not warm.
type GetReady = Arc<dyn Fn(Arc<Function>) -> BoxFuture<'static, Result<(), NoRoom>> + Send + Sync>;

/// What runs attempts.
#[derive(Clone)]
pub(super) struct Runs {
    /// Whether one can begin.
    pub(super) is_warm: IsWarm,
    /// Does what must be done before one can.
    pub(super) get_ready: GetReady,
    /// Runs one.
    pub(super) run: Run,
    /// Looks at one.
    pub(super) progress: LastProgress,
}

impl Runs {
    /// An executor. What it needs on disk may take the place of what `make_room` removes; that says
    /// whether there was anything.
    pub(super) fn of(executor: Executor, make_room: impl Fn() -> bool + Send + Sync + 'static) -> Self {
        let (warm, cold, runs) = (executor.clone(), executor.clone(), executor.clone());
        let make_room = Arc::new(make_room);
        let get_ready: GetReady = Arc::new(move |function| {
            let (executor, make_room) = (cold.clone(), make_room.clone());
            Box::pin(async move {
                loop {
                    let ready = executor.get_ready(&function).await;
                    let make_room = make_room.clone();
                    let again = async || tokio::task::spawn_blocking(move || make_room()).await.unwrap_or(false);
                    if ready.is_ok() || !again().await {
                        return ready;
                    }
                }
            })
        });
        let run: Run = Arc::new(move |call, cancel| {
            let executor = runs.clone();
            Box::pin(async move { executor.run(call, cancel).await })
        });
        Self {
            is_warm: Arc::new(move |function| warm.is_warm(function.id)),
            get_ready,
            run,
            progress: Arc::new(move |task| executor.progress(task)),
        }
    }

    /// Runs an attempt. Whatever happens, it ends with a report.
    pub(super) fn attempt(
        &self,
        assignment: Assignment,
        cancel: CancellationToken,
    ) -> impl Future<Output = Report> + use<> {
        let run = self.run.clone();
        let attempt = async move { run(call_of(assignment), cancel).await };
        // What panics is logged by the hook.
        AssertUnwindSafe(attempt).catch_unwind().map(|ended| {
            ended.unwrap_or_else(|_| {
                Report::without_process(Outcome::SetupFailed { step: "run the attempt".to_owned(), errno: 0 })
            })
        })
    }
}

/// The same as the executor takes it.
fn call_of(assignment: Assignment) -> Call {
    let Assignment { id, function, config, timeout_ms, input } = assignment;
    Call {
        task: id.task,
        attempt: id.attempt,
        function: Arc::new(function),
        encoding: input.encoding,
        input: input.bytes.into(),
        timeout: timeout_ms.map(Duration::from_millis),
        config: config.into(),
    }
}
