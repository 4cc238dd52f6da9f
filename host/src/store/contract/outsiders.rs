//! Those beyond the queue: workers that outlive their dispatcher, and gateways that ask something of
//! dispatchers.

use bulkhead_protocol::id::WorkerId;
use bulkhead_protocol::outcome::{Outcome, Report};
use bulkhead_protocol::task::{Progress, Spent, Status};

use super::{Fixture, WORKER, claim_one, nothing_to_claim, submit, success, task};
use crate::store::{CancelQueued, Control, Recovered, TaskFilter, Transition, WorkerRecord};

const SPENT: Spent = Spent { failures: 1, crashes: 2, losses: 3, returns: 4 };

pub(super) async fn what_was_spent_and_where_it_ran_reads_back(mut fixture: Fixture) {
    let id = submit(&fixture.store, task(1)).await;
    claim_one(&fixture.store).await;
    fixture.store.started(id, 1, WORKER, 10).await.unwrap();
    assert_eq!(fixture.store.state(id).await.unwrap().unwrap().worker, Some(WORKER));
    fixture.store.requeue(id, 1, Outcome::WorkerLost, SPENT, 0).await.unwrap();
    assert_eq!(fixture.store.state(id).await.unwrap().unwrap().spent, SPENT);
    fixture.reopen().await;
    let claimed = claim_one(&fixture.store).await;
    assert_eq!((claimed.state.spent, claimed.state.attempt), (SPENT, 1));
    let other = WorkerId(uuid::Uuid::from_u128(8));
    fixture.store.started(id, 2, other, 20).await.unwrap();
    fixture.reopen().await;
    let claimed = claim_one(&fixture.store).await;
    assert_eq!((claimed.state.status, claimed.state.attempt), (Status::Running, 2));
    assert_eq!((claimed.state.worker, claimed.state.spent), (Some(other), SPENT));
}

pub(super) async fn a_worker_brings_its_attempt_back(mut fixture: Fixture) {
    let started = task(1);
    let ids = [submit(&fixture.store, started.clone()).await, submit(&fixture.store, task(1)).await];
    fixture.store.claim(2).await.unwrap();
    fixture.store.started(ids[0], 1, WORKER, 10).await.unwrap();
    // Its dispatcher has it already.
    let Recovered::Taken(claimed) = fixture.store.recover(ids[0], 1, WORKER).await.unwrap() else {
        panic!("not taken");
    };
    assert_eq!((claimed.state.status, claimed.state.attempt), (Status::Running, 1));
    fixture.reopen().await;
    let store = &fixture.store;
    let Recovered::Taken(claimed) = store.recover(ids[0], 1, WORKER).await.unwrap() else { panic!("not taken") };
    assert_eq!(*claimed.task, started);
    assert_eq!((claimed.state.attempt, claimed.state.worker), (1, Some(WORKER)));
    // The start of this one was never recorded.
    let Recovered::Taken(claimed) = store.recover(ids[1], 1, WORKER).await.unwrap() else { panic!("not taken") };
    assert_eq!(claimed.task.id, ids[1]);
    assert_eq!(store.queued().await.unwrap(), 0);
    assert!(nothing_to_claim(store).await, "what was recovered is claimed");
    for id in ids {
        assert_eq!(store.finish(id, 1, success(b"kept"), false, 20).await.unwrap(), Transition::Applied);
        assert!(matches!(store.recover(id, 1, WORKER).await.unwrap(), Recovered::Stale));
    }
    let requeued = submit(store, task(1)).await;
    claim_one(store).await;
    store.started(requeued, 1, WORKER, 10).await.unwrap();
    store.requeue(requeued, 1, Outcome::WorkerLost, SPENT, 0).await.unwrap();
    assert!(matches!(store.recover(requeued, 1, WORKER).await.unwrap(), Recovered::Stale));
    assert_eq!(claim_one(store).await.task.id, requeued);
    assert!(matches!(store.recover(task(1).id, 1, WORKER).await.unwrap(), Recovered::Stale));
}

pub(super) async fn a_wish_to_cancel_outlives_the_attempt(fixture: Fixture) {
    let store = &fixture.store;
    let mut controls = store.controls();
    let id = submit(store, task(1)).await;
    claim_one(store).await;
    store.started(id, 1, WORKER, 10).await.unwrap();
    assert_eq!(store.cancel_queued(id, 11).await.unwrap(), CancelQueued::Running);
    store.send_control(Control::Cancel(id)).await.unwrap();
    assert_eq!(controls.recv().await.unwrap(), Control::Cancel(id));
    // The attempt fails before anyone kills it; it would be tried again.
    let crash = Outcome::Crashed { signal: "SIGSEGV".to_owned() };
    assert_eq!(store.requeue(id, 1, crash, SPENT, 0).await.unwrap(), Transition::Applied);
    let state = store.state(id).await.unwrap().unwrap();
    assert_eq!((state.status, state.outcome), (Status::Failed, Some(Outcome::Cancelled)));
    assert_eq!(store.queued().await.unwrap(), 0);
    assert!(nothing_to_claim(store).await);
    // Words about what is over or unknown harm nobody.
    store.send_control(Control::Cancel(id)).await.unwrap();
    store.send_control(Control::Cancel(task(1).id)).await.unwrap();
    store.send_control(Control::DrainWorker(WORKER)).await.unwrap();
    while controls.recv().await.unwrap() != Control::DrainWorker(WORKER) {}
}

pub(super) async fn dead_letters_are_listed_by_themselves(mut fixture: Fixture) {
    let store = &fixture.store;
    let crash = || Report::without_process(Outcome::Crashed { signal: "SIGSEGV".to_owned() }).into();
    let mut dead = Vec::new();
    for number in 0..6 {
        let id = submit(store, task(1)).await;
        store.finish(id, 1, crash(), number % 2 == 0, 1).await.unwrap();
        if number % 2 == 0 {
            dead.insert(0, id);
        }
    }
    fixture.reopen().await;
    let mut filter = TaskFilter { dead_letters: true, limit: 2, ..TaskFilter::default() };
    let mut seen = Vec::new();
    loop {
        let page = fixture.store.tasks(&filter).await.unwrap();
        assert!(page.tasks.iter().all(|(_, state)| state.dead_letter));
        seen.extend(page.tasks.iter().map(|(task, _)| task.id));
        filter.cursor = page.cursor;
        if page.cursor.is_none() {
            break;
        }
    }
    assert_eq!(seen, dead);
    assert_eq!(fixture.store.tasks(&TaskFilter { dead_letters: false, ..filter }).await.unwrap().tasks.len(), 2);
}

pub(super) async fn workers_are_listed(fixture: Fixture) {
    let store = &fixture.store;
    let worker = |number: u128, dispatcher: &str| WorkerRecord {
        id: WorkerId(uuid::Uuid::from_u128(number)),
        name: format!("host-{number}"),
        mode: "pull".to_owned(),
        slots: 4,
        running: 2,
        draining: number == 3,
        resting: number == 2,
        since_ms: 5,
        dispatcher: dispatcher.to_owned(),
    };
    assert!(store.workers().await.unwrap().is_empty());
    store.publish_workers("a", vec![worker(3, "a"), worker(1, "a")]).await.unwrap();
    store.publish_workers("b", vec![worker(2, "b")]).await.unwrap();
    assert_eq!(store.workers().await.unwrap(), [worker(1, "a"), worker(2, "b"), worker(3, "a")]);
    store.publish_workers("a", vec![worker(4, "a")]).await.unwrap();
    store.publish_workers("b", Vec::new()).await.unwrap();
    assert_eq!(store.workers().await.unwrap(), [worker(4, "a")]);
}

pub(super) async fn progress_is_kept_until_the_end(fixture: Fixture) {
    let store = &fixture.store;
    let id = submit(store, task(1)).await;
    claim_one(store).await;
    store.started(id, 1, WORKER, 1).await.unwrap();
    assert_eq!(store.progress(id).await.unwrap(), None);
    let said = |fraction, message: &str| Progress { fraction, message: message.to_owned() };
    store.set_progress(vec![(id, said(0.25, "a quarter")), (task(1).id, said(1.0, "unknown"))]).await.unwrap();
    store.set_progress(vec![(id, said(0.5, "half"))]).await.unwrap();
    assert_eq!(store.progress(id).await.unwrap(), Some(said(0.5, "half")));
    store.finish(id, 1, success(b""), false, 2).await.unwrap();
    assert_eq!(store.progress(id).await.unwrap(), None);
    store.set_progress(vec![(id, said(0.75, "late"))]).await.unwrap();
    assert_eq!(store.progress(id).await.unwrap(), None);
}
