//! How a worker leaves.

use std::time::Duration;

use bulkhead_protocol::outcome::Outcome;
use bulkhead_protocol::worker_message::{ToWorker, WorkerMode};

use super::script::{assign, id, joined, soon, stage};

const LONG: Duration = Duration::from_secs(3600);

#[tokio::test]
async fn it_gives_back_what_waits_finishes_what_runs_and_stays_until_it_is_dismissed() {
    let (runs, mut stage) = stage();
    let (mut script, worker) = joined(WorkerMode::Pull, 1, runs).await;
    script.expect(&["ready 1"]).await;
    script.say(assign([1, 2]));
    script.expect(&["started 1"]).await;
    let leaving = tokio::spawn(async move { worker.drain(LONG).await });
    script.expect(&["goodbye", "ended 2 Cancelled"]).await;
    // On its way when the dispatcher heard the goodbye.
    script.say(assign([3]));
    script.expect(&["ended 3 Cancelled"]).await;
    let running = stage.begun().await;
    assert!(!running.cancel.is_cancelled());
    running.end(Outcome::Succeeded);
    script.expect(&["ended 1 Succeeded"]).await;
    assert!(stage.is_idle());
    script.say((1..=3).map(|task| ToWorker::Acknowledged { id: id(task) }).collect());
    assert!(!leaving.is_finished());
    script.say(vec![ToWorker::Dismissed]);
    soon(leaving).await.unwrap();
    script.hung_up().await;
}

#[tokio::test]
async fn what_runs_beyond_the_grace_is_killed() {
    let (runs, _stage) = stage();
    let (mut script, worker) = joined(WorkerMode::Push, 1, runs).await;
    script.say(assign([1]));
    script.expect(&["started 1"]).await;
    let leaving = tokio::spawn(async move { worker.drain(Duration::from_millis(50)).await });
    script.expect(&["goodbye", "ended 1 Cancelled"]).await;
    script.say(vec![ToWorker::Acknowledged { id: id(1) }, ToWorker::Dismissed]);
    soon(leaving).await.unwrap();
}

#[tokio::test]
async fn the_dispatcher_can_ask_it_to_leave() {
    let (runs, mut stage) = stage();
    let (mut script, mut worker) = joined(WorkerMode::Push, 1, runs).await;
    script.say(assign([1, 2]));
    script.expect(&["started 1"]).await;
    script.say(vec![ToWorker::Drain]);
    script.expect(&["goodbye", "ended 2 Cancelled"]).await;
    stage.begun().await.end(Outcome::Succeeded);
    script.expect(&["ended 1 Succeeded"]).await;
    script.say(vec![ToWorker::Acknowledged { id: id(1) }, ToWorker::Acknowledged { id: id(2) }, ToWorker::Dismissed]);
    soon(worker.left()).await.unwrap();
    soon(worker.left()).await.unwrap();
    soon(worker.drain(LONG)).await;
}

#[tokio::test]
async fn a_worker_that_is_leaving_says_so_on_a_new_connection_too() {
    let (runs, mut stage) = stage();
    let (mut script, worker) = joined(WorkerMode::Pull, 2, runs).await;
    script.expect(&["ready 2"]).await;
    script.say(assign([1]));
    script.expect(&["started 1"]).await;
    let leaving = tokio::spawn(async move { worker.drain(LONG).await });
    script.expect(&["goodbye", "ready 0"]).await;
    script.hang_up();
    assert_eq!(script.welcome().await.in_hand, [id(1)]);
    script.expect(&["goodbye", "started 1"]).await;
    stage.begun().await.end(Outcome::Succeeded);
    script.expect(&["ended 1 Succeeded"]).await;
    script.say(vec![ToWorker::Acknowledged { id: id(1) }, ToWorker::Dismissed]);
    soon(leaving).await.unwrap();
}

#[tokio::test]
async fn without_a_dispatcher_and_with_nothing_in_hand_it_leaves_at_once() {
    let (runs, _stage) = stage();
    let (script, worker) = joined(WorkerMode::Push, 1, runs).await;
    script.stop().await;
    soon(worker.drain(LONG)).await;
}
