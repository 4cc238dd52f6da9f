//! How a worker joins, and why it does not.

use std::time::Duration;

use bulkhead_protocol::runner_message::MAX_SLOTS;
use bulkhead_protocol::worker_message::{MAX_WORKER_NAME_BYTES, ToWorker, WorkerMode};

use super::script::{Script, config, instant, soon, starting};
use crate::link::{ConnectError, JoinKey};
use crate::worker::{Config, Error};

#[tokio::test]
async fn it_introduces_itself() {
    let mut script = Script::bind();
    let named = Config { name: "blue-3".to_owned(), ..config(script.endpoint(), WorkerMode::Pull, 3) };
    let starting = starting(named, instant());
    let hello = script.welcome().await;
    let worker = soon(starting).await.unwrap().unwrap();
    assert_eq!((hello.worker, hello.mode, hello.slots, hello.in_hand.len()), (worker.id(), WorkerMode::Pull, 3, 0));
    assert_eq!(hello.name, "blue-3");
}

#[tokio::test]
async fn it_waits_for_a_dispatcher_that_comes_later() {
    let script = Script::bind();
    let endpoint = script.endpoint();
    script.stop().await;
    let starting = starting(config(endpoint.clone(), WorkerMode::Push, 1), instant());
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(!starting.is_finished());
    let mut script = Script::bind_to(&endpoint.to_string(), None);
    script.welcome().await;
    soon(starting).await.unwrap().unwrap();
}

#[tokio::test]
async fn it_gives_up_on_a_dispatcher_that_never_comes_and_says_why() {
    let script = Script::bind();
    let endpoint = script.endpoint();
    script.stop().await;
    let wait = Duration::from_millis(300);
    let impatient = Config { connect_wait: wait, ..config(endpoint.clone(), WorkerMode::Push, 1) };
    let error = soon(starting(impatient, instant())).await.unwrap().unwrap_err();
    assert!(error.to_string().contains(&endpoint.to_string()) && error.to_string().contains("300ms"), "{error}");
    let Error::GaveUp { source, .. } = error else { panic!("{error:?}") };
    assert!(matches!(source, ConnectError::Unreachable { .. }), "{source:?}");
}

#[tokio::test]
async fn a_refusal_ends_it_with_the_dispatchers_words() {
    let mut script = Script::bind();
    let starting = starting(config(script.endpoint(), WorkerMode::Push, 1), instant());
    script.hello().await;
    script.say(vec![ToWorker::Refused { reason: "this dispatcher pulls".to_owned() }]);
    let error = soon(starting).await.unwrap().unwrap_err();
    assert!(matches!(&error, Error::Refused { reason, .. } if reason == "this dispatcher pulls"), "{error:?}");
}

#[tokio::test]
async fn another_join_key_ends_it() {
    let key = |text: &str| JoinKey::from_text(text).unwrap();
    let script = Script::bind_to("tcp://127.0.0.1:0", Some(&key("the key of the dispatcher")));
    for (ours, wrong) in
        [(None, "asks for a join key"), (Some(key("the key of someone else")), "is not the dispatcher's")]
    {
        let config = Config { join_key: ours, ..config(script.endpoint(), WorkerMode::Push, 1) };
        let error = soon(starting(config, instant())).await.unwrap().unwrap_err();
        let Error::Connect { source, .. } = &error else { panic!("{error:?}") };
        assert!(source.to_string().contains(wrong), "{source}");
    }
}

#[tokio::test]
async fn a_sealed_link_works_like_any_other() {
    let key = JoinKey::from_text("the key of the dispatcher").unwrap();
    let mut script = Script::bind_to("tcp://127.0.0.1:0", Some(&key));
    let config = Config { join_key: Some(key), ..config(script.endpoint(), WorkerMode::Pull, 1) };
    let starting = starting(config, instant());
    script.welcome().await;
    let _worker = soon(starting).await.unwrap().unwrap();
    script.expect(&["ready 1"]).await;
}

#[tokio::test]
async fn names_have_bounds() {
    let mut script = Script::bind();
    for name in [String::new(), "a\nb".to_owned(), "n".repeat(MAX_WORKER_NAME_BYTES + 1)] {
        let named = Config { name, ..config(script.endpoint(), WorkerMode::Push, 1) };
        assert!(matches!(starting(named, instant()).await.unwrap().unwrap_err(), Error::Name));
    }
    let named = Config { name: "n".repeat(MAX_WORKER_NAME_BYTES), ..config(script.endpoint(), WorkerMode::Push, 1) };
    let starting = starting(named, instant());
    script.welcome().await;
    soon(starting).await.unwrap().unwrap();
}

#[tokio::test]
async fn slots_have_bounds() {
    let script = Script::bind();
    for slots in [0, MAX_SLOTS + 1] {
        let error = starting(config(script.endpoint(), WorkerMode::Push, slots), instant()).await.unwrap().unwrap_err();
        assert!(matches!(error, Error::Slots { slots: found } if found == slots), "{error:?}");
    }
}

#[tokio::test]
async fn one_that_is_asked_to_leave_before_it_has_joined_does() {
    let mut script = Script::bind();
    let config = config(script.endpoint(), WorkerMode::Push, 1);
    let (leave, starting) = (config.leave.clone(), starting(config, instant()));
    script.hello().await;
    leave.cancel();
    assert!(matches!(soon(starting).await.unwrap(), Err(Error::Left)));
    script.hung_up().await;
}

#[tokio::test]
async fn whoever_stops_waiting_for_it_leaves_nothing_behind() {
    let mut script = Script::bind();
    let starting = starting(config(script.endpoint(), WorkerMode::Push, 1), instant());
    script.hello().await;
    starting.abort();
    script.hung_up().await;
}
