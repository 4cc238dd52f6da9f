//! An executor over the packages of the store.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;

use super::cache_folder::CacheFolder;
use crate::config::Config;
use crate::executor::{self, Executor};
use crate::store::Store;

/// Slots of an executor that only inspects packages, which takes none: registrations have a bound of
/// their own.
pub(in crate::cli) const INSPECTOR_SLOTS: u32 = 1;
/// How long the sandboxes may take to end.
const LAST_REAPS: Duration = Duration::from_secs(10);

/// An executor of this process.
pub(in crate::cli) struct OwnExecutor {
    /// Runs.
    pub(in crate::cli) executor: Executor,
    /// Its libraries; free for another process once it has ended.
    _cache: CacheFolder,
}

impl OwnExecutor {
    /// Starts an executor with that many slots.
    ///
    /// # Errors
    /// A folder that cannot be used, a sandbox below its floor.
    pub(in crate::cli) async fn start(config: &Config, slots: u32, store: &Store) -> anyhow::Result<Self> {
        let packages = store.clone();
        let fetch: executor::FetchPackage = Arc::new(move |id| {
            let packages = packages.clone();
            async move { packages.package(id).await.map_err(|error| error.to_string()) }.boxed()
        });
        let cache = CacheFolder::take(&config.data)?;
        let settings = executor::Config {
            slots,
            cache: cache.path.clone(),
            runner: config.runner.clone(),
            floor: config.sandbox_floor,
            allow_weaker_sandbox: config.allow_weaker_sandbox,
        };
        Ok(Self { executor: Executor::start(settings, fetch).await?, _cache: cache })
    }

    /// Kills what still runs.
    pub(super) async fn end(self) {
        if tokio::time::timeout(LAST_REAPS, self.executor.shutdown(Duration::ZERO)).await.is_err() {
            tracing::error!("some sandboxes are not reaped; they end with this process");
        }
    }
}
