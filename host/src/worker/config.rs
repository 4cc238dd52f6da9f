//! How a worker is set up, and why it does not start.

use std::path::PathBuf;
use std::time::Duration;

use bulkhead_protocol::runner_message::MAX_SLOTS;
use bulkhead_protocol::worker_message::{MAX_WORKER_NAME_BYTES, WorkerMode};
use tokio_util::sync::CancellationToken;

use super::folders;
use crate::executor::{self, Floor};
use crate::link::{ConnectError, Endpoint, JoinKey};

/// Bytes of packages that a worker keeps on disk, unless it is told otherwise: 4 GiB.
pub const DEFAULT_CACHE_BYTES: u64 = 4 * 1024 * 1024 * 1024;
/// How long a worker that starts waits for its dispatcher, unless it is told otherwise.
pub const DEFAULT_CONNECT_WAIT: Duration = Duration::from_secs(300);

/// How a worker is set up.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where the dispatcher listens.
    pub endpoint: Endpoint,
    /// Seals the link; must be the dispatcher's.
    pub join_key: Option<JoinKey>,
    /// How it gets its tasks.
    pub mode: WorkerMode,
    /// Attempts that run at once, 1 to [`MAX_SLOTS`].
    pub slots: u32,
    /// A name for people, 1 to [`MAX_WORKER_NAME_BYTES`] bytes without control characters.
    pub name: String,
    /// Folder for packages and unpacked libraries; made when missing. Several workers may share it.
    /// Unused by [`super::start_with`].
    pub data: PathBuf,
    /// Bytes of packages that are kept in it.
    pub cache_bytes: u64,
    /// The runner's executable; `None`: `bulkhead-runner` beside the current executable.
    pub runner: Option<PathBuf>,
    /// Start even where layers of the sandbox are missing.
    pub allow_weaker_sandbox: bool,
    /// How much of the sandbox must hold.
    pub floor: Floor,
    /// How long to wait for the dispatcher at the start. Once it was there, it is waited for without
    /// an end.
    pub connect_wait: Duration,
    /// Cancelled when it is to leave before it has joined. A worker that has joined leaves by
    /// [`super::Worker::drain`].
    pub leave: CancellationToken,
}

impl Config {
    /// A worker with defaults for all that has one; its name is the host's.
    pub fn new(endpoint: Endpoint, mode: WorkerMode, slots: u32, data: PathBuf) -> Self {
        Self {
            endpoint,
            join_key: None,
            mode,
            slots,
            name: host_name(),
            data,
            cache_bytes: DEFAULT_CACHE_BYTES,
            runner: None,
            allow_weaker_sandbox: false,
            floor: Floor::default(),
            connect_wait: DEFAULT_CONNECT_WAIT,
            leave: CancellationToken::new(),
        }
    }

    /// Checks what the types do not say.
    ///
    /// # Errors
    /// [`Error::Slots`] and [`Error::Name`].
    pub(super) fn check(&self) -> Result<(), Error> {
        if !(1..=MAX_SLOTS).contains(&self.slots) {
            return Err(Error::Slots { slots: self.slots });
        }
        if !is_name(&self.name) {
            return Err(Error::Name);
        }
        Ok(())
    }
}

/// Whether a dispatcher takes it for a name.
fn is_name(name: &str) -> bool {
    (1..=MAX_WORKER_NAME_BYTES).contains(&name.len()) && !name.chars().any(char::is_control)
}

/// The name of this machine.
fn host_name() -> String {
    let name = nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok());
    name.filter(|name| is_name(name)).unwrap_or_else(|| "worker".to_owned())
}

/// Why a worker did not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It has no slots, or more than an executor can have.
    #[error("a worker has 1 to {MAX_SLOTS} slots, not {slots}")]
    Slots {
        /// How many were asked for.
        slots: u32,
    },
    /// Its name is empty, too long, or not for people to read.
    #[error("a worker's name has 1 to {MAX_WORKER_NAME_BYTES} bytes and no control characters")]
    Name,
    /// Its folder cannot be used.
    #[error(transparent)]
    Folder(#[from] folders::Error),
    /// Its executor did not start.
    #[error(transparent)]
    Executor(#[from] executor::Error),
    /// The dispatcher cannot be worked with, and waiting would not help.
    #[error("failed to join the dispatcher at {endpoint}")]
    Connect {
        /// Where.
        endpoint: Endpoint,
        /// Why.
        #[source]
        source: ConnectError,
    },
    /// The dispatcher refused the worker.
    #[error("the dispatcher at {endpoint} refused this worker: {reason}")]
    Refused {
        /// Where.
        endpoint: Endpoint,
        /// In the dispatcher's words.
        reason: String,
    },
    /// The dispatcher was not there in time.
    #[error("gave up waiting for the dispatcher at {endpoint} after {}", humantime::format_duration(*waited))]
    GaveUp {
        /// Where.
        endpoint: Endpoint,
        /// How long it was waited for.
        waited: Duration,
        /// What the last try came to.
        #[source]
        source: ConnectError,
    },
    /// It was asked to leave before it had joined; nothing of it is left.
    #[error("the worker was asked to leave before it had joined")]
    Left,
    /// The session ended by a panic, which the log tells of.
    #[error("the worker's session failed; the log says why")]
    Failed,
}
