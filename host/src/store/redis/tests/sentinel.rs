//! A master that fails, and the replica that sentinels make master in its place.

use super::{settings_at, submit, until_available};
use crate::store::contract::redis_server::{RedisServer, cli};
use crate::store::contract::{success, task};
use crate::store::{Store, Transition};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_store_follows_a_failover() {
    let folder = tempfile::tempdir().unwrap();
    let of = |name: &str| folder.path().join(name);
    let master = RedisServer::start_on_free_port(&of("master"), &[]);
    let port = master.port.to_string();
    let replica = RedisServer::start_on_free_port(&of("replica"), &["--replicaof", "127.0.0.1", &port]);
    cli(&["-p", &replica.port.to_string()], &["INFO", "replication"], "master_link_status:up");
    let sentinel = RedisServer::start_sentinel(&of("sentinel"), &master);
    cli(&["-p", &sentinel.port.to_string()], &["INFO", "sentinel"], "slaves=1");
    let unknown = settings_at(&format!("redis+sentinel://{}/other", sentinel.address()));
    assert!(Store::open_redis(unknown).await.is_err());

    let settings = settings_at(&format!("redis+sentinel://{}/main", sentinel.address()));
    let store = until_available(async || Store::open_redis(settings.clone()).await).await;
    let [claimed, queued] = [submit(&store, task(1)).await, submit(&store, task(1)).await];
    assert_eq!(store.claim(1).await.unwrap()[0].task.id, claimed);
    // What the replica has is what a failover keeps.
    cli(&["-p", &master.port.to_string()], &["WAIT", "1", "5000"], "1");
    drop(master);
    assert_eq!(until_available(async || store.queued().await).await, 1);
    let next = until_available(async || store.claim(5).await).await;
    assert_eq!(next[0].task.id, queued);
    assert_eq!(store.finish(claimed, 1, success(b""), false, 1).await.unwrap(), Transition::Applied);
    let ended = store.wait(claimed, std::time::Duration::from_secs(5)).await.unwrap().unwrap();
    assert!(ended.status.is_terminal());
}
