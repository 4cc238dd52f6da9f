//! Many callers at once.

use std::collections::HashMap;
use std::time::Duration;

use bulkhead_protocol::id::TaskId;
use bulkhead_protocol::outcome::{Outcome, Report};
use bulkhead_protocol::task::{Spent, Status};

use super::{Choices, Fixture, WORKER, submit, success, task};
use crate::store::{CancelQueued, Store, Transition};

/// Does a random thing to a random task; says whether it ended it.
async fn meddle(store: &Store, ids: &[TaskId], choices: &mut Choices) -> Option<TaskId> {
    let id = ids[usize::try_from(choices.below(ids.len() as u64)).unwrap()];
    let attempt = u32::try_from(choices.below(3)).unwrap();
    let ended = match choices.below(10) {
        0 => store.started(id, attempt, WORKER, 1).await.map(|_| false),
        1..=2 => store.finish(id, attempt, success(b"r"), false, 2).await.map(|done| done == Transition::Applied),
        3 => {
            let lost = Report::without_process(Outcome::WorkerLost).into();
            store.finish(id, attempt, lost, false, 2).await.map(|done| done == Transition::Applied)
        }
        4..=6 => store
            .requeue(id, attempt, Outcome::WorkerLost, Spent::default(), choices.below(2) * 40)
            .await
            .map(|_| false),
        7 => store.cancel_queued(id, 2).await.map(|done| done == CancelQueued::Cancelled),
        _ => match tokio::time::timeout(Duration::from_millis(1), store.claim(3)).await {
            Ok(claimed) => claimed.map(|_| false),
            Err(_) => Ok(false),
        },
    };
    ended.unwrap().then_some(id)
}

pub(super) async fn racing_changes_end_each_task_once(mut fixture: Fixture) {
    const CALLERS: usize = 8;
    const TASKS: usize = 60;
    let mut choices = Choices::new();
    let mut ids = Vec::new();
    for number in 0..TASKS {
        ids.push(submit(&fixture.store, task(number as u128 % 4)).await);
    }
    let callers: Vec<_> = (0..CALLERS)
        .map(|_| {
            let (store, ids, mut choices) = (fixture.store.clone(), ids.clone(), choices.fork());
            tokio::spawn(async move {
                let mut ended = Vec::new();
                for _ in 0..150 {
                    ended.extend(meddle(&store, &ids, &mut choices).await);
                }
                ended
            })
        })
        .collect();
    let mut ends: HashMap<TaskId, usize> = HashMap::new();
    for caller in callers {
        for id in caller.await.unwrap() {
            *ends.entry(id).or_default() += 1;
        }
    }
    fixture.reopen().await;
    let store = &fixture.store;
    let mut open = Vec::new();
    for id in ids {
        let terminal = store.state(id).await.unwrap().unwrap().status.is_terminal();
        assert_eq!(ends.get(&id).copied().unwrap_or(0), usize::from(terminal), "task {id}");
        if !terminal {
            open.push(id);
        }
    }
    // What has not ended can still be claimed, each exactly once, and ended.
    assert_eq!(store.queued().await.unwrap(), open.len());
    while !open.is_empty() {
        for claimed in store.claim(7).await.unwrap() {
            let position = open.iter().position(|id| *id == claimed.task.id).expect("claimed once and not ended");
            let id = open.swap_remove(position);
            let attempt = claimed.state.attempt + 1;
            assert_eq!(store.started(id, attempt, WORKER, 3).await.unwrap(), Transition::Applied);
            assert_eq!(store.finish(id, attempt, success(b"r"), false, 4).await.unwrap(), Transition::Applied);
        }
    }
    assert_eq!(store.queued().await.unwrap(), 0);
}

pub(super) async fn an_end_is_never_missed(fixture: Fixture) {
    let store = &fixture.store;
    for _ in 0..200 {
        let id = submit(store, task(1)).await;
        let waiting = store.clone();
        let waiter = tokio::spawn(async move { waiting.wait(id, Duration::from_secs(3600)).await.unwrap() });
        store.finish(id, 1, success(b""), false, 1).await.unwrap();
        assert_eq!(waiter.await.unwrap().unwrap().status, Status::Completed);
    }
}
