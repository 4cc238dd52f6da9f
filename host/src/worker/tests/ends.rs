//! Ends are said until they are acknowledged, whatever becomes of connections.

use bulkhead_protocol::outcome::{Logs, Outcome, Report};
use bulkhead_protocol::worker_message::{ToDispatcher, ToWorker, WorkerMode};

use super::script::{Script, assign, id, joined, report, stage};

#[tokio::test]
async fn a_new_connection_hears_of_everything_in_hand() {
    let (runs, mut stage) = stage();
    let (mut script, _worker) = joined(WorkerMode::Push, 2, runs).await;
    script.say(assign([1, 2, 3]));
    script.expect(&["started 1", "started 2"]).await;
    let (first, _second) = (stage.begun().await, stage.begun().await);
    first.end(Outcome::Succeeded);
    script.expect(&["ended 1 Succeeded", "started 3"]).await;
    script.hang_up();

    let mut in_hand = script.welcome().await.in_hand;
    in_hand.sort();
    assert_eq!(in_hand, [id(1), id(2), id(3)]);
    assert_eq!(script.hear_some(3).await, ["ended 1 Succeeded", "started 2", "started 3"]);
    script.say(vec![ToWorker::Acknowledged { id: id(1) }]);

    // What ends between two connections is said on the next.
    stage.begun().await.end(Outcome::Succeeded);
    script.expect(&["ended 3 Succeeded"]).await;
    script.hang_up();
    let mut in_hand = script.welcome().await.in_hand;
    in_hand.sort();
    assert_eq!(in_hand, [id(2), id(3)], "what was acknowledged is forgotten");
    assert_eq!(script.hear_some(2).await, ["ended 3 Succeeded", "started 2"]);
}

#[tokio::test]
async fn attempts_outlive_their_dispatcher_and_the_next_one_hears_how_they_ended() {
    let (runs, mut stage) = stage();
    let (mut script, worker) = joined(WorkerMode::Pull, 2, runs).await;
    script.expect(&["ready 2"]).await;
    script.say(assign([1, 2]));
    script.expect(&["started 1", "started 2"]).await;
    let endpoint = script.endpoint().to_string();
    script.stop().await;
    let logs = Logs { stdout: b"printed".to_vec(), ..Logs::default() };
    let full = Report { result: b"result".to_vec(), logs, ..report(Outcome::Succeeded) };
    stage.begun().await.end_with(full.clone());

    let mut script = Script::bind_to(&endpoint, None);
    let hello = script.welcome().await;
    assert_eq!((hello.worker, hello.mode, hello.slots), (worker.id(), WorkerMode::Pull, 2));
    assert_eq!(hello.in_hand.len(), 2);
    let (mut ended, mut others) = (None, Vec::new());
    for _ in 0..3 {
        match script.hear().await {
            ToDispatcher::Ended { id, report } => ended = Some((id, report)),
            other => others.push(super::script::summary(&other)),
        }
    }
    assert_eq!(ended, Some((id(1), full)));
    assert_eq!(others, ["started 2", "ready 1"]);
}

#[tokio::test]
async fn an_evicted_worker_says_hello_again() {
    let (runs, mut stage) = stage();
    let (mut script, worker) = joined(WorkerMode::Push, 1, runs).await;
    script.say(assign([1]));
    script.expect(&["started 1"]).await;
    script.say(vec![ToWorker::Evicted]);
    let hello = script.welcome().await;
    assert_eq!((hello.worker, hello.in_hand), (worker.id(), vec![id(1)]));
    script.expect(&["started 1"]).await;
    script.say(vec![ToWorker::Cancel { id: id(1) }]);
    script.expect(&["ended 1 Cancelled"]).await;
    assert!(stage.begun().await.cancel.is_cancelled());
}

#[tokio::test]
async fn what_ends_before_the_welcome_is_said_after_it() {
    let (runs, mut stage) = stage();
    let (mut script, _worker) = joined(WorkerMode::Push, 1, runs).await;
    script.say(assign([1]));
    script.expect(&["started 1"]).await;
    script.hang_up();
    assert_eq!(script.hello().await.in_hand, [id(1)]);
    stage.begun().await.end(Outcome::Succeeded);
    script.say(vec![ToWorker::Welcome { heartbeat_ms: 2_000, dead_after_ms: 10_000 }]);
    loop {
        // It may have been running still when the welcome came.
        match super::script::summary(&script.hear().await).as_str() {
            "started 1" => {}
            "ended 1 Succeeded" => break,
            other => panic!("{other}"),
        }
    }
}
