//! Attempts on the executor of this process.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bulkhead_protocol::id::TaskId;
use bulkhead_protocol::outcome::Outcome;
use bulkhead_protocol::task::{RetryPolicy, Status, TaskOptions};
use bytes::Bytes;

use super::{DEADLINE, Server, config, unix_ms};
use crate::dispatcher::{Cancelled, Config, Mode};

#[tokio::test]
async fn a_task_runs_and_its_result_is_stored() {
    let config = Config {
        function_configs: Arc::new([("act".to_owned(), Bytes::from_static(b"{\"a\":1}"))].into()),
        ..config()
    };
    let server = Server::start(config).await;
    let options = TaskOptions { timeout_ms: Some(1234), ..TaskOptions::default() };
    let task = server.submit_with("hello", options).await;
    let state = server.end(task).await;
    assert_eq!((state.status, state.attempt, state.outcome), (Status::Completed, 1, Some(Outcome::Succeeded)));
    assert_eq!(server.store.result(task).await.unwrap().unwrap(), "hello");
    {
        let calls = server.seen.calls.lock().unwrap();
        assert_eq!(calls[0].config, "{\"a\":1}");
        assert_eq!(calls[0].timeout, Some(Duration::from_millis(1234)));
        assert_eq!(calls[0].function.id, server.function);
    }
    server.drain().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_tasks_all_end_and_slots_are_never_exceeded() {
    let server = Server::start(Config { mode: Mode::Local { slots: Some(3) }, ..config() }).await;
    let mut tasks = Vec::new();
    for number in 0..500 {
        tasks.push(server.submit(&number.to_string()).await);
    }
    for task in &tasks {
        assert_eq!(server.end(*task).await.status, Status::Completed);
        assert!(server.seen.running.load(Ordering::Acquire) <= 3);
    }
    assert_eq!(server.seen.calls.lock().unwrap().len(), 500);
    server.drain().await;
}

#[tokio::test]
async fn a_running_task_is_cancelled_once_it_is_reaped_and_recorded() {
    let server = Server::start(config()).await;
    let task = server.submit("hang").await;
    server.seen.begun(1).await;
    assert_eq!(server.dispatcher.cancel(task).await, Cancelled::Cancelled);
    assert_eq!(server.seen.running.load(Ordering::Acquire), 0);
    let state = server.store.state(task).await.unwrap().unwrap();
    assert_eq!((state.status, state.outcome), (Status::Failed, Some(Outcome::Cancelled)));
    assert_eq!(server.dispatcher.cancel(task).await, Cancelled::Ended);
    server.drain().await;
}

#[tokio::test]
async fn a_waiting_task_is_cancelled_and_never_runs() {
    let server = Server::start(config()).await;
    let running = server.submit("hang").await;
    server.seen.begun(1).await;
    let waiting = server.submit("hello").await;
    assert_eq!(server.dispatcher.cancel(waiting).await, Cancelled::Cancelled);
    assert_eq!(server.dispatcher.cancel(running).await, Cancelled::Cancelled);
    let last = server.submit("hello").await;
    server.end(last).await;
    assert!(server.seen.attempts(waiting).is_empty());
    assert_eq!(server.dispatcher.cancel(TaskId(uuid::Uuid::now_v7())).await, Cancelled::Unknown);
    server.drain().await;
}

#[tokio::test]
async fn crashes_are_tried_again_up_to_the_policy() {
    let server = Server::start(config()).await;
    let retry = RetryPolicy { max: 1, backoff_ms: 1 };
    let task = server.submit_with("crash", TaskOptions { retry, ..TaskOptions::default() }).await;
    let state = server.end(task).await;
    assert_eq!((state.status, state.attempt), (Status::Failed, 2));
    assert_eq!(server.seen.attempts(task), [1, 2]);
    server.drain().await;
}

#[tokio::test]
async fn crashes_stop_at_the_cap() {
    let server = Server::start(config()).await;
    let retry = RetryPolicy { max: 9, backoff_ms: 1 };
    let task = server.submit_with("crash", TaskOptions { retry, ..TaskOptions::default() }).await;
    server.end(task).await;
    assert_eq!(server.seen.attempts(task), [1, 2, 3]);
    let dispatcher = server.dispatcher.clone();
    // The driver may learn of the end after those who wait for it.
    server.drain().await;
    assert_eq!(dispatcher.snapshot().dead_letters, 1);
}

#[tokio::test]
async fn an_executor_that_breaks_is_the_platforms_failure() {
    let mut config = config();
    config.bounds.setup_backoff = Duration::from_millis(1);
    let server = Server::start(config).await;
    let task = server.submit("break the executor").await;
    let state = server.end(task).await;
    assert!(state.outcome.unwrap().is_platform());
    assert_eq!(server.seen.attempts(task), [1, 2, 3]);
    server.driver.abort();
}

#[tokio::test]
async fn a_function_that_was_deleted_fails_its_tasks() {
    let server = Server::start(config()).await;
    let running = server.submit("hang").await;
    server.seen.begun(1).await;
    let task = server.submit("hello").await;
    assert!(server.store.remove_function(server.function).await.unwrap());
    server.dispatcher.cancel(running).await;
    assert!(matches!(server.end(task).await.outcome, Some(Outcome::LoadFailed { .. })));
    server.drain().await;
}

#[tokio::test]
async fn a_task_that_waits_too_long_expires() {
    const HOUR: Duration = Duration::from_secs(3600);
    let server = Server::start(Config { queue_ttl: Some(HOUR), ..config() }).await;
    let fresh = server.submit("hello").await;
    assert_eq!(server.end(fresh).await.status, Status::Completed);
    let an_hour_ago_ms = unix_ms() - u64::try_from(HOUR.as_millis()).unwrap();
    let task = server.submit_at(an_hour_ago_ms, "hello", TaskOptions::default()).await;
    assert_eq!(server.end(task).await.outcome, Some(Outcome::Expired));
    assert!(server.seen.attempts(task).is_empty());
    server.drain().await;
}

#[tokio::test]
async fn what_a_drain_stops_runs_after_the_next_start() {
    let server = Server::start(config()).await;
    let running = server.submit("hang once").await;
    server.seen.begun(1).await;
    let waiting = server.submit("hello").await;
    server.dispatcher.drain(Duration::ZERO).await;
    assert_eq!(server.seen.running.load(Ordering::Acquire), 0);
    let state = server.store.state(running).await.unwrap().unwrap();
    assert_eq!(state.status, Status::Queued);
    let server = server.restart(config()).await;
    assert_eq!(server.end(running).await.status, Status::Completed);
    assert_eq!(server.end(waiting).await.status, Status::Completed);
    assert_eq!(server.seen.attempts(running), [2]);
    server.drain().await;
}

#[tokio::test]
async fn a_drain_lets_running_attempts_finish_within_its_grace() {
    let server = Server::start(config()).await;
    let task = server.submit("hang").await;
    server.seen.begun(1).await;
    let dispatcher = server.dispatcher.clone();
    let drain = tokio::spawn(async move { dispatcher.drain(DEADLINE).await });
    // It ends by being cancelled, long before the grace is over.
    assert_eq!(server.dispatcher.cancel(task).await, Cancelled::Cancelled);
    tokio::time::timeout(DEADLINE / 2, drain).await.expect("the drain waits too long").unwrap();
    let late = server.submit("hello").await;
    assert_eq!(server.dispatcher.cancel(late).await, Cancelled::Cancelled, "the store decides after a drain");
}

#[tokio::test]
async fn a_task_whose_server_died_runs_again() {
    let server = Server::start(config()).await;
    let task = server.submit("hang once").await;
    server.seen.begun(1).await;
    let after = server.submit("hello").await;
    let server = server.restart(config()).await;
    assert_eq!(server.end(task).await.status, Status::Completed);
    assert_eq!(server.end(after).await.status, Status::Completed);
    assert_eq!(server.seen.attempts(task), [2]);
    server.drain().await;
}

#[tokio::test]
async fn a_snapshot_tells_what_goes_on() {
    let server = Server::start(Config {
        mode: Mode::Local { slots: Some(2) },
        concurrency: Arc::new([("act".to_owned(), 1)].into()),
        ..config()
    })
    .await;
    let first = server.submit("hang").await;
    let second = server.submit("hang").await;
    server.seen.begun(1).await;
    // The cancel of an unknown task goes through the driver after what came before it.
    let wait = async {
        while server.dispatcher.snapshot().waiting == 0 {
            server.dispatcher.cancel(TaskId(uuid::Uuid::now_v7())).await;
        }
    };
    tokio::time::timeout(DEADLINE, wait).await.expect("the second task does not arrive");
    let stats = server.dispatcher.snapshot();
    assert_eq!((stats.running, stats.waiting), (1, 1), "the concurrency limit holds the second back");
    assert_eq!((stats.workers[0].slots, stats.workers[0].running), (2, 1));
    assert_eq!(server.dispatcher.cancel(first).await, Cancelled::Cancelled);
    server.seen.begun(2).await;
    assert_eq!(server.dispatcher.cancel(second).await, Cancelled::Cancelled);
    server.drain().await;
}
