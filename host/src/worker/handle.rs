//! Starting a worker and holding it.

use std::sync::Arc;
use std::time::Duration;

use bulkhead_protocol::id::WorkerId;
use bulkhead_protocol::worker_message::Hello;
use futures_util::FutureExt as _;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use uuid::Uuid;

use super::config::{Config, Error};
use super::fetches::Wanted;
use super::folders::Folders;
use super::package_cache::{PackageCache, Transfer, TransferError};
use super::packages_on_disk::PackagesOnDisk;
use super::run::Runs;
use super::session::{Command, Inlets, Session};
use crate::executor::{self, Executor};

/// Commands that wait for the session.
const MAX_COMMANDS: usize = 16;
/// Packages asked for that wait for the session; whoever asks for more waits.
const MAX_WANTED: usize = 256;
/// How long the sandboxes may take to end.
const LAST_REAPS: Duration = Duration::from_secs(10);

/// A worker that has joined its dispatcher. Dropping it ends it at once, as a crash would: the
/// dispatcher has what it had run again.
#[derive(Debug)]
pub struct Worker {
    /// Its id.
    id: WorkerId,
    /// To the session.
    commands: mpsc::Sender<Command>,
    /// The session.
    session: JoinHandle<()>,
    /// Whether the session was seen to its end.
    is_over: bool,
    /// What it runs attempts with, when that is its own.
    own: Option<Own>,
}

/// What ends with the worker.
pub(super) struct Own {
    /// Runs attempts.
    executor: Executor,
    /// Held locked until the executor has ended.
    _folders: Folders,
}

impl std::fmt::Debug for Own {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Own").finish_non_exhaustive()
    }
}

/// Starts a worker with an executor of its own, and waits until the dispatcher has welcomed it. Must
/// be called inside a tokio runtime.
///
/// # Errors
/// See [`Error`].
///
/// # Cancel safety
/// Dropping the future ends everything that was started.
pub async fn start(config: Config) -> Result<Worker, Error> {
    config.check()?;
    let folders = Folders::claim(&config.data)?;
    let (want, wanted) = mpsc::channel(MAX_WANTED);
    let disk = PackagesOnDisk::open(folders.packages.clone(), folders.temporary.clone(), config.cache_bytes);
    let packages = PackageCache::new(disk, over_session(want));
    let of_executor = executor::Config {
        slots: config.slots,
        cache: folders.libraries.clone(),
        runner: config.runner.clone(),
        floor: config.floor,
        allow_weaker_sandbox: config.allow_weaker_sandbox,
    };
    let executor = Executor::start(of_executor, packages.clone().into_fetch()).await?;
    let own = Own { executor: executor.clone(), _folders: folders };
    join(config, Runs::of(executor, move || packages.make_room()), wanted, Some(own)).await
}

/// Starts a worker over an executor that is somebody else's and gets its packages elsewhere, as in a
/// process that is dispatcher and worker at once. The executor stays when the worker ends.
///
/// # Errors
/// See [`Error`].
pub async fn start_with(config: Config, executor: Executor) -> Result<Worker, Error> {
    let (_, wanted) = mpsc::channel(1);
    join(config, Runs::of(executor, || false), wanted, None).await
}

/// Starts the session and waits until the worker has joined.
pub(super) async fn join(
    config: Config,
    runs: Runs,
    wanted: mpsc::Receiver<Wanted>,
    own: Option<Own>,
) -> Result<Worker, Error> {
    config.check()?;
    let (commands, of_session) = mpsc::channel(MAX_COMMANDS);
    let (joined, has_joined) = oneshot::channel();
    let id = WorkerId(Uuid::new_v4());
    let hello = Hello {
        worker: id,
        token: *Uuid::new_v4().as_bytes(),
        name: config.name.clone(),
        mode: config.mode,
        slots: config.slots,
        in_hand: Vec::new(),
    };
    let inlets = Inlets { commands: of_session, wanted, joined };
    let leave = config.leave.clone();
    let session = tokio::spawn(Session::new(config, hello, runs, inlets).work());
    let mut worker = Worker { id, commands, session, is_over: false, own };
    let has_joined = tokio::select! {
        has_joined = has_joined => has_joined,
        () = leave.cancelled() => {
            worker.drain(Duration::ZERO).await;
            return Err(Error::Left);
        }
    };
    match has_joined {
        Ok(Ok(())) => Ok(worker),
        Ok(Err(error)) => {
            worker.end().await;
            Err(error)
        }
        Err(_) => Err(Error::Failed),
    }
}

/// Has the session bring packages from the dispatcher.
pub(super) fn over_session(want: mpsc::Sender<Wanted>) -> Transfer {
    Arc::new(move |package| {
        let want = want.clone();
        async move {
            let (answer, answered) = oneshot::channel();
            let ended = |_| TransferError::Unavailable { reason: "the worker has ended".to_owned() };
            want.send(Wanted { package, answer }).await.map_err(|_| ended(()))?;
            answered.await.map_err(|_| ended(()))?
        }
        .boxed()
    })
}

impl Worker {
    /// Its id: random, and its own for as long as it lives.
    pub fn id(&self) -> WorkerId {
        self.id
    }

    /// Waits until the worker has left because its dispatcher asked it to; [`Worker::drain`] then ends
    /// what is left.
    ///
    /// # Errors
    /// [`Error::Failed`] when it ended by a panic.
    ///
    /// # Cancel safety
    /// May be called again after it was dropped.
    pub async fn left(&mut self) -> Result<(), Error> {
        if self.is_over {
            return Ok(());
        }
        let ended = (&mut self.session).await;
        self.is_over = true;
        ended.map_err(|_| Error::Failed)
    }

    /// Leaves: takes nothing more, gives back what has not begun, lets what runs finish within `grace`
    /// and kills the rest, and waits until the dispatcher knows of every end, up to 10 s. Then ends the
    /// worker's own executor. A worker that has left already only does the latter.
    pub async fn drain(mut self, grace: Duration) {
        // Fails when it has left.
        let _ = self.commands.send(Command::Drain { grace }).await;
        if let Err(error) = self.left().await {
            tracing::error!(error = &error as &dyn std::error::Error, "the worker did not leave in order");
        }
        self.end().await;
    }

    /// Ends what is the worker's own.
    async fn end(&mut self) {
        if let Some(own) = self.own.take()
            && tokio::time::timeout(LAST_REAPS, own.executor.shutdown(Duration::ZERO)).await.is_err()
        {
            tracing::error!("some sandboxes are not reaped; they end with this process");
        }
    }
}
