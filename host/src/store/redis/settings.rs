//! How the Redis store is set up.

use std::time::Duration;

use crate::store::types::MAX_QUEUED;

use super::address;

/// How the Redis store is set up.
#[derive(Clone)]
pub struct RedisSettings {
    /// Where it is: `redis://[[USER]:PASSWORD@]HOST[:PORT][/DB]`, `redis+sentinel://HOST,HOST/MASTER[/DB]`,
    /// `redis+cluster://HOST,HOST`, each with `rediss` in front for TLS, or `redis+unix:///SOCKET`. After a
    /// `?`: `namespace=NAME`, which goes before the field, and `ca=FILE` with certificates to trust.
    pub url: String,
    /// What all keys begin with, so that several installations may share one server.
    pub namespace: String,
    /// How long an ended task is kept that does not say so itself. It goes by [`crate::store::Store::expire`],
    /// and if nobody calls that, by itself an hour later.
    pub result_ttl: Duration,
    /// How long a dispatcher may be silent before others take over what it claimed; renewed five times as
    /// often.
    pub lease: Duration,
    /// Most tasks in the queue.
    pub max_queued: usize,
}

impl RedisSettings {
    /// The defaults, for the store at `url`.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            namespace: "bulkhead".to_owned(),
            result_ttl: Duration::from_secs(24 * 60 * 60),
            lease: Duration::from_secs(10),
            max_queued: MAX_QUEUED,
        }
    }
}

impl std::fmt::Debug for RedisSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { url, namespace, result_ttl, lease, max_queued } = self;
        f.debug_struct("RedisSettings")
            .field("url", &address::without_password(url))
            .field("namespace", namespace)
            .field("result_ttl", result_ttl)
            .field("lease", lease)
            .field("max_queued", max_queued)
            .finish()
    }
}
