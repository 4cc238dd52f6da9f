//! Signs of life, and what ends a connection.

use bulkhead_protocol::worker_message::{ToDispatcher, ToWorker, WorkerMode};

use super::script::{Script, assign, config, instant, soon, stage, starting};

#[tokio::test]
async fn an_idle_worker_says_that_it_lives() {
    let mut script = Script::bind();
    let starting = starting(config(script.endpoint(), WorkerMode::Push, 1), instant());
    script.welcome_with(50, 10_000).await;
    let _worker = soon(starting).await.unwrap().unwrap();
    for _ in 0..3 {
        assert_eq!(script.hear_anything().await, ToDispatcher::Heartbeat);
    }
}

#[tokio::test]
async fn a_silent_dispatcher_is_left_and_connected_to_again() {
    let (runs, mut stage) = stage();
    let mut script = Script::bind();
    let starting = starting(config(script.endpoint(), WorkerMode::Push, 1), runs);
    let first = script.welcome_with(50, 200).await;
    let _worker = soon(starting).await.unwrap().unwrap();
    script.say(assign([1]));
    let again = loop {
        if let ToDispatcher::Hello(hello) = script.hear().await {
            break hello;
        }
    };
    assert_eq!((again.worker, again.token), (first.worker, first.token));
    assert_eq!(again.in_hand.len(), 1);
    assert!(!stage.begun().await.cancel.is_cancelled(), "attempts go on");
}

#[tokio::test]
async fn heartbeats_of_the_dispatcher_keep_the_connection() {
    let mut script = Script::bind();
    let starting = starting(config(script.endpoint(), WorkerMode::Push, 1), instant());
    script.welcome_with(50, 4_000).await;
    let _worker = soon(starting).await.unwrap().unwrap();
    // Longer than the dead time altogether.
    for _ in 0..60 {
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        script.say(vec![ToWorker::Heartbeat]);
    }
    script.say(assign([1]));
    script.expect(&["started 1", "ended 1 Succeeded"]).await;
}

#[tokio::test]
async fn a_dispatcher_that_breaks_the_rules_is_left() {
    for wrong in [assign([1]), vec![ToWorker::Welcome { heartbeat_ms: 1, dead_after_ms: 1 }; 2]] {
        let mut script = Script::bind();
        let starting = starting(config(script.endpoint(), WorkerMode::Push, 1), instant());
        script.hello().await;
        script.say(wrong);
        script.hung_up().await;
        script.welcome().await;
        soon(starting).await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn a_refusal_after_the_first_welcome_is_no_end() {
    let mut script = Script::bind();
    let starting = starting(config(script.endpoint(), WorkerMode::Push, 1), instant());
    script.welcome().await;
    let _worker = soon(starting).await.unwrap().unwrap();
    script.hang_up();
    script.hello().await;
    script.say(vec![ToWorker::Refused { reason: "not now".to_owned() }]);
    script.hung_up().await;
    script.welcome().await;
    script.say(assign([1]));
    script.expect(&["started 1", "ended 1 Succeeded"]).await;
}
