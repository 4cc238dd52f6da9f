//! A dispatcher dies, and the next one finds its workers with their attempts.

use bulkhead_protocol::task::Status;
use bulkhead_protocol::worker_message::{Hello, ToWorker};

use super::Server;
use super::scripted::{Worker, id, push, runs_on, started, succeeded};

#[tokio::test]
async fn attempts_outlive_their_dispatcher() {
    let server = Server::start(push()).await;
    let mut worker = Worker::push(&server, 2).await;
    let (running, over) = (server.submit("hello").await, server.submit("hello").await);
    for _ in 0..2 {
        worker.assigned().await;
    }
    worker.say([started(id(running, 1)), started(id(over, 1))]);
    for task in [running, over] {
        runs_on(&server.store, task, worker.id()).await;
    }
    // The next start must know of the starts; a commit carries them.
    let flush = server.submit("carries the starts").await;
    let server = server.restart(push()).await;
    worker.closed().await;
    let in_hand = vec![id(running, 1), id(over, 1)];
    let mut worker = Worker::welcomed(&server.dispatcher, Hello { in_hand, ..worker.hello }).await;
    worker.say([succeeded(id(over, 1), "ended meanwhile")]);
    // With a slot free again the third task comes, before or after the store has the end of the second.
    let mut said = vec![worker.next().await, worker.next().await];
    said.retain(|said| *said != ToWorker::Acknowledged { id: id(over, 1) });
    assert!(matches!(&said[..], [ToWorker::Assign(assignment)] if assignment.id == id(flush, 1)), "{said:?}");
    worker.say([started(id(running, 1)), succeeded(id(running, 1), "went on")]);
    worker.acknowledged(id(running, 1)).await;
    for (task, result) in [(over, "ended meanwhile"), (running, "went on")] {
        let state = server.end(task).await;
        assert_eq!((state.status, state.attempt), (Status::Completed, 1));
        assert_eq!(server.store.result(task).await.unwrap().unwrap(), result);
    }
    server.driver.abort();
}

#[tokio::test]
async fn an_attempt_whose_worker_does_not_come_back_runs_again() {
    let mut config = push();
    config.bounds.orphan_wait = std::time::Duration::from_millis(50);
    let server = Server::start(config.clone()).await;
    let mut worker = Worker::push(&server, 1).await;
    let task = server.submit("hello").await;
    worker.assigned().await;
    worker.say([started(id(task, 1))]);
    runs_on(&server.store, task, worker.id()).await;
    let server = server.restart(config).await;
    let mut other = Worker::push(&server, 1).await;
    assert_eq!(other.assigned().await.id, id(task, 2));
    server.driver.abort();
}

#[tokio::test]
async fn what_was_ended_otherwise_meanwhile_is_dropped() {
    let server = Server::start(push()).await;
    let mut worker = Worker::push(&server, 1).await;
    let task = server.submit("hello").await;
    worker.assigned().await;
    worker.say([started(id(task, 1)), succeeded(id(task, 1), "first")]);
    worker.acknowledged(id(task, 1)).await;
    // The acknowledgement did not reach it.
    let server = server.restart(push()).await;
    let hello = Hello { in_hand: vec![id(task, 1)], ..worker.hello };
    let mut worker = Worker::welcomed(&server.dispatcher, hello).await;
    worker.say([succeeded(id(task, 1), "again")]);
    loop {
        match worker.next().await {
            ToWorker::Acknowledged { id: of } if of == id(task, 1) => break,
            // It may be told before its report is heard.
            ToWorker::Cancel { id: of } if of == id(task, 1) => {}
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(server.store.result(task).await.unwrap().unwrap(), "first");
    server.drain().await;
}
