//! A server that goes away for a while.

use std::time::Duration;

use bulkhead_protocol::id::TaskId;
use bulkhead_protocol::task::{Status, TaskState};
use nix::sys::signal::Signal;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::{DEADLINE, ask, open, settings_at, submit, until_available};
use crate::store::contract::redis_server::{RedisServer, cli};
use crate::store::contract::{WORKER, success, task};
use crate::store::{Error, Store, Transition};

/// Long enough for any deadline of a command, short against a hang.
const SOON: Duration = Duration::from_secs(15);

fn appending() -> [&'static str; 4] {
    ["--appendonly", "yes", "--appendfsync", "always"]
}

/// Someone who waits for the end of a task, and has looked at it.
async fn waiter(store: &Store, id: TaskId) -> JoinHandle<TaskState> {
    let waiting = store.clone();
    let mut waiter = tokio::spawn(async move { waiting.wait(id, Duration::from_secs(3600)).await.unwrap().unwrap() });
    let ended = tokio::time::timeout(Duration::from_millis(300), &mut waiter).await;
    assert!(ended.is_err(), "it has not ended");
    waiter
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_survives_kill_9_of_redis() {
    let folder = tempfile::tempdir().unwrap();
    let server = RedisServer::start_on_free_port(folder.path(), &appending());
    let (port, settings) = (server.port, settings_at(&server.url()));
    let store = open(&settings).await;
    let [ended, running, queued] =
        [submit(&store, task(1)).await, submit(&store, task(1)).await, submit(&store, task(1)).await];
    assert_eq!(store.claim(2).await.unwrap().len(), 2);
    for id in [ended, running] {
        store.started(id, 1, WORKER, 1).await.unwrap();
    }
    store.finish(ended, 1, success(b"kept"), false, 2).await.unwrap();
    let waiter = waiter(&store, running).await;
    server.kill();
    let down = Instant::now();
    let refused = store.submit(vec![task(1)]).await;
    assert!(matches!(refused, Err(Error::Unavailable { .. })), "{refused:?}");
    assert!(matches!(store.claim(1).await, Err(Error::Unavailable { .. })));
    assert!(matches!(store.queued().await, Err(Error::Unavailable { .. })));
    assert!(down.elapsed() < SOON, "refused at once");

    let _server = RedisServer::start(folder.path(), port, &appending());
    cli(&["-p", &port.to_string()], &["PING"], "PONG");
    assert_eq!(until_available(async || store.queued().await).await, 1);
    assert_eq!(store.result(ended).await.unwrap().unwrap(), b"kept".as_slice());
    // The dispatcher is the same; nobody took its claims meanwhile.
    assert_eq!(store.state(running).await.unwrap().unwrap().status, Status::Running);
    let claimed = until_available(async || store.claim(5).await).await;
    assert_eq!(claimed.iter().map(|claimed| claimed.task.id).collect::<Vec<_>>(), [queued]);
    assert_eq!(store.finish(running, 1, success(b""), false, 3).await.unwrap(), Transition::Applied);
    let state = tokio::time::timeout(DEADLINE, waiter).await.expect("woken after the restart").unwrap();
    assert_eq!(state.status, Status::Completed);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_hangs_is_an_error_and_loses_no_claim() {
    let folder = tempfile::tempdir().unwrap();
    let server = RedisServer::start_on_free_port(folder.path(), &[]);
    let store = open(&settings_at(&server.url())).await;
    let ended = submit(&store, task(2)).await;
    assert_eq!(store.claim(1).await.unwrap()[0].task.id, ended);
    let id = submit(&store, task(1)).await;
    let waiter = waiter(&store, ended).await;
    server.signal(Signal::SIGSTOP);
    let stopped = Instant::now();
    // The server takes this claim in when it goes on, but nobody will be there for the answer.
    let (claimed, state) = tokio::join!(store.claim(1), store.state(id));
    assert!(matches!(claimed, Err(Error::Unavailable { .. })), "{claimed:?}");
    assert!(matches!(state, Err(Error::Unavailable { .. })));
    assert!(stopped.elapsed() < SOON, "no hang");
    for _ in 0..10 {
        assert!(matches!(store.submit(vec![task(1)]).await, Err(Error::Unavailable { .. })));
    }
    assert!(stopped.elapsed() < SOON, "refused at once");
    server.signal(Signal::SIGCONT);
    let claimed = until_available(async || store.claim(5).await).await;
    assert_eq!(claimed[0].task.id, id);
    assert!(claimed[1..].iter().all(|claimed| claimed.task.id != id), "handed out once");
    assert_eq!(store.finish(id, 1, success(b""), false, 1).await.unwrap(), Transition::Applied);
    store.finish(ended, 1, success(b""), false, 1).await.unwrap();
    let state = tokio::time::timeout(DEADLINE, waiter).await.expect("woken").unwrap();
    assert_eq!(state.status, Status::Completed);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_memory_refuses_new_tasks_and_lets_old_ones_end() {
    let folder = tempfile::tempdir().unwrap();
    let server = RedisServer::start_on_free_port(folder.path(), &[]);
    let store = open(&settings_at(&server.url())).await;
    let [ended, requeued, cancelled] =
        [submit(&store, task(1)).await, submit(&store, task(1)).await, submit(&store, task(1)).await];
    let limit = |bytes| redis::cmd("CONFIG").arg("SET").arg("maxmemory").arg(bytes).to_owned();
    let _: String = ask(&server.url(), &limit("1")).await;
    let refused = store.submit(vec![task(1)]).await;
    assert!(matches!(refused, Err(Error::Unavailable { .. })), "{refused:?}");
    assert_eq!(store.claim(2).await.unwrap().len(), 2);
    for id in [ended, requeued] {
        assert_eq!(store.started(id, 1, WORKER, 1).await.unwrap(), Transition::Applied);
    }
    assert_eq!(store.finish(ended, 1, success(b"r"), false, 1).await.unwrap(), Transition::Applied);
    let lost = bulkhead_protocol::outcome::Outcome::WorkerLost;
    assert_eq!(store.requeue(requeued, 1, lost, Default::default(), 0).await.unwrap(), Transition::Applied);
    store.cancel_queued(cancelled, 1).await.unwrap();
    assert_eq!(store.queued().await.unwrap(), 1);
    let _: String = ask(&server.url(), &limit("0")).await;
    submit(&store, task(1)).await;
}
