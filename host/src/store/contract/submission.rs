//! How tasks come in.

use bulkhead_protocol::task::{Spent, Status, TaskState};

use super::{Fixture, WORKER, claim_one, now_ms, submit, success, task};
use crate::store::{IDEMPOTENCY_WINDOW_MS, Submitted, Transition};

pub(super) async fn a_stored_task_reads_back(fixture: Fixture) {
    let store = &fixture.store;
    let mut stored = task(1);
    stored.options.labels.insert("k".to_owned(), "v".to_owned());
    submit(store, stored.clone()).await;
    let (read, state) = store.task(stored.id).await.unwrap().unwrap();
    assert_eq!((*read).clone(), stored);
    assert_eq!(state, TaskState::queued());
    assert_eq!(store.state(stored.id).await.unwrap(), Some(TaskState::queued()));
    assert_eq!(*claim_one(store).await.task, stored);
    let unknown = task(1).id;
    assert!(store.task(unknown).await.unwrap().is_none());
    assert!(store.state(unknown).await.unwrap().is_none());
    assert!(!store.is_expired(unknown).await.unwrap());
}

pub(super) async fn large_payloads_read_back(fixture: Fixture) {
    let store = &fixture.store;
    // Around the sizes at which backends store payloads in other ways.
    for bytes in [0, 1, 1023, 1024, 1025, 65_536, 3_000_000] {
        let mut stored = task(1);
        stored.input.bytes = vec![7; bytes];
        submit(store, stored.clone()).await;
        assert_eq!(store.task(stored.id).await.unwrap().unwrap().0.input, stored.input);
        assert_eq!(claim_one(store).await.task.input, stored.input);
        store.finish(stored.id, 1, success(&vec![8; bytes]), false, 1).await.unwrap();
        assert_eq!(store.result(stored.id).await.unwrap().unwrap(), vec![8; bytes]);
    }
}

pub(super) async fn an_idempotency_key_is_one_task(mut fixture: Fixture) {
    let keyed = |function| {
        let mut keyed = task(function);
        keyed.options.idempotency_key = Some("key".to_owned());
        keyed
    };
    let first = keyed(1);
    let id = first.id;
    let mut other_input = keyed(1);
    other_input.input.bytes.push(b' ');
    // Within one request as well as between requests.
    let answers = fixture.store.submit(vec![first, keyed(1), keyed(2)]).await.unwrap();
    assert_eq!(answers, [Submitted::Stored, Submitted::Duplicate(id), Submitted::Conflict(id)]);
    fixture.reopen().await;
    let store = &fixture.store;
    assert_eq!(store.submit(vec![other_input]).await.unwrap(), [Submitted::Conflict(id)]);
    assert_eq!(store.queued().await.unwrap(), 1);
    store.finish(claim_one(store).await.task.id, 1, success(b""), false, 1).await.unwrap();
    assert_eq!(store.submit(vec![keyed(1)]).await.unwrap(), [Submitted::Duplicate(id)]);
}

pub(super) async fn an_idempotency_key_is_free_after_its_window(fixture: Fixture) {
    let store = &fixture.store;
    let at = |submitted_at_ms| {
        let mut keyed = task(1);
        keyed.options.idempotency_key = Some("key".to_owned());
        keyed.submitted_at_ms = submitted_at_ms;
        keyed
    };
    let first = submit(store, at(1000)).await;
    let inside = store.submit(vec![at(1000 + IDEMPOTENCY_WINDOW_MS - 1)]).await.unwrap();
    assert_eq!(inside, [Submitted::Duplicate(first)]);
    let second = submit(store, at(1000 + IDEMPOTENCY_WINDOW_MS)).await;
    let third = store.submit(vec![at(1001 + IDEMPOTENCY_WINDOW_MS)]).await.unwrap();
    assert_eq!(third, [Submitted::Duplicate(second)]);
    // Forgetting what is over its window leaves the newer one alone.
    store.expire(1000 + IDEMPOTENCY_WINDOW_MS + 1, std::time::Duration::MAX).await.unwrap();
    let fourth = store.submit(vec![at(1002 + IDEMPOTENCY_WINDOW_MS)]).await.unwrap();
    assert_eq!(fourth, [Submitted::Duplicate(second)]);
    store.expire(1000 + 2 * IDEMPOTENCY_WINDOW_MS + 1, std::time::Duration::MAX).await.unwrap();
    submit(store, at(1003 + IDEMPOTENCY_WINDOW_MS)).await;
}

pub(super) async fn the_queue_has_a_bound(fixture: Fixture) {
    let fixture = fixture.with_max_queued(3).await;
    let store = &fixture.store;
    let mut delayed = task(1);
    delayed.options.not_before_ms = Some(now_ms() + 3_600_000);
    let answers = store.submit(vec![delayed, task(1), task(1), task(1)]).await.unwrap();
    assert_eq!(answers, [Submitted::Stored, Submitted::Stored, Submitted::Stored, Submitted::QueueFull]);
    assert_eq!(store.queued().await.unwrap(), 3);
    let refused = task(1);
    assert_eq!(store.submit(vec![refused.clone()]).await.unwrap(), [Submitted::QueueFull]);
    assert!(store.state(refused.id).await.unwrap().is_none());
    let claimed = claim_one(store).await;
    assert_eq!(store.queued().await.unwrap(), 2);
    submit(store, task(1)).await;
    // What was acknowledged always finds room.
    assert_eq!(store.started(claimed.task.id, 1, WORKER, 1).await.unwrap(), Transition::Applied);
    let outcome = bulkhead_protocol::outcome::Outcome::WorkerLost;
    assert_eq!(store.requeue(claimed.task.id, 1, outcome, Spent::default(), 0).await.unwrap(), Transition::Applied);
    assert_eq!(store.queued().await.unwrap(), 4);
}

pub(super) async fn an_adopted_task_runs(mut fixture: Fixture) {
    let adopted = [task(1), task(1)];
    for task in &adopted {
        fixture.store.adopt(task.clone(), 77).await.unwrap();
    }
    let store = &fixture.store;
    assert_eq!(store.queued().await.unwrap(), 0);
    let state = store.state(adopted[0].id).await.unwrap().unwrap();
    assert_eq!((state.status, state.attempt, state.started_at_ms), (Status::Running, 1, Some(77)));
    assert_eq!(store.finish(adopted[0].id, 1, success(b"r"), false, 80).await.unwrap(), Transition::Applied);
    fixture.reopen().await;
    let claimed = claim_one(&fixture.store).await;
    assert_eq!((claimed.task.id, claimed.state.attempt), (adopted[1].id, 1));
}

pub(super) async fn everything_outlives_a_restart(mut fixture: Fixture) {
    let store = &fixture.store;
    let [ended, running, claimed, queued] = [task(1), task(2), task(3), task(4)];
    store.submit(vec![ended.clone(), running.clone(), claimed.clone(), queued.clone()]).await.unwrap();
    store.claim(3).await.unwrap();
    store.started(ended.id, 1, WORKER, 5).await.unwrap();
    store.finish(ended.id, 1, success(b"result"), false, 6).await.unwrap();
    store.started(running.id, 1, WORKER, 7).await.unwrap();
    fixture.reopen().await;
    let store = &fixture.store;
    assert_eq!(store.queued().await.unwrap(), 3);
    let state = store.state(ended.id).await.unwrap().unwrap();
    assert_eq!((state.status, state.started_at_ms, state.ended_at_ms), (Status::Completed, Some(5), Some(6)));
    assert_eq!(store.result(ended.id).await.unwrap().unwrap(), b"result".as_slice());
    let state = store.state(running.id).await.unwrap().unwrap();
    assert_eq!((state.status, state.attempt), (Status::Queued, 1), "it goes on from its attempt");
    let mut again: Vec<_> = store.claim(10).await.unwrap().into_iter().map(|claimed| claimed.task.id).collect();
    again.sort();
    let mut expected = [running.id, claimed.id, queued.id];
    expected.sort();
    assert_eq!(again, expected);
}
