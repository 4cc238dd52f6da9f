//! Attempts on remote workers.

use std::sync::Arc;
use std::time::Duration;

use bulkhead_dispatch::Cancelled;
use bulkhead_protocol::outcome::Outcome;
use bulkhead_protocol::task::{Progress, Status, TaskOptions};
use bulkhead_protocol::worker_message::{Hello, ToDispatcher, ToWorker, WorkerMode};
use bytes::Bytes;

use super::scripted::{Worker, ended, hello, id, pull, push, remote, runs_on, started, succeeded};
use super::{DEADLINE, PACKAGE_ID, Server};
use crate::dispatcher::{Config, DrainAsked, Handle, Mode, Remote};

#[tokio::test]
async fn a_pushed_task_runs_and_its_result_is_stored_before_it_is_acknowledged() {
    let config =
        Config { function_configs: Arc::new([("act".to_owned(), Bytes::from_static(b"{}"))].into()), ..push() };
    let server = Server::start(config).await;
    let mut worker = Worker::push(&server, 1).await;
    let options = TaskOptions { timeout_ms: Some(1234), ..TaskOptions::default() };
    let task = server.submit_with("hello", options).await;
    let assignment = worker.assigned().await;
    assert_eq!((assignment.id, assignment.timeout_ms), (id(task, 1), Some(1234)));
    assert_eq!((assignment.input.bytes.as_slice(), assignment.config.as_slice()), (&b"hello"[..], &b"{}"[..]));
    let function = assignment.function;
    assert_eq!((function.id, function.package, function.description.as_str()), (server.function, PACKAGE_ID, ""));
    worker.say([started(id(task, 1))]);
    runs_on(&server.store, task, worker.id()).await;
    assert_eq!(server.store.state(task).await.unwrap().unwrap().status, Status::Running);
    worker.say([succeeded(id(task, 1), "done")]);
    worker.acknowledged(id(task, 1)).await;
    let state = server.store.state(task).await.unwrap().unwrap();
    assert_eq!((state.status, state.attempt, state.worker), (Status::Completed, 1, Some(worker.id())));
    assert_eq!(server.store.result(task).await.unwrap().unwrap(), "done");
    server.drain().await;
}

#[tokio::test]
async fn a_start_and_an_end_in_one_breath_are_both_stored() {
    let server = Server::start(push()).await;
    let mut worker = Worker::push(&server, 8).await;
    for _ in 0..20 {
        let task = server.submit("hello").await;
        let attempt = worker.assigned().await.id;
        worker.say([started(attempt), succeeded(attempt, "done")]);
        worker.acknowledged(attempt).await;
        let state = server.store.state(task).await.unwrap().unwrap();
        assert_eq!((state.status, state.worker), (Status::Completed, Some(worker.id())));
        assert!(state.started_at_ms.is_some());
    }
    server.drain().await;
}

#[tokio::test]
async fn a_puller_gets_what_it_asks_for_and_no_more() {
    let server = Server::start(pull()).await;
    let mut worker = Worker::welcomed(&server.dispatcher, hello(WorkerMode::Pull, 4)).await;
    let mut tasks = Vec::new();
    for _ in 0..3 {
        tasks.push(server.submit("hello").await);
    }
    assert_eq!(worker.round_trip().await, [], "it has asked for nothing");
    worker.say([ToDispatcher::Ready { count: 2 }]);
    for _ in 0..2 {
        worker.assigned().await;
    }
    assert_eq!(worker.round_trip().await, []);
    // Of these two one is there, and the other is parked until one comes.
    worker.say([ToDispatcher::Ready { count: 2 }]);
    worker.assigned().await;
    assert_eq!(worker.round_trip().await, []);
    let parked = server.submit("hello").await;
    assert_eq!(worker.assigned().await.id, id(parked, 1));
    server.driver.abort();
}

#[tokio::test]
async fn tasks_wait_at_a_worker_as_far_ahead_as_it_says() {
    let server = Server::start(push()).await;
    let mut worker = Worker::push(&server, 1).await;
    worker.say([ToDispatcher::Ahead { ahead: 2 }]);
    for _ in 0..4 {
        server.submit("hello").await;
    }
    let first = worker.assigned().await.id;
    for _ in 0..2 {
        worker.assigned().await;
    }
    assert_eq!(worker.round_trip().await, []);
    worker.say([started(first), ended(first, Outcome::Succeeded)]);
    let said = [worker.next().await, worker.next().await];
    assert!(said.contains(&ToWorker::Acknowledged { id: first }), "{said:?}");
    assert!(said.iter().any(|said| matches!(said, ToWorker::Assign(_))), "{said:?}");
    server.driver.abort();
}

#[tokio::test]
async fn a_worker_that_connects_again_goes_on_with_what_it_has() {
    let server = Server::start(push()).await;
    let mut worker = Worker::push(&server, 2).await;
    let task = server.submit("hello").await;
    let ended_unheard = server.submit("hello").await;
    for _ in 0..2 {
        worker.assigned().await;
    }
    worker.say([started(id(task, 1)), started(id(ended_unheard, 1))]);
    runs_on(&server.store, ended_unheard, worker.id()).await;
    let hello = worker.vanish().await;
    let in_hand = vec![id(task, 1), id(ended_unheard, 1)];
    let mut worker = Worker::welcomed(&server.dispatcher, Hello { in_hand, ..hello }).await;
    worker.say([succeeded(id(ended_unheard, 1), "before")]);
    worker.acknowledged(id(ended_unheard, 1)).await;
    worker.say([succeeded(id(task, 1), "after")]);
    worker.acknowledged(id(task, 1)).await;
    for (task, result) in [(task, "after"), (ended_unheard, "before")] {
        assert_eq!(server.end(task).await.attempt, 1);
        assert_eq!(server.store.result(task).await.unwrap().unwrap(), result);
    }
    server.drain().await;
}

#[tokio::test]
async fn what_a_worker_does_not_have_any_more_runs_again() {
    let server = Server::start(push()).await;
    let mut worker = Worker::push(&server, 1).await;
    let task = server.submit("hello").await;
    worker.assigned().await;
    // The assignment was lost with the connection.
    let hello = worker.vanish().await;
    let mut worker = Worker::welcomed(&server.dispatcher, hello).await;
    assert_eq!(worker.assigned().await.id, id(task, 2));
    let spent = server.store.state(task).await.unwrap().unwrap().spent;
    assert_eq!((spent.returns, spent.losses), (1, 0), "it had not begun");
    server.driver.abort();
}

#[tokio::test]
async fn a_worker_that_vanishes_is_evicted_and_its_task_runs_elsewhere() {
    let mut config = push();
    config.bounds.reconnect_wait = Duration::from_millis(20);
    let server = Server::start(config).await;
    let mut lost = Worker::push(&server, 1).await;
    let task = server.submit("hello").await;
    lost.assigned().await;
    lost.say([started(id(task, 1))]);
    runs_on(&server.store, task, lost.id()).await;
    let mut other = Worker::push(&server, 1).await;
    let hello = lost.vanish().await;
    assert_eq!(other.assigned().await.id, id(task, 2));
    // Its report comes too late, and it is told so.
    let mut late = Worker::welcomed(&server.dispatcher, Hello { in_hand: vec![id(task, 1)], ..hello }).await;
    assert_eq!(late.next().await, ToWorker::Cancel { id: id(task, 1) });
    late.say([succeeded(id(task, 1), "late")]);
    late.acknowledged(id(task, 1)).await;
    other.say([started(id(task, 2)), succeeded(id(task, 2), "in time")]);
    other.acknowledged(id(task, 2)).await;
    assert_eq!(server.store.result(task).await.unwrap().unwrap(), "in time");
    assert_eq!(server.end(task).await.attempt, 2);
    server.drain().await;
}

#[tokio::test]
async fn a_silent_worker_is_evicted_and_a_talkative_one_stays() {
    let dead_after = Duration::from_millis(400);
    let server = Server::start(Config { mode: Mode::Push(Remote { dead_after, ..remote() }), ..push() }).await;
    let mut silent = Worker::push(&server, 1).await;
    let mut talkative = Worker::push(&server, 1).await;
    let speak = async {
        loop {
            // Any word is a sign of life, even one that the state machine does not hear.
            talkative.say([ToDispatcher::Fetch { package: PACKAGE_ID, offset: 0, chunks: 1 }]);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let evicted = async {
        assert_eq!(silent.next().await, ToWorker::Evicted);
        silent.closed().await;
    };
    tokio::select! {
        () = speak => {}
        () = evicted => {}
    }
    let said = talkative.round_trip().await;
    assert!(said.iter().all(|said| matches!(said, ToWorker::Chunk { .. })), "{said:?}");
    server.drain().await;
}

#[tokio::test]
async fn a_running_remote_attempt_is_cancelled_from_here_and_from_elsewhere() {
    let server = Server::start(push()).await;
    let mut worker = Worker::push(&server, 2).await;
    let elsewhere = Handle::of_store(server.store.clone());
    for handle in [server.dispatcher.clone(), elsewhere] {
        let task = server.submit("hello").await;
        worker.assigned().await;
        worker.say([started(id(task, 1))]);
        runs_on(&server.store, task, worker.id()).await;
        let asked = handle.clone();
        let cancel = tokio::spawn(async move { asked.cancel(task).await });
        assert_eq!(worker.next().await, ToWorker::Cancel { id: id(task, 1) });
        assert!(!cancel.is_finished(), "its process is not reaped");
        worker.say([ended(id(task, 1), Outcome::Cancelled)]);
        assert_eq!(cancel.await.unwrap(), Cancelled::Cancelled);
        worker.acknowledged(id(task, 1)).await;
        assert_eq!(handle.cancel(task).await, Cancelled::Ended);
    }
    server.drain().await;
}

#[tokio::test]
async fn a_function_that_was_deleted_fails_its_task_without_a_worker() {
    let server = Server::start(push()).await;
    let task = server.submit("hello").await;
    assert!(server.store.remove_function(server.function).await.unwrap());
    let mut worker = Worker::push(&server, 1).await;
    assert!(matches!(server.end(task).await.outcome, Some(Outcome::LoadFailed { .. })));
    assert_eq!(worker.round_trip().await, []);
    server.drain().await;
}

#[tokio::test]
async fn a_worker_that_is_asked_to_drain_leaves_when_its_work_is_stored() {
    let server = Server::start(push()).await;
    let mut worker = Worker::push(&server, 2).await;
    let task = server.submit("hello").await;
    worker.assigned().await;
    let shown = async {
        loop {
            let workers = server.store.workers().await.unwrap();
            if let Some(record) = workers.first() {
                return record.clone();
            }
            tokio::task::yield_now().await;
        }
    };
    let record = tokio::time::timeout(DEADLINE, shown).await.expect("the worker is not shown");
    assert_eq!((record.id, record.name.as_str(), record.mode.as_str()), (worker.id(), "scripted", "push"));
    assert_eq!((record.slots, record.draining), (2, false));
    let elsewhere = Handle::of_store(server.store.clone());
    assert_eq!(elsewhere.drain_worker(worker.id()).await.unwrap(), DrainAsked::Asked);
    assert_eq!(worker.next().await, ToWorker::Drain);
    worker.say([ToDispatcher::Goodbye]);
    server.submit("for another").await;
    assert_eq!(worker.round_trip().await, [], "it takes no more tasks, and has one left");
    worker.say([succeeded(id(task, 1), "done")]);
    worker.acknowledged(id(task, 1)).await;
    assert_eq!(worker.next().await, ToWorker::Dismissed);
    worker.closed().await;
    let gone = async {
        while !server.store.workers().await.unwrap().is_empty() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(DEADLINE, gone).await.expect("the worker is still shown");
    assert_eq!(elsewhere.drain_worker(worker.id()).await.unwrap(), DrainAsked::Unknown);
    let nil = bulkhead_protocol::id::WorkerId(uuid::Uuid::nil());
    assert_eq!(elsewhere.drain_worker(nil).await.unwrap(), DrainAsked::Local);
    server.drain().await;
}

#[tokio::test]
async fn a_drain_kills_what_runs_on_workers_and_gives_it_back() {
    let server = Server::start(push()).await;
    let mut worker = Worker::push(&server, 1).await;
    worker.say([ToDispatcher::Ahead { ahead: 1 }]);
    let (running, waiting) = (server.submit("hello").await, server.submit("hello").await);
    for _ in 0..2 {
        worker.assigned().await;
    }
    worker.say([started(id(running, 1))]);
    let dispatcher = server.dispatcher.clone();
    let drain = tokio::spawn(async move { dispatcher.drain(Duration::ZERO).await });
    for task in [running, waiting] {
        assert_eq!(worker.next().await, ToWorker::Cancel { id: id(task, 1) });
    }
    for task in [running, waiting] {
        worker.say([ended(id(task, 1), Outcome::Cancelled)]);
        worker.acknowledged(id(task, 1)).await;
    }
    worker.closed().await;
    tokio::time::timeout(DEADLINE, drain).await.expect("the drain does not end").unwrap();
    for task in [running, waiting] {
        let state = server.store.state(task).await.unwrap().unwrap();
        assert_eq!((state.status, state.spent.losses), (Status::Queued, 0));
    }
}

#[tokio::test]
async fn progress_reaches_the_store() {
    let server = Server::start(push()).await;
    let mut worker = Worker::push(&server, 1).await;
    let task = server.submit("hello").await;
    worker.assigned().await;
    worker.say([started(id(task, 1))]);
    for fraction in [0.25, 0.5] {
        let progress = Progress { fraction, message: "on it".to_owned() };
        worker.say([ToDispatcher::Progress { id: id(task, 1), progress: progress.clone() }]);
        let shown = async {
            while server.store.progress(task).await.unwrap() != Some(progress.clone()) {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(DEADLINE, shown).await.expect("the store does not hear of the progress");
    }
    server.driver.abort();
}
