//! The executor itself: slots for the whole process, a runner per function kept warm, and the
//! choice between them by isolation.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use bulkhead_protocol::function::{Function, Isolation, PackageDescription};
use bulkhead_protocol::id::{FunctionId, PackageId, TaskId};
use bulkhead_protocol::limits::{Limits, MAX_DESCRIPTION_BYTES};
use bulkhead_protocol::outcome::{Outcome, Report};
use bytes::Bytes;
use tokio::sync::{OnceCell, OwnedSemaphorePermit, Semaphore, oneshot};
use tokio_util::sync::CancellationToken;

use super::cgroup::Cgroups;
use super::floor;
use super::host_ids::HostIdPool;
use super::library_cache::{self, Candidate, Library, LibraryCache};
use super::open_files;
use super::runner::{Runner, next_name};
use super::slot_memory::SlotMemory;
use super::start::{Launcher, Purpose};
use super::{Call, Config, Error, FetchPackage, InspectError, NoRoom, Progress};
use crate::full_disk::is_full;

/// The runner's file name, beside the executable that starts it.
const RUNNER: &str = "bulkhead-runner";
/// Runners that are kept at most; the one that was idle for longest gives way.
const MAX_RUNNERS: usize = 64;
/// How long a runner is kept without a call.
const IDLE_TIMEOUT: Duration = Duration::from_secs(600);
/// How often warm children are looked at between their calls.
const BETWEEN_RESTS: Duration = Duration::from_secs(2);
/// How long a package may take to say which functions it has.
const DESCRIBE_TIMEOUT: Duration = Duration::from_secs(10);

/// Runs attempts in sandboxed runners. Cheap to clone; all clones are one executor.
#[derive(Clone)]
pub struct Executor {
    shared: Arc<Shared>,
}

/// A library that was asked for its functions; its file goes with this value.
pub struct Inspected {
    /// What it says of itself.
    pub description: PackageDescription,
    candidate: Candidate,
}

struct Shared {
    launcher: Launcher,
    libraries: LibraryCache,
    /// As many permits as attempts may run at once.
    slots: Arc<Semaphore>,
    slot_count: u32,
    /// Warm runners, by function.
    runners: Mutex<HashMap<FunctionId, Place>>,
    /// The slots of running attempts, by task.
    running: Mutex<HashMap<TaskId, Arc<SlotMemory>>>,
    /// Cancelled when no more calls are taken and those that run are to be killed.
    stop: CancellationToken,
}

/// The place for a function's runner: its start is awaited by all calls that need it, and its failure
/// is the answer to all of them, or they would try one after the other, each with a slot in its hands.
type Place = Arc<OnceCell<Result<Arc<Runner>, Outcome>>>;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing panics while it holds one of these locks; were it to, the maps are still whole.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Executor {
    /// Starts an executor. Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn start(config: Config, packages: FetchPackage) -> Result<Self, Error> {
        let runner = find_runner(config.runner)?;
        let libraries = LibraryCache::open(&config.cache, packages)
            .map_err(|source| Error::Cache { path: config.cache.clone(), source })?;
        let launcher = Launcher { runner, cgroups: Cgroups::detect(), ids: HostIdPool::of_process() };
        // What most functions have; one that has more is refused when it is called.
        open_files::check(config.slots, Limits::default().open_files)
            .map_err(|source| Error::OpenFiles { slots: config.slots, source })?;
        floor::check(&launcher, config.floor, config.allow_weaker_sandbox).await?;
        let shared = Arc::new(Shared {
            launcher,
            libraries,
            slots: Arc::new(Semaphore::new(config.slots as usize)),
            slot_count: config.slots,
            runners: Mutex::default(),
            running: Mutex::default(),
            stop: CancellationToken::new(),
        });
        tokio::spawn(end_idle_runners(Arc::downgrade(&shared)));
        Ok(Self { shared })
    }

    /// Asks a library for its functions, in a sandbox of its own that is gone afterwards.
    ///
    /// # Errors
    /// See [`InspectError`].
    pub async fn inspect(&self, library: Bytes) -> Result<Inspected, InspectError> {
        let candidate = self.shared.libraries.propose(library).await.map_err(inspect_error)?;
        let description = self.describe(candidate.library()).await?;
        Ok(Inspected { description, candidate })
    }

    /// Keeps a library that was inspected as that of a package, for its first call. Without this it is unpacked then.
    ///
    /// # Errors
    /// [`NoRoom`] when it cannot be written.
    pub async fn keep(&self, package: PackageId, inspected: Inspected) -> Result<(), NoRoom> {
        let kept = self.shared.libraries.accept(package, inspected.candidate).await;
        kept.map_err(|error| NoRoom { reason: chain(&error) })
    }

    async fn describe(&self, library: &Library) -> Result<PackageDescription, InspectError> {
        let limits = Limits::default();
        let runner = self.shared.start_runner(library, &limits, false, 1).await.map_err(refused)?;
        let described = runner.describe(DESCRIBE_TIMEOUT).await;
        runner.end().await;
        let described = described.map_err(refused)?;
        if described.len() as u64 > MAX_DESCRIPTION_BYTES {
            let reason = format!(
                "the package describes itself in {} bytes, the limit is {MAX_DESCRIPTION_BYTES}",
                described.len()
            );
            return Err(InspectError::Refused { reason });
        }
        serde_json::from_slice(&described).map_err(|error| InspectError::Refused {
            reason: format!("what the package says of itself cannot be read: {error}"),
        })
    }

    /// Whether a function has a runner, so that its next attempt needs nothing from the disk. Never for
    /// functions that have a runner for each attempt.
    pub fn is_warm(&self, function: FunctionId) -> bool {
        lock(&self.shared.runners).get(&function).and_then(runner_in).is_some_and(|runner| runner.is_usable())
    }

    /// Puts a function's library in its place, so that what is left to go wrong is the function's or the
    /// sandbox's, and is told by [`Executor::run`].
    ///
    /// # Errors
    /// [`NoRoom`] when the library cannot be written.
    pub async fn get_ready(&self, function: &Function) -> Result<(), NoRoom> {
        match self.shared.libraries.get(function.package).await {
            Err(error @ library_cache::Error::Write { .. }) => Err(NoRoom { reason: chain(&error) }),
            _ => Ok(()),
        }
    }

    /// Runs one attempt: waits for a free slot, runs, reaps, reports. Cancelling `cancel` kills the
    /// process; the report (`Cancelled`) comes after it was reaped.
    ///
    /// # Cancel safety
    /// Dropping the future kills and reaps the process in the background.
    pub async fn run(&self, call: Call, cancel: CancellationToken) -> Report {
        // The attempt has a task of its own, so that it is seen to its end whatever becomes of the
        // caller; the guard tells it when the caller is gone.
        let cancel = cancel.child_token();
        let _guard = cancel.clone().drop_guard();
        let (answer, answered) = oneshot::channel();
        tokio::spawn(self.shared.clone().attempt(call, cancel, answer));
        answered.await.unwrap_or_else(|_| {
            Report::without_process(Outcome::SetupFailed { step: "run the attempt".to_owned(), errno: 0 })
        })
    }

    /// Attempts that can run at once.
    pub fn slots(&self) -> u32 {
        self.shared.slot_count
    }

    /// What the running attempt of a task last said of its progress.
    pub fn progress(&self, task: TaskId) -> Option<Progress> {
        let memory = lock(&self.shared.running).get(&task).cloned()?;
        memory.progress()
    }

    /// Takes no more calls, lets the running ones finish within `grace`, kills the rest, and ends
    /// every runner. Returns when all are reaped.
    pub async fn shutdown(&self, grace: Duration) {
        let all = self.shared.slots.acquire_many(self.shared.slot_count);
        if tokio::time::timeout(grace, all).await.is_err() {
            self.shared.stop.cancel();
            let _ = self.shared.slots.acquire_many(self.shared.slot_count).await;
        }
        self.shared.slots.close();
        let runners: Vec<_> = lock(&self.shared.runners).drain().map(|(_, cell)| cell).collect();
        let runners: Vec<_> = runners.iter().filter_map(runner_in).collect();
        futures_util::future::join_all(runners.iter().map(|runner| runner.end())).await;
        self.shared.launcher.cgroups.close();
    }
}

impl Shared {
    /// One attempt, from waiting for a slot to giving it back.
    async fn attempt(self: Arc<Self>, call: Call, cancel: CancellationToken, answer: oneshot::Sender<Report>) {
        let permit = tokio::select! {
            biased;
            () = cancel.cancelled() => None,
            () = self.stop.cancelled() => None,
            permit = self.slots.clone().acquire_owned() => permit.ok(),
        };
        let Some(permit) = permit else {
            let _ = answer.send(Report::without_process(Outcome::Cancelled));
            return;
        };
        // Linked, so that a shutdown past its grace reaches the call too.
        let stop = self.stop.clone();
        let on_stop = cancel.clone();
        let linked = async move {
            stop.cancelled().await;
            on_stop.cancel();
        };
        tokio::select! {
            () = self.run_with_permit(call, &cancel, answer, permit) => {}
            // Never ends the attempt: it only passes the wish on.
            () = async { linked.await; std::future::pending().await } => {}
        }
    }

    async fn run_with_permit(
        &self,
        call: Call,
        cancel: &CancellationToken,
        answer: oneshot::Sender<Report>,
        permit: OwnedSemaphorePermit,
    ) {
        let runner = match self.runner_for(&call.function).await {
            Ok(runner) => runner,
            Err(outcome) => {
                let _ = answer.send(Report::without_process(outcome));
                return;
            }
        };
        if cancel.is_cancelled() {
            let _ = answer.send(Report::without_process(Outcome::Cancelled));
            if call.function.isolation == Isolation::Exec {
                runner.end().await;
            }
            return;
        }
        let task = call.task;
        let watch = |memory: &Arc<SlotMemory>| drop(lock(&self.running).insert(task, memory.clone()));
        let (report, slot) = runner.run(&call, cancel, watch).await;
        lock(&self.running).remove(&task);
        let _ = answer.send(report);
        if call.function.isolation == Isolation::Exec {
            runner.end().await;
        } else if let Some(slot) = slot {
            // Whoever waits for the answer goes first.
            tokio::task::yield_now().await;
            runner.put_back(slot).await;
            runner.fork_ahead().await;
        }
        drop(permit);
    }

    async fn runner_for(&self, function: &Function) -> Result<Arc<Runner>, Outcome> {
        if function.isolation == Isolation::Exec {
            let library = self.libraries.get(function.package).await.map_err(unavailable)?;
            return self.start_runner(&library, &function.limits, false, 1).await.map(Arc::new);
        }
        let place = self.place(function.id);
        let started = place.get_or_init(|| async {
            self.make_room().await;
            let library = self.libraries.get(function.package).await.map_err(unavailable)?;
            let reuse = function.isolation == Isolation::Reuse;
            let runner = self.start_runner(&library, &function.limits, reuse, self.slot_count).await.map(Arc::new)?;
            if reuse {
                tokio::spawn(end_restless_children(self.slots.clone(), Arc::downgrade(&runner)));
            }
            Ok(runner)
        });
        let started = started.await.clone();
        if started.is_err() {
            self.clear(function.id, &place);
        }
        started
    }

    /// The place for a function's runner, a new one where the old runner is of no use any more.
    fn place(&self, function: FunctionId) -> Place {
        let mut runners = lock(&self.runners);
        let place = runners.entry(function).or_default();
        if place.get().is_some_and(|started| started.as_ref().map_or(true, |runner| !runner.is_usable())) {
            *place = Arc::default();
        }
        place.clone()
    }

    /// Removes the place of a runner that did not start, so that the next call tries again.
    fn clear(&self, function: FunctionId, failed: &Place) {
        let mut runners = lock(&self.runners);
        if runners.get(&function).is_some_and(|place| Arc::ptr_eq(place, failed)) {
            runners.remove(&function);
        }
    }

    async fn start_runner(
        &self,
        library: &Library,
        limits: &Limits,
        reuse: bool,
        slots: u32,
    ) -> Result<Runner, Outcome> {
        let purpose = Purpose { library, limits, reuse, slots, name: &next_name() };
        let started = self.launcher.start(purpose).await?;
        Ok(Runner::new(started, limits.clone(), reuse, slots))
    }

    /// Ends the runners that were idle for longest while there are too many.
    async fn make_room(&self) {
        while let Some(runner) = self.take_superfluous() {
            runner.end().await;
        }
    }

    fn take_superfluous(&self) -> Option<Arc<Runner>> {
        let mut runners = lock(&self.runners);
        if runners.len() <= MAX_RUNNERS {
            return None;
        }
        let idle = runners.iter().filter_map(|(id, place)| Some((*id, idle_for(place)?)));
        let (id, _) = idle.max_by_key(|(_, idle)| *idle)?;
        runner_in(&runners.remove(&id)?)
    }
}

fn runner_in(place: &Place) -> Option<Arc<Runner>> {
    place.get()?.as_ref().ok().cloned()
}

/// How long a runner was without a call; `None` for one that has a call, or is still starting.
fn idle_for(place: &Place) -> Option<Duration> {
    let runner = place.get()?.as_ref().ok()?;
    // The map's own reference is the only one where nobody runs a call.
    (Arc::strong_count(runner) == 1 && Arc::strong_count(place) == 1).then(|| runner.idle_for())
}

/// Ends runners that were idle for long. One timer; none of it runs while there are no runners to
/// look at, but for a wake-up every [`IDLE_TIMEOUT`].
async fn end_idle_runners(shared: Weak<Shared>) {
    loop {
        tokio::time::sleep(IDLE_TIMEOUT).await;
        let Some(shared) = shared.upgrade() else { return };
        let ended: Vec<_> = {
            let mut runners = lock(&shared.runners);
            runners.extract_if(|_, place| idle_for(place).is_some_and(|idle| idle >= IDLE_TIMEOUT)).collect()
        };
        for runner in ended.iter().filter_map(|(_, place)| runner_in(place)) {
            runner.end().await;
        }
    }
}

/// Looks at a runner's warm children between their calls, as long as there is the runner.
async fn end_restless_children(slots: Arc<Semaphore>, runner: Weak<Runner>) {
    loop {
        tokio::time::sleep(BETWEEN_RESTS).await;
        // Closed when the executor ends.
        let Ok(_room) = slots.acquire().await else { return };
        let Some(runner) = runner.upgrade() else { return };
        runner.end_restless().await;
    }
}

/// The runner's executable: the one that was named, or the one beside this executable.
pub(crate) fn find_runner(named: Option<PathBuf>) -> Result<PathBuf, Error> {
    let path = named.unwrap_or_else(|| {
        let own = std::env::current_exe().unwrap_or_default();
        own.with_file_name(RUNNER)
    });
    if path.is_file() { Ok(path) } else { Err(Error::NoRunner { path }) }
}

/// A package that cannot be had is the platform's fault; one that cannot be loaded is its own.
fn unavailable(error: library_cache::Error) -> Outcome {
    let reason = chain(&error);
    match error {
        library_cache::Error::Fetch { .. } | library_cache::Error::Write { .. } => {
            Outcome::SetupFailed { step: format!("get the package ready: {reason}"), errno: 0 }
        }
        _ => Outcome::LoadFailed { reason },
    }
}

fn inspect_error(error: library_cache::Error) -> InspectError {
    let reason = chain(&error);
    match error {
        library_cache::Error::Package(_) | library_cache::Error::Refused(_) => InspectError::Refused { reason },
        library_cache::Error::Write { source, .. } if is_full(&source) => InspectError::NoRoom(NoRoom { reason }),
        _ => InspectError::Platform { reason },
    }
}

fn refused(outcome: Outcome) -> InspectError {
    match outcome {
        Outcome::LoadFailed { reason } => InspectError::Refused { reason },
        Outcome::SetupFailed { step, errno } => {
            let error = std::io::Error::from_raw_os_error(errno);
            InspectError::Platform { reason: format!("failed to {step}: {error}") }
        }
        other => InspectError::Refused {
            reason: format!("the package could not say which functions it has: {}", other.kind()),
        },
    }
}

/// An error with its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
