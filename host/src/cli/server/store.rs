//! The store of a part, waited for where it is a server that may start later.

use std::time::Duration;

use anyhow::Context as _;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::listener::{Awaiting, Listener};
use crate::cli::failure::{Exit, Failure};
use crate::config::{Config, StoreUrl};
use crate::store::{self, RedisSettings, Store};

/// Wait between two tries to reach Redis.
const TRY_AGAIN: Duration = Duration::from_millis(500);
/// How often the log says what is waited for while nothing changes.
const SAY_AGAIN: Duration = Duration::from_secs(30);

/// Refuses a configuration without a store that other processes reach.
///
/// # Errors
/// Which flag is missing.
pub(in crate::cli) fn require_redis(config: &Config, part: &str) -> anyhow::Result<()> {
    if config.redis.is_some() {
        return Ok(());
    }
    let line = format!("a {part} needs a store that the other parts reach: pass --redis URL, or set BULKHEAD_REDIS");
    Err(Failure::new(Exit::Usage, line)
        .hint("`bulkhead up` is all parts in one process, with a store of its own")
        .into())
}

/// Opens the store. Redis is waited for as long as configured; meanwhile `listener` answers that the
/// server lives. None when `requested` was cancelled before it was there.
///
/// # Errors
/// A folder that cannot be used, an address that cannot be understood, a store that did not come.
pub(in crate::cli) async fn open(
    config: &Config,
    listener: Option<&Listener>,
    requested: &CancellationToken,
) -> anyhow::Result<Option<Store>> {
    let Some(url) = &config.redis else { return Ok(Some(Store::open_embedded(&config.data).await?)) };
    let settings = RedisSettings {
        namespace: config.redis_namespace.clone(),
        result_ttl: config.result_ttl.0,
        ..RedisSettings::new(url.expose())
    };
    tokio::select! {
        opened = open_redis(config, url, settings, listener) => opened.map(Some),
        () = requested.cancelled() => Ok(None),
    }
}

async fn open_redis(
    config: &Config,
    url: &StoreUrl,
    settings: RedisSettings,
    listener: Option<&Listener>,
) -> anyhow::Result<Store> {
    let (begin, wait) = (Instant::now(), config.wait.0);
    let mut awaiting: Option<Awaiting> = None;
    let mut said: Option<(String, Instant)> = None;
    loop {
        let reason = match Store::open_redis(settings.clone()).await {
            Ok(store) => {
                if let Some(awaiting) = awaiting {
                    tracing::info!("Redis is there");
                    awaiting.end().await;
                }
                return Ok(store);
            }
            Err(store::Error::Unavailable { reason }) => reason,
            Err(error) => return Err(error.into()),
        };
        if begin.elapsed() >= wait {
            let waited = humantime::format_duration(wait);
            let line = format!("gave up waiting for Redis at {url} after {waited}: {reason}");
            return Err(Failure::new(Exit::Usage, line).into());
        }
        if said.as_ref().is_none_or(|(before, at)| *before != reason || at.elapsed() >= SAY_AGAIN) {
            tracing::warn!("waiting for Redis at {url}: {reason}");
            said = Some((reason, Instant::now()));
        }
        if let (None, Some(listener)) = (&awaiting, listener) {
            awaiting = Some(listener.await_store(config).context("failed to answer while Redis is waited for")?);
        }
        tokio::time::sleep(TRY_AGAIN.min(wait.saturating_sub(begin.elapsed()))).await;
    }
}
