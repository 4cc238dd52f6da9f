//! A process that serves: how it begins, what it waits for, and the order in which its parts end.

use std::time::Duration;

use anyhow::Context as _;
use tokio_util::sync::CancellationToken;
use toml::Table;

use super::args::CommonArgs;
use super::dispatching::Dispatching;
use super::executor::OwnExecutor;
use super::front::Front;
use super::open_files;
use crate::config::{self, Config};
use crate::store::Store;
use crate::{shutdown, telemetry};

/// How long after the grace what was killed may take to be reaped, and its end to be stored. A sandbox
/// that is just being started takes up to 10 s; a store that does not answer may take for ever.
const LAST_WRITES: Duration = Duration::from_secs(20);
/// How long Redis may take to hear that this process ends.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// A process that serves.
pub(in crate::cli) struct Process {
    /// How it is set up.
    pub(in crate::cli) config: Config,
    /// Cancelled when it is to end.
    pub(in crate::cli) requested: CancellationToken,
}

/// What runs in a process.
pub(in crate::cli) struct Parts {
    /// Remembers.
    pub(in crate::cli) store: Store,
    /// Answers requests.
    pub(in crate::cli) front: Option<Front>,
    /// Hands out queued tasks.
    pub(in crate::cli) dispatching: Option<Dispatching>,
    /// Runs calls or inspects packages.
    pub(in crate::cli) executor: Option<OwnExecutor>,
}

impl Process {
    /// Reads the configuration, starts the log, and listens for signals from now on.
    ///
    /// # Errors
    /// A configuration that is refused.
    pub(in crate::cli) fn begin(common: &CommonArgs, flags: Table) -> anyhow::Result<Self> {
        let variables =
            std::env::vars_os().filter_map(|(name, text)| Some((name.into_string().ok()?, text.into_string().ok()?)));
        let config = config::load(common.config.as_deref(), variables, flags)?;
        telemetry::init(config.log_format)?;
        open_files::raise();
        let requested = shutdown::listen().context("failed to listen for signals")?;
        Ok(Self { config, requested })
    }

    /// Lets the parts work until the process is to end or one of them fails, then ends them.
    ///
    /// # Errors
    /// Which part failed, and a store that cannot be closed.
    pub(in crate::cli) async fn serve(self, mut parts: Parts) -> anyhow::Result<()> {
        let failed = async {
            match &mut parts.dispatching {
                Some(dispatching) => dispatching.failed().await,
                None => std::future::pending().await,
            }
        };
        let ended = tokio::select! {
            () = self.requested.cancelled() => Ok(()),
            error = failed => Err(error),
        };
        ended.and(parts.stop(&self.config).await)
    }
}

impl Parts {
    /// Ends in order: no new work, then what runs finishes or is requeued, then its processes end,
    /// then the last answers leave, then everything is on disk.
    async fn stop(self, config: &Config) -> anyhow::Result<()> {
        let Self { store, mut front, mut dispatching, executor } = self;
        let grace = config.grace.0;
        if let Some(front) = &front {
            front.close();
        }
        let calls = async {
            if let Some(front) = &mut front {
                front.drain(grace).await;
            }
        };
        let tasks = async {
            if let Some(dispatching) = &mut dispatching {
                dispatching.drain(grace).await;
            }
        };
        let running = async { tokio::join!(calls, tasks) };
        if tokio::time::timeout(grace.saturating_add(LAST_WRITES), running).await.is_err() {
            tracing::error!("the end of some tasks is not stored; the next start runs them again");
        }
        if let Some(executor) = executor {
            executor.end().await;
        }
        if let Some(front) = front {
            front.end().await;
        }
        match config.redis {
            None => store.close().await.context("failed to close the store")?,
            // What it holds is safe there; what this process had claimed is taken over a little later.
            Some(_) => match tokio::time::timeout(LAST_WORDS, store.close()).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => {
                    tracing::warn!(error = &error as &dyn std::error::Error, "Redis was not told of the end");
                }
                Err(_) => tracing::warn!("Redis was not told of the end: it does not answer"),
            },
        }
        tracing::info!("ended");
        Ok(())
    }
}
