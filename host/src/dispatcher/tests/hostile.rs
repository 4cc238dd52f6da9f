//! Workers that break the rules harm nobody but themselves.

use bulkhead_protocol::id::TaskId;
use bulkhead_protocol::outcome::{Outcome, Report};
use bulkhead_protocol::task::Status;
use bulkhead_protocol::worker_message::{Hello, MAX_CHUNKS_ASKED, ToDispatcher, ToWorker, WorkerMode};
use uuid::Uuid;

use super::scripted::{Worker, ended, hello, id, pull, push, remote, runs_on, started, succeeded};
use super::{PACKAGE_ID, Server};
use crate::dispatcher::{Config, Mode, Remote};

async fn refused(server: &Server, hello: Hello) -> String {
    let mut worker = Worker::greet(&server.dispatcher, hello).await;
    let ToWorker::Refused { reason } = worker.next().await else { panic!("it is not refused") };
    worker.closed().await;
    reason
}

#[tokio::test]
async fn a_worker_of_the_other_mode_is_refused_with_the_way_out() {
    let server = Server::start(push()).await;
    let reason = refused(&server, hello(WorkerMode::Pull, 1)).await;
    assert!(reason.contains("bulkhead worker push"), "{reason}");
    server.drain().await;
    let server = Server::start(pull()).await;
    let reason = refused(&server, hello(WorkerMode::Push, 1)).await;
    assert!(reason.contains("bulkhead worker pull"), "{reason}");
    server.drain().await;
}

#[tokio::test]
async fn one_worker_too_many_is_refused() {
    let server = Server::start(Config { mode: Mode::Push(Remote { max_workers: 1, ..remote() }), ..push() }).await;
    let mut worker = Worker::push(&server, 1).await;
    let reason = refused(&server, hello(WorkerMode::Push, 1)).await;
    assert!(reason.contains("as many workers"), "{reason}");
    // The one that is known may come again.
    let mut again = Worker::welcomed(&server.dispatcher, worker.hello.clone()).await;
    worker.closed().await;
    assert_eq!(again.round_trip().await, []);
    server.drain().await;
}

#[tokio::test]
async fn the_id_of_another_is_refused_and_the_own_one_replaces_the_old_connection() {
    let server = Server::start(push()).await;
    let mut worker = Worker::push(&server, 1).await;
    let task = server.submit("hello").await;
    worker.assigned().await;
    let impostor = Hello { token: [4; 16], in_hand: vec![id(task, 1)], ..worker.hello.clone() };
    let reason = refused(&server, impostor.clone()).await;
    assert!(reason.contains("this id"), "{reason}");
    assert_eq!(worker.round_trip().await, [], "the first is not disturbed");
    let in_hand = vec![id(task, 1)];
    let mut again = Worker::welcomed(&server.dispatcher, Hello { in_hand, ..worker.hello.clone() }).await;
    worker.closed().await;
    // Also while the connection is broken.
    refused(&server, impostor).await;
    again.say([succeeded(id(task, 1), "done")]);
    again.acknowledged(id(task, 1)).await;
    assert_eq!(server.end(task).await.attempt, 1);
    server.drain().await;
}

#[tokio::test]
async fn whoever_does_not_begin_with_a_hello_or_says_it_twice_is_cut_off() {
    let server = Server::start(push()).await;
    let mut rude = Worker::silent(&server.dispatcher, hello(WorkerMode::Push, 1)).await;
    rude.say([ToDispatcher::Ahead { ahead: 1 }, ToDispatcher::Hello(rude.hello.clone())]);
    rude.closed().await;
    let mut twice = Worker::push(&server, 1).await;
    twice.say([ToDispatcher::Hello(twice.hello.clone())]);
    twice.closed().await;
    assert_eq!(Worker::push(&server, 1).await.round_trip().await, []);
    server.drain().await;
}

#[tokio::test]
async fn whoever_connects_and_says_nothing_is_cut_off() {
    let dead_after = std::time::Duration::from_millis(100);
    let server = Server::start(Config { mode: Mode::Push(Remote { dead_after, ..remote() }), ..push() }).await;
    Worker::silent(&server.dispatcher, hello(WorkerMode::Push, 1)).await.closed().await;
    server.drain().await;
}

#[tokio::test]
async fn words_about_attempts_of_others_change_nothing() {
    let server = Server::start(push()).await;
    let mut honest = Worker::push(&server, 1).await;
    let task = server.submit("hello").await;
    honest.assigned().await;
    honest.say([started(id(task, 1))]);
    runs_on(&server.store, task, honest.id()).await;
    // Once out of nowhere, once after it said that it has the attempt.
    let claims = Hello { in_hand: vec![id(task, 1)], ..hello(WorkerMode::Push, 1) };
    for hostile in [hello(WorkerMode::Push, 1), claims] {
        let mut hostile = Worker::welcomed(&server.dispatcher, hostile).await;
        hostile.say([started(id(task, 1)), succeeded(id(task, 1), "forged")]);
        let said = hostile.round_trip().await;
        assert!(said.contains(&ToWorker::Acknowledged { id: id(task, 1) }), "it is to forget it: {said:?}");
        hostile.say([succeeded(id(task, 2), "forged"), ended(id(TaskId(Uuid::nil()), 1), Outcome::Succeeded)]);
        hostile.round_trip().await;
    }
    let state = server.store.state(task).await.unwrap().unwrap();
    assert_eq!((state.status, state.worker), (Status::Running, Some(honest.id())));
    assert_eq!(honest.round_trip().await, [], "nothing of this is told to whoever runs it");
    honest.say([succeeded(id(task, 1), "honest")]);
    honest.acknowledged(id(task, 1)).await;
    assert_eq!(server.store.result(task).await.unwrap().unwrap(), "honest");
    server.drain().await;
}

#[tokio::test]
async fn replays_are_harmless() {
    let server = Server::start(push()).await;
    let mut worker = Worker::push(&server, 1).await;
    let task = server.submit("hello").await;
    worker.assigned().await;
    let words = [started(id(task, 1)), succeeded(id(task, 1), "once")];
    worker.say(words.iter().cycle().take(8).cloned());
    worker.acknowledged(id(task, 1)).await;
    worker.say([succeeded(id(task, 1), "twice")]);
    // What is not known is to be forgotten, again.
    let said = worker.round_trip().await;
    assert_eq!(said, [ToWorker::Acknowledged { id: id(task, 1) }]);
    assert_eq!(server.store.result(task).await.unwrap().unwrap(), "once");
    server.drain().await;
}

#[tokio::test]
async fn a_report_beyond_its_bounds_ends_the_attempt_as_a_broken_rule() {
    let server = Server::start(push()).await;
    let mut worker = Worker::push(&server, 1).await;
    let task = server.submit("hello").await;
    worker.assigned().await;
    let outcome = Outcome::Panicked { message: "m".repeat(1024 * 1024), location: None };
    worker.say([ToDispatcher::Ended { id: id(task, 1), report: Report::without_process(outcome) }]);
    worker.acknowledged(id(task, 1)).await;
    let outcome = server.end(task).await.outcome;
    assert!(matches!(outcome, Some(Outcome::ProtocolViolation { .. })), "{outcome:?}");
    server.drain().await;
}

#[tokio::test]
async fn whoever_asks_for_too_much_of_packages_is_cut_off() {
    let server = Server::start(push()).await;
    let mut worker = Worker::push(&server, 1).await;
    let ask = ToDispatcher::Fetch { package: PACKAGE_ID, offset: 0, chunks: MAX_CHUNKS_ASKED };
    worker.say(std::iter::repeat_n(ask, 100));
    // What it asked for up to the bound may come first.
    while worker.next_or_end().await.is_some() {}
    server.drain().await;
}
