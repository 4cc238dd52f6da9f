//! The driver over a real store. Attempts of this process are run by a stand-in that does what their input
//! says, those of remote workers by a script at the other end of a real link.

mod acknowledged;
mod hostile;
mod local;
mod packages;
mod remote;
mod restart;
mod scripted;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bulkhead_protocol::id::{FunctionId, PackageId, TaskId};
use bulkhead_protocol::limits::Limits;
use bulkhead_protocol::outcome::{Outcome, Report};
use bulkhead_protocol::task::{Attempt, Input, Task, TaskOptions, TaskState};
use bytes::Bytes;
use tempfile::TempDir;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use super::attempt::Run;
use super::driver::start_with;
use super::write::unix_ms;
use super::{Config, Handle, Mode};
use crate::executor::Call;
use crate::store::{NewFunction, Store, Submitted};

/// Longer than anything here takes, shorter than a test runner's patience.
const DEADLINE: Duration = Duration::from_secs(20);

/// The package of the one function.
const PACKAGE: &[u8] = b"never opened here";
const PACKAGE_ID: PackageId = PackageId([1; 32]);

/// What stands for the executor saw.
#[derive(Default)]
struct Seen {
    /// The calls in the order of their begin.
    calls: Mutex<Vec<Call>>,
    /// Calls that have not been reaped.
    running: AtomicUsize,
    /// Told whenever a call begins.
    begun: Notify,
}

impl Seen {
    fn attempts(&self, task: TaskId) -> Vec<Attempt> {
        let calls = self.calls.lock().unwrap();
        calls.iter().filter(|call| call.task == task).map(|call| call.attempt).collect()
    }

    /// Waits until `count` calls have begun.
    async fn begun(&self, count: usize) {
        let wait = async {
            loop {
                let notified = self.begun.notified();
                if self.calls.lock().unwrap().len() >= count {
                    return;
                }
                notified.await;
            }
        };
        tokio::time::timeout(DEADLINE, wait).await.expect("no call begins");
    }
}

/// A store, a function in it, a dispatcher over it.
struct Server {
    folder: TempDir,
    store: Store,
    function: FunctionId,
    seen: Arc<Seen>,
    dispatcher: Handle,
    driver: JoinHandle<()>,
}

/// One slot in this process.
fn config() -> Config {
    Config { seed: Some(1), mode: Mode::Local { slots: Some(1) }, ..Config::default() }
}

impl Server {
    async fn start(config: Config) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open_embedded(folder.path()).await.unwrap();
        let function = register(&store).await;
        Self::over(folder, store, function, config)
    }

    fn over(folder: TempDir, store: Store, function: FunctionId, config: Config) -> Self {
        let seen = Arc::new(Seen::default());
        let executor = matches!(config.mode, Mode::Local { .. }).then(|| (run(Arc::clone(&seen)), 1));
        let (dispatcher, driver) = start_with(store.clone(), executor, config).unwrap();
        Self { folder, store, function, seen, dispatcher, driver }
    }

    /// Ends the server and starts it again on the same folder.
    async fn restart(self, config: Config) -> Self {
        drop(self.dispatcher);
        self.driver.abort();
        let _ = self.driver.await;
        // A test may have closed it before.
        let _ = self.store.close().await;
        drop(self.store);
        let store = Store::open_embedded(self.folder.path()).await.unwrap();
        Self::over(self.folder, store, self.function, config)
    }

    async fn submit(&self, input: &str) -> TaskId {
        self.submit_with(input, TaskOptions::default()).await
    }

    async fn submit_with(&self, input: &str, options: TaskOptions) -> TaskId {
        self.submit_at(unix_ms(), input, options).await
    }

    async fn submit_at(&self, submitted_at_ms: u64, input: &str, options: TaskOptions) -> TaskId {
        let id = TaskId(uuid::Uuid::now_v7());
        let task = Task {
            id,
            function: self.function,
            function_name: "act".to_owned(),
            input: Input { bytes: input.as_bytes().to_vec(), ..Input::default() },
            options,
            submitted_at_ms,
        };
        assert_eq!(self.store.submit(vec![task]).await.unwrap(), [Submitted::Stored]);
        id
    }

    async fn end(&self, task: TaskId) -> TaskState {
        let state = self.store.wait(task, DEADLINE).await.unwrap().unwrap();
        assert!(state.status.is_terminal(), "{task} does not end: {state:?}");
        state
    }

    async fn drain(self) {
        self.dispatcher.drain(Duration::ZERO).await;
        tokio::time::timeout(DEADLINE, self.driver).await.expect("the driver does not end").unwrap();
        assert_eq!(self.seen.running.load(Ordering::Acquire), 0);
    }
}

async fn register(store: &Store) -> FunctionId {
    store.put_package(PACKAGE_ID, Bytes::from_static(PACKAGE)).await.unwrap();
    let function = NewFunction {
        name: "act".to_owned(),
        package: PACKAGE_ID,
        index: 0,
        entry: "act".to_owned(),
        limits: Limits::default(),
        isolation: bulkhead_protocol::function::Isolation::Fresh,
        description: "{\"name\": \"act\"}".to_owned(),
        registered_at_ms: unix_ms(),
    };
    store.register(vec![function]).await.unwrap()[0].function.id
}

/// Does what the input says.
fn run(seen: Arc<Seen>) -> Run {
    Arc::new(move |call, cancel| {
        let seen = Arc::clone(&seen);
        Box::pin(async move {
            seen.running.fetch_add(1, Ordering::AcqRel);
            seen.calls.lock().unwrap().push(call.clone());
            seen.begun.notify_waiters();
            let outcome = match &*call.input {
                b"hang" => {
                    cancel.cancelled().await;
                    Outcome::Cancelled
                }
                b"hang once" if call.attempt == 1 => {
                    cancel.cancelled().await;
                    Outcome::Cancelled
                }
                b"crash" => Outcome::Crashed { signal: "SIGSEGV".to_owned() },
                b"break the executor" => panic!("on purpose"),
                _ => Outcome::Succeeded,
            };
            let mut report = Report::without_process(outcome);
            if report.outcome.is_success() {
                report.result = call.input.to_vec();
            }
            seen.running.fetch_sub(1, Ordering::AcqRel);
            report
        })
    })
}
