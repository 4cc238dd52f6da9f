//! Opens and closes the Redis store, and keeps its tasks in the background.

use std::ops::Deref;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::task::JoinSet;

use super::address::{Address, check_namespace};
use super::link::Link;
use super::record::ttl_ms;
use super::settings::RedisSettings;
use super::shared::{MAX_BULK_IN_FLIGHT, MAX_IN_FLIGHT, Parts, Shared, prefix};
use super::target::Target;
use super::{check, news};
use crate::store::types::Error;

/// The Redis store. What it does is [`Shared`]'s; this owns the tasks in the background, which end with it.
pub(in crate::store) struct Redis {
    /// The operations.
    shared: Arc<Shared>,
    /// Connections that come back, the subscription, the renewal of the lease, writes of attempts.
    background: Mutex<JoinSet<()>>,
}

impl Redis {
    pub(in crate::store) async fn open(settings: RedisSettings) -> Result<Self, Error> {
        let RedisSettings { url, namespace, result_ttl, lease, max_queued } = settings;
        let address = Address::parse(&url)?;
        let wrong = |reason| Error::Address { url: address.shown.clone(), reason };
        let namespace = address.namespace.clone().unwrap_or(namespace);
        check_namespace(&namespace).map_err(wrong)?;
        let target = Arc::new(Target::new(&address).map_err(|error| wrong(error.to_string()))?);
        let connect = |in_flight, is_bulk| Link::connect(Arc::clone(&target), prefix(&namespace), in_flight, is_bulk);
        let (link, bulk) = tokio::try_join!(connect(MAX_IN_FLIGHT, false), connect(MAX_BULK_IN_FLIGHT, true))?;
        check::check(&link).await?;
        let result_ttl_ms = ttl_ms(result_ttl);
        let shared = Arc::new(Shared::new(Parts { target, link, bulk, namespace, result_ttl_ms, lease, max_queued }));
        let mut background = JoinSet::new();
        let of = || Arc::clone(&shared);
        let (one, two, three, four, five) = (of(), of(), of(), of(), of());
        background.spawn(async move { one.link.keep_up().await });
        background.spawn(async move { two.bulk.keep_up().await });
        background.spawn(async move { three.renew().await });
        background.spawn(news::listen(four));
        background.spawn(async move { five.write_attempts().await });
        Ok(Self { shared, background: Mutex::new(background) })
    }

    /// Gives back what this process claimed and ends it.
    pub(in crate::store) async fn close(&self) -> Result<(), Error> {
        self.check_open()?;
        if !self.shut() {
            return self.check_open();
        }
        self.attempts.drained().await;
        let left = self.leave().await;
        let given_up = self.give_up_packages().await;
        self.background.lock().unwrap_or_else(PoisonError::into_inner).abort_all();
        left.and(given_up)
    }
}

impl Deref for Redis {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.shared
    }
}
