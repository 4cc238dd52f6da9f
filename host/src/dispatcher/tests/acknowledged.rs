//! Nothing is acknowledged before the store has it.

use bulkhead_protocol::worker_message::Hello;

use super::Server;
use super::scripted::{Worker, id, push, runs_on, started, succeeded};

#[tokio::test]
async fn an_end_that_the_store_does_not_take_is_not_acknowledged() {
    let server = Server::start(push()).await;
    let mut worker = Worker::push(&server, 1).await;
    let task = server.submit("hello").await;
    worker.assigned().await;
    worker.say([started(id(task, 1))]);
    runs_on(&server.store, task, worker.id()).await;
    server.store.close().await.unwrap();
    worker.say([succeeded(id(task, 1), "done")]);
    assert_eq!(worker.round_trip().await, []);
    let server = server.restart(push()).await;
    let hello = Hello { in_hand: vec![id(task, 1)], ..worker.hello };
    let mut worker = Worker::welcomed(&server.dispatcher, hello).await;
    worker.say([succeeded(id(task, 1), "done")]);
    worker.acknowledged(id(task, 1)).await;
    assert_eq!(server.end(task).await.attempt, 1);
    assert_eq!(server.store.result(task).await.unwrap().unwrap(), "done");
    server.drain().await;
}
