//! Runs attempts: keeps a sandboxed runner per function, forks children ahead, and turns every end
//! of a child into a typed outcome. Between dispatcher (or a synchronous call) and runner.

mod attest;
mod call;
mod cgroup;
mod floor;
mod host_ids;
mod hostile_slot;
mod library_cache;
mod open_files;
mod output;
mod packet_socket;
mod pool;
mod probe;
mod reactor;
mod runner;
mod slot;
mod slot_memory;
mod start;
mod syscall_name;
mod verdict;
mod warm_child;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bulkhead_protocol::function::Function;
use bulkhead_protocol::id::{PackageId, TaskId};
use bulkhead_protocol::task::{Attempt, Encoding};
use bytes::Bytes;
use futures_util::future::BoxFuture;

pub use bulkhead_protocol::task::Progress;
pub use floor::Floor;
#[doc(hidden)]
pub use hostile_slot::read_hostile_slot;
pub use open_files::TooFewOpenFiles;
pub(crate) use pool::find_runner;
pub use pool::{Executor, Inspected};
pub use probe::{
    CgroupReport, Check, Layer, LayerName, Machine, Report as SandboxReport, State, UserNamespaces, probe,
};

/// Where an executor gets a package that is not on its disk yet: the store in the one-process
/// server, the dispatcher link on a worker. `None`: no such package.
pub type FetchPackage = Arc<dyn Fn(PackageId) -> BoxFuture<'static, Result<Option<Bytes>, String>> + Send + Sync>;

/// How an executor is set up.
#[derive(Clone, Debug)]
pub struct Config {
    /// Attempts that run at once.
    pub slots: u32,
    /// Folder for unpacked libraries; made when missing.
    pub cache: PathBuf,
    /// The runner's executable; `None`: `bulkhead-runner` beside the current executable.
    pub runner: Option<PathBuf>,
    /// How much of the sandbox must hold.
    pub floor: Floor,
    /// Start even where layers are below the floor.
    pub allow_weaker_sandbox: bool,
}

/// One attempt to run.
#[derive(Clone, Debug)]
pub struct Call {
    /// The task.
    pub task: TaskId,
    /// Which try.
    pub attempt: Attempt,
    /// What to run.
    pub function: Arc<Function>,
    /// How the input is written.
    pub encoding: Encoding,
    /// The input.
    pub input: Bytes,
    /// Wall time, when the task asks for less or more than the function's limit.
    pub timeout: Option<Duration>,
    /// The function's configuration: a JSON object, or empty.
    pub config: Bytes,
}

/// Why an executor could not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The runner's executable is missing.
    #[error("failed to find the runner at {path}: build it with `cargo build` or name it with --runner")]
    NoRunner {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// The cache folder cannot be used.
    #[error("failed to use the cache folder {path}")]
    Cache {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// No sandbox can be built here.
    #[error("no sandbox can be built on this machine. Missing: {missing}")]
    NoSandbox {
        /// The layer, and why.
        missing: String,
        /// What to do about it.
        advice: String,
    },
    /// Runners cannot be allowed the open files that they need.
    #[error("failed to find room for {slots} slots")]
    OpenFiles {
        /// The slots.
        slots: u32,
        /// The limit, and what is needed.
        #[source]
        source: TooFewOpenFiles,
    },
    /// The sandbox does not reach its floor here.
    #[error("the sandbox is below its floor ({}) on this machine. Missing: {missing}", floor.as_str())]
    WeakSandbox {
        /// The floor.
        floor: Floor,
        /// The layer, and why.
        missing: String,
        /// What to do about it.
        advice: String,
    },
}

impl Error {
    /// What to do about it, where that is known.
    pub fn advice(&self) -> Option<String> {
        match self {
            Self::NoRunner { .. } | Self::Cache { .. } | Self::OpenFiles { .. } => None,
            Self::NoSandbox { advice, .. } => Some(format!("{advice}. `bulkhead doctor` shows every layer")),
            Self::WeakSandbox { advice, .. } => Some(format!(
                "{advice}. `bulkhead doctor` shows every layer; --sandbox-floor sets a lower floor, and \
                 --allow-weaker-sandbox starts anyway"
            )),
        }
    }
}

/// Why an executor cannot get a function ready, though nothing is wrong with the function: its library
/// cannot be written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct NoRoom {
    /// Why, with all causes.
    pub reason: String,
}

/// Why a package could not be asked for its functions.
#[derive(Debug, thiserror::Error)]
pub enum InspectError {
    /// It does not load, or what it says of itself is no description.
    #[error("{reason}")]
    Refused {
        /// Why, for the author.
        reason: String,
    },
    /// There is no room for its library.
    #[error("failed to inspect the package: {0}")]
    NoRoom(NoRoom),
    /// The platform failed, not the package.
    #[error("failed to inspect the package: {reason}")]
    Platform {
        /// Why.
        reason: String,
    },
}
