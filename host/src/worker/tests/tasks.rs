//! Which tasks a worker asks for, and how it runs them.

use std::time::Duration;

use bulkhead_protocol::outcome::Outcome;
use bulkhead_protocol::task::{Encoding, Input, Progress};
use bulkhead_protocol::worker_message::{MAX_IN_HAND, ToDispatcher, ToWorker, WorkerMode};

use super::script::{assign, assignment, id, instant, joined, stage, summary};

#[tokio::test]
async fn pull_asks_for_its_slots_and_again_when_one_is_free() {
    let (runs, mut stage) = stage();
    let (mut script, _worker) = joined(WorkerMode::Pull, 2, runs).await;
    script.expect(&["ready 2"]).await;
    script.say(assign([1, 2]));
    script.expect(&["started 1", "started 2"]).await;
    stage.begun().await.end(Outcome::Succeeded);
    script.expect(&["ended 1 Succeeded", "ready 1"]).await;
}

#[tokio::test]
async fn what_exceeds_the_slots_waits_for_its_turn() {
    let (runs, mut stage) = stage();
    let (mut script, _worker) = joined(WorkerMode::Push, 1, runs).await;
    script.say(assign([1, 2, 3]));
    for task in 1..=3 {
        script.expect(&[&format!("started {task}")]).await;
        let begun = stage.begun().await;
        assert_eq!(begun.call.task, id(task).task);
        assert!(stage.is_idle());
        begun.end(Outcome::Succeeded);
        script.expect(&[&format!("ended {task} Succeeded")]).await;
    }
}

#[tokio::test]
async fn a_call_has_all_that_came_with_the_assignment() {
    let (runs, mut stage) = stage();
    let (script, _worker) = joined(WorkerMode::Push, 1, runs).await;
    let mut full = assignment(id(7));
    full.id.attempt = 3;
    full.config = b"{}".to_vec();
    full.timeout_ms = Some(1500);
    full.input = Input { encoding: Encoding::Bincode, bytes: b"input".to_vec() };
    script.say(vec![ToWorker::Assign(full.clone())]);
    let call = stage.begun().await.call;
    assert_eq!((call.task, call.attempt, &*call.function), (full.id.task, 3, &full.function));
    assert_eq!((&call.config[..], &call.input[..], call.encoding), (&b"{}"[..], &b"input"[..], Encoding::Bincode));
    assert_eq!(call.timeout, Some(Duration::from_millis(1500)));
}

#[tokio::test]
async fn short_attempts_make_it_take_more_than_it_has_slots_for() {
    let (mut script, _worker) = joined(WorkerMode::Push, 2, instant()).await;
    let mut ahead = 0;
    for task in 0.. {
        script.say(assign([task]));
        loop {
            match script.hear().await {
                ToDispatcher::Started { .. } => {}
                ToDispatcher::Ended { .. } => break,
                ToDispatcher::Ahead { ahead: more } => ahead = more,
                other => panic!("{other:?}"),
            }
        }
        script.say(vec![ToWorker::Acknowledged { id: id(task) }]);
        if ahead > 0 {
            break;
        }
        assert!(task < 10_000, "it never took more");
    }
    // As many for each of its two slots as there may be.
    assert!(ahead <= 2 * 128, "{ahead}");
}

#[tokio::test]
async fn what_waits_behind_long_attempts_is_given_back() {
    let (runs, mut stage) = stage();
    let (mut script, _worker) = joined(WorkerMode::Push, 2, runs).await;
    script.say(assign([1, 2, 3, 4]));
    script.expect(&["started 1", "started 2"]).await;
    let mut heard = script.hear_some(2).await;
    heard.retain(|said| !said.starts_with("ahead"));
    assert_eq!(heard, ["ended 3 Cancelled", "ended 4 Cancelled"]);
    let (first, second) = (stage.begun().await, stage.begun().await);
    assert!(!first.cancel.is_cancelled() && !second.cancel.is_cancelled() && stage.is_idle());
}

#[tokio::test]
async fn an_attempt_that_comes_twice_runs_once_and_ends_as_often_as_it_is_asked_for() {
    let (runs, mut stage) = stage();
    let (mut script, _worker) = joined(WorkerMode::Push, 2, runs).await;
    script.say(assign([1, 1]));
    script.expect(&["started 1"]).await;
    script.say(assign([1, 2]));
    script.expect(&["started 2"]).await;
    stage.begun().await.end(Outcome::Succeeded);
    script.expect(&["ended 1 Succeeded"]).await;
    script.say(assign([1]));
    script.expect(&["ended 1 Succeeded"]).await;
    let second = stage.begun().await;
    assert!(second.call.task == id(2).task && stage.is_idle());
    // Once it is acknowledged, its number means nothing here any more.
    script.say(vec![ToWorker::Acknowledged { id: id(1) }]);
    script.say(assign([1]));
    script.expect(&["started 1"]).await;
}

#[tokio::test]
async fn what_waits_is_cancelled_without_running_and_what_runs_is_killed() {
    let (runs, mut stage) = stage();
    let (mut script, _worker) = joined(WorkerMode::Push, 1, runs).await;
    script.say(assign([1, 2]));
    script.expect(&["started 1"]).await;
    script.say(vec![ToWorker::Cancel { id: id(2) }]);
    script.expect(&["ended 2 Cancelled"]).await;
    script.say(vec![ToWorker::Cancel { id: id(9) }, ToWorker::Cancel { id: id(1) }]);
    script.expect(&["ended 1 Cancelled"]).await;
    assert_eq!(stage.begun().await.call.task, id(1).task);
    assert!(stage.is_idle());
    // Once more, as after a lost answer.
    script.say(vec![ToWorker::Cancel { id: id(1) }]);
    script.expect(&["ended 1 Cancelled"]).await;
}

#[tokio::test]
async fn a_panic_of_the_executor_is_a_report_like_any_other() {
    let (mut runs, _stage) = stage();
    runs.run = std::sync::Arc::new(|_, _| Box::pin(async { panic!("a mistake, made by this test") }));
    let (mut script, _worker) = joined(WorkerMode::Push, 1, runs).await;
    script.say(assign([1]));
    script.expect(&["started 1", "ended 1 SetupFailed"]).await;
}

#[tokio::test]
async fn the_progress_of_a_long_attempt_is_told_when_it_changes() {
    let (runs, mut stage) = stage();
    let (mut script, _worker) = joined(WorkerMode::Push, 1, runs).await;
    let at = |fraction| Some(Progress { fraction, message: "half".to_owned() });
    *stage.progress.lock().unwrap() = at(0.25);
    script.say(assign([1]));
    script.expect(&["started 1", "progress 1 0.25"]).await;
    *stage.progress.lock().unwrap() = at(0.5);
    script.expect(&["progress 1 0.5"]).await;
    stage.begun().await.end(Outcome::Succeeded);
    script.expect(&["ended 1 Succeeded"]).await;
}

#[tokio::test]
async fn a_dispatcher_that_assigns_without_end_is_hung_up_on() {
    let (runs, _stage) = stage();
    let (mut script, _worker) = joined(WorkerMode::Push, 1, runs).await;
    let mut tasks = 0..=MAX_IN_HAND as u128;
    while !tasks.is_empty() {
        script.say(assign(tasks.by_ref().take(1000)));
    }
    // It says what it had begun and given back before, then comes anew with all that it took.
    let in_hand = loop {
        if let ToDispatcher::Hello(hello) = script.hear().await {
            break hello.in_hand;
        }
    };
    assert_eq!(in_hand.len(), MAX_IN_HAND);
}

#[tokio::test]
async fn words_that_go_together_are_one_batch_in_the_order_of_events() {
    let (runs, mut stage) = stage();
    let (mut script, _worker) = joined(WorkerMode::Pull, 1, runs).await;
    script.expect(&["ready 1"]).await;
    script.say(assign([1, 2]));
    script.expect(&["started 1"]).await;
    stage.begun().await.end(Outcome::Succeeded);
    // The end before the start that it makes room for.
    let said = [summary(&script.hear().await), summary(&script.hear().await)];
    assert_eq!(said, ["ended 1 Succeeded", "started 2"]);
}
