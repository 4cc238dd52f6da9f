//! What the contract cannot tell: several processes on one store, and a server that goes away. Against real
//! servers.

mod access;
mod cluster;
mod groups;
mod outage;
mod sentinel;
mod takeover;

use std::time::Duration;

use bulkhead_protocol::id::TaskId;
use bulkhead_protocol::task::Task;
use redis::{Client, Cmd, FromRedisValue, IntoConnectionInfo as _};

use crate::store::contract::redis_server::shared;
use crate::store::{Error, RedisSettings, Store, Submitted};

/// No test waits longer for what must come.
const DEADLINE: Duration = Duration::from_secs(60);

/// A namespace of its own at the server that the tests share.
fn settings() -> RedisSettings {
    settings_at(&shared())
}

/// A namespace of its own at `url`.
fn settings_at(url: &str) -> RedisSettings {
    RedisSettings { namespace: format!("t-{}", uuid::Uuid::new_v4()), ..RedisSettings::new(url) }
}

async fn open(settings: &RedisSettings) -> Store {
    Store::open_redis(settings.clone()).await.unwrap()
}

async fn submit(store: &Store, task: Task) -> TaskId {
    let id = task.id;
    assert_eq!(store.submit(vec![task]).await.unwrap(), [Submitted::Stored]);
    id
}

/// Asks a server behind the store's back.
async fn ask<T: FromRedisValue>(url: &str, command: &Cmd) -> T {
    let url = url.replace("redis+unix", "unix");
    let client = Client::open(url.as_str().into_connection_info().unwrap()).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    command.query_async(&mut connection).await.unwrap()
}

/// Does something until it succeeds: the server comes back.
async fn until_available<T>(mut work: impl AsyncFnMut() -> Result<T, Error>) -> T {
    let deadline = tokio::time::Instant::now() + DEADLINE;
    loop {
        match tokio::time::timeout_at(deadline, work()).await.expect("an answer before the deadline") {
            Ok(value) => return value,
            Err(error) => assert!(tokio::time::Instant::now() < deadline, "{error}"),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
