//! The durable queue.

use bulkhead_protocol::id::TaskId;
use bulkhead_protocol::task::Priority;

use super::{Fixture, claim_one, nothing_to_claim, now_ms, submit, success, task, with_priority};

pub(super) async fn claims_go_by_priority_and_take_turns(mut fixture: Fixture) {
    let store = &fixture.store;
    let mut ids = Vec::new();
    // Function 1 floods the queue; 2 and 3 come after it.
    for function in [1, 1, 1, 2, 3, 2] {
        ids.push(submit(store, task(function)).await);
    }
    let low = submit(store, with_priority(Priority::Low, task(4))).await;
    let high = submit(store, with_priority(Priority::High, task(1))).await;
    let expected = [high, ids[0], ids[3], ids[4], ids[1], ids[5], ids[2], low];
    let claimed: Vec<TaskId> = store.claim(5).await.unwrap().iter().map(|claimed| claimed.task.id).collect();
    assert_eq!(claimed, expected[..5]);
    for expected in &expected[5..] {
        assert_eq!(claim_one(store).await.task.id, *expected);
    }
    // After a restart the order inside each function is still that of the submission.
    fixture.reopen().await;
    let claimed: Vec<TaskId> = fixture.store.claim(8).await.unwrap().iter().map(|claimed| claimed.task.id).collect();
    let of_one: Vec<_> = claimed.iter().filter(|id| ids[..3].contains(id)).copied().collect();
    assert_eq!(of_one, ids[..3]);
    assert_eq!((claimed[0], claimed[7]), (high, low));
}

pub(super) async fn a_claim_is_not_repeated(fixture: Fixture) {
    let store = &fixture.store;
    let id = submit(store, task(1)).await;
    assert_eq!(claim_one(store).await.task.id, id);
    assert_eq!(store.queued().await.unwrap(), 0);
    assert!(nothing_to_claim(store).await);
}

pub(super) async fn a_claim_waits_and_wakes(fixture: Fixture) {
    let store = fixture.store.clone();
    let claim = tokio::spawn(async move { claim_one(&store).await.task.id });
    let id = submit(&fixture.store, task(1)).await;
    assert_eq!(claim.await.unwrap(), id);
}

pub(super) async fn a_dropped_claim_loses_nothing(fixture: Fixture) {
    let store = &fixture.store;
    let mut submitted = Vec::new();
    for _ in 0..50 {
        let claiming = store.clone();
        let claim = tokio::spawn(async move { claiming.claim(1).await.unwrap() });
        submitted.push(submit(store, task(1)).await);
        claim.abort();
        // A claim that had ended when it was dropped has its task; the others took none.
        if let Ok(claimed) = claim.await {
            submitted.retain(|id| *id != claimed[0].task.id);
        }
    }
    assert_eq!(store.queued().await.unwrap(), submitted.len());
    while !submitted.is_empty() {
        assert_eq!(claim_one(store).await.task.id, submitted.remove(0));
    }
}

pub(super) async fn a_delayed_task_waits_for_its_time(mut fixture: Fixture) {
    let soon_ms = now_ms() + 300;
    let delayed = |at_ms| {
        let mut delayed = task(1);
        delayed.options.not_before_ms = Some(at_ms);
        delayed
    };
    let last = submit(&fixture.store, delayed(now_ms() + 3_600_000)).await;
    let second = submit(&fixture.store, delayed(soon_ms + 1)).await;
    let first = submit(&fixture.store, delayed(soon_ms)).await;
    let cancelled = submit(&fixture.store, delayed(soon_ms)).await;
    let past = submit(&fixture.store, delayed(1)).await;
    fixture.reopen().await;
    let store = &fixture.store;
    assert_eq!(store.queued().await.unwrap(), 5);
    assert_eq!(claim_one(store).await.task.id, past);
    store.cancel_queued(cancelled, 1).await.unwrap();
    // Waits for the time itself, though nothing else happens meanwhile.
    assert_eq!(claim_one(store).await.task.id, first);
    assert!(now_ms() >= soon_ms);
    assert_eq!(claim_one(store).await.task.id, second);
    assert!(nothing_to_claim(store).await);
    assert_eq!(store.queued().await.unwrap(), 1);
    store.finish(first, 1, success(b""), false, 1).await.unwrap();
    store.cancel_queued(last, 1).await.unwrap();
    assert_eq!(store.queued().await.unwrap(), 0);
}

pub(super) async fn a_long_queue_is_handed_out_in_order(mut fixture: Fixture) {
    // Longer than any window that a backend reads ahead, with gaps inside and outside of it.
    const TASKS: usize = 1000;
    let tasks: Vec<_> = (0..TASKS).map(|_| task(1)).collect();
    let mut ids: Vec<_> = tasks.iter().map(|task| task.id).collect();
    fixture.store.submit(tasks).await.unwrap();
    for number in [1, 7, 130, 600, 601, 999] {
        fixture.store.cancel_queued(ids[number], 1).await.unwrap();
    }
    let mut number = 0;
    ids.retain(|_| {
        number += 1;
        ![1, 7, 130, 600, 601, 999].contains(&(number - 1))
    });
    let claimed = fixture.store.claim(300).await.unwrap();
    assert!(claimed.iter().map(|claimed| claimed.task.id).eq(ids[..300].iter().copied()));
    for id in &ids[..300] {
        fixture.store.finish(*id, 1, success(b""), false, 1).await.unwrap();
    }
    fixture.reopen().await;
    assert_eq!(fixture.store.queued().await.unwrap(), ids.len() - 300);
    let claimed = fixture.store.claim(TASKS).await.unwrap();
    assert!(claimed.iter().map(|claimed| claimed.task.id).eq(ids[300..].iter().copied()));
    assert!(nothing_to_claim(&fixture.store).await);
}
