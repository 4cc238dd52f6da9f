//! Listings, and what goes when its time is over.

use std::time::Duration;

use bulkhead_protocol::id::TaskId;
use bulkhead_protocol::task::Status;

use super::{Fixture, WORKER, claim_one, submit, success, task};
use crate::store::{Store, TOMBSTONE_MS, TaskFilter};

async fn list(store: &Store, filter: TaskFilter) -> Vec<TaskId> {
    let page = store.tasks(&filter).await.unwrap();
    assert!(page.tasks.iter().all(|(task, _)| task.input.bytes.is_empty()));
    page.tasks.iter().map(|(task, _)| task.id).collect()
}

pub(super) async fn filters_narrow_a_listing(fixture: Fixture) {
    let store = &fixture.store;
    let ended = submit(store, task(1)).await;
    claim_one(store).await;
    store.finish(ended, 1, success(b""), false, 1).await.unwrap();
    let running = submit(store, task(1)).await;
    claim_one(store).await;
    store.started(running, 1, WORKER, 1).await.unwrap();
    let mut labelled = task(2);
    labelled.options.labels.insert("k".to_owned(), "v".to_owned());
    let mut late = task(2);
    late.submitted_at_ms += 1_000;
    let since_ms = late.submitted_at_ms;
    let (labelled, late) = (submit(store, labelled).await, submit(store, late).await);
    let all = TaskFilter { limit: 10, ..TaskFilter::default() };
    assert_eq!(list(store, all.clone()).await, [late, labelled, running, ended]);
    let of = |status| TaskFilter { status: Some(status), ..all.clone() };
    assert_eq!(list(store, of(Status::Queued)).await, [late, labelled]);
    assert_eq!(list(store, of(Status::Running)).await, [running]);
    assert_eq!(list(store, of(Status::Completed)).await, [ended]);
    assert!(list(store, of(Status::Failed)).await.is_empty());
    let named = TaskFilter { function_name: Some("f1".to_owned()), ..all.clone() };
    assert_eq!(list(store, named).await, [running, ended]);
    let label = |value: &str| TaskFilter { labels: vec![("k".to_owned(), value.to_owned())], ..all.clone() };
    assert_eq!(list(store, label("v")).await, [labelled]);
    assert!(list(store, label("w")).await.is_empty());
    assert_eq!(list(store, TaskFilter { since_ms: Some(since_ms), ..all }).await, [late]);
}

pub(super) async fn pages_follow_each_other(fixture: Fixture) {
    let store = &fixture.store;
    let mut ids = Vec::new();
    for _ in 0..7 {
        ids.insert(0, submit(store, task(1)).await);
    }
    let mut filter = TaskFilter { limit: 3, ..TaskFilter::default() };
    let mut seen = Vec::new();
    loop {
        let page = store.tasks(&filter).await.unwrap();
        assert!(page.tasks.len() <= 3);
        seen.extend(page.tasks.iter().map(|(task, _)| task.id));
        filter.cursor = page.cursor;
        if page.cursor.is_none() {
            break;
        }
    }
    assert_eq!(seen, ids);
    let whole = store.tasks(&TaskFilter { limit: 7, ..TaskFilter::default() }).await.unwrap();
    assert_eq!((whole.tasks.len(), whole.cursor), (7, None));
}

pub(super) async fn ended_tasks_expire(mut fixture: Fixture) {
    const HOUR_MS: u64 = 3_600_000;
    let ttl = Duration::from_millis(HOUR_MS);
    let store = &fixture.store;
    let mut short = task(1);
    short.options.result_ttl_ms = Some(10);
    let mut long = task(1);
    long.options.result_ttl_ms = Some(2 * HOUR_MS);
    long.input.bytes = vec![1; 5000];
    let usual = task(1);
    let [short, usual, long] = [submit(store, short).await, submit(store, usual).await, submit(store, long).await];
    let queued = submit(store, task(1)).await;
    for id in [short, usual, long] {
        store.finish(id, 1, success(&[2; 5000]), false, 1000).await.unwrap();
    }
    let there = async |store: &Store, id| store.state(id).await.unwrap().is_some();
    assert_eq!(store.expire(1010, ttl).await.unwrap(), 0, "an end is kept through its last millisecond");
    assert_eq!(store.expire(1011, ttl).await.unwrap(), 1);
    assert!(!there(store, short).await && there(store, usual).await);
    assert_eq!(store.expire(1001 + HOUR_MS, ttl).await.unwrap(), 1);
    assert!(!there(store, usual).await && there(store, long).await);
    assert_eq!(store.expire(1001 + 2 * HOUR_MS, ttl).await.unwrap(), 1);
    assert!(store.result(long).await.unwrap().is_none() && store.task(long).await.unwrap().is_none());
    assert_eq!(store.expire(u64::MAX / 2, ttl).await.unwrap(), 0, "a queued task never expires");
    assert!(there(store, queued).await);
    fixture.reopen().await;
    let store = &fixture.store;
    assert!(!store.is_expired(queued).await.unwrap() && !store.is_expired(task(1).id).await.unwrap());
    // That last look at the far future has also forgotten the tombstones.
    assert!(!store.is_expired(short).await.unwrap());
    let again = submit(store, task(1)).await;
    store.finish(again, 1, success(b""), false, 1000).await.unwrap();
    assert_eq!(store.expire(1001 + HOUR_MS, ttl).await.unwrap(), 1);
    assert!(store.is_expired(again).await.unwrap());
    store.expire(1001 + HOUR_MS + TOMBSTONE_MS, ttl).await.unwrap();
    assert!(store.is_expired(again).await.unwrap());
    store.expire(1002 + HOUR_MS + TOMBSTONE_MS, ttl).await.unwrap();
    assert!(!store.is_expired(again).await.unwrap());
}
