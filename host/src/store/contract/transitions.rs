//! Attempts, ends, and those who wait for them.

use std::time::Duration;

use bulkhead_protocol::outcome::{Logs, Outcome, Report};
use bulkhead_protocol::task::{Spent, Status};

use super::{Fixture, WORKER, claim_one, nothing_to_claim, submit, success, task};
use crate::store::{CancelQueued, Completed, Transition};

const APPLIED: Transition = Transition::Applied;
const STALE: Transition = Transition::Stale;

pub(super) async fn only_the_newest_attempt_ends_a_task(mut fixture: Fixture) {
    let store = &fixture.store;
    let id = submit(store, task(1)).await;
    claim_one(store).await;
    assert_eq!(store.started(id, 1, WORKER, 10).await.unwrap(), APPLIED);
    let state = store.state(id).await.unwrap().unwrap();
    assert_eq!((state.status, state.attempt, state.started_at_ms), (Status::Running, 1, Some(10)));
    assert_eq!(store.started(id, 2, WORKER, 20).await.unwrap(), APPLIED);
    assert_eq!(store.started(id, 1, WORKER, 30).await.unwrap(), STALE);
    assert_eq!(store.finish(id, 1, success(b"old"), false, 40).await.unwrap(), STALE);
    assert_eq!(store.finish(id, 0, success(b"old"), false, 40).await.unwrap(), STALE);
    assert_eq!(store.finish(id, 2, success(b"new"), false, 40).await.unwrap(), APPLIED);
    for attempt in [1, 2, 3] {
        assert_eq!(store.finish(id, attempt, success(b"again"), false, 50).await.unwrap(), STALE);
        assert_eq!(store.started(id, attempt, WORKER, 50).await.unwrap(), STALE);
        assert_eq!(store.requeue(id, attempt, Outcome::WorkerLost, Spent::default(), 0).await.unwrap(), STALE);
    }
    fixture.reopen().await;
    let store = &fixture.store;
    let state = store.state(id).await.unwrap().unwrap();
    assert_eq!((state.status, state.attempt, state.ended_at_ms), (Status::Completed, 2, Some(40)));
    assert_eq!((state.started_at_ms, state.outcome), (Some(20), Some(Outcome::Succeeded)));
    assert_eq!(state.usage.wall_us, 7);
    assert_eq!(store.result(id).await.unwrap().unwrap(), b"new".as_slice());
    assert_eq!(store.queued().await.unwrap(), 0);
    let unknown = task(1).id;
    assert_eq!(store.started(unknown, 1, WORKER, 1).await.unwrap(), STALE);
    assert_eq!(store.finish(unknown, 1, success(b""), false, 1).await.unwrap(), STALE);
    assert_eq!(store.requeue(unknown, 1, Outcome::WorkerLost, Spent::default(), 0).await.unwrap(), STALE);
}

pub(super) async fn an_attempt_that_was_requeued_is_stale(mut fixture: Fixture) {
    let id = submit(&fixture.store, task(1)).await;
    claim_one(&fixture.store).await;
    fixture.store.started(id, 1, WORKER, 10).await.unwrap();
    assert_eq!(fixture.store.requeue(id, 1, Outcome::WorkerLost, Spent::default(), 0).await.unwrap(), APPLIED);
    for restart in [false, true] {
        if restart {
            fixture.reopen().await;
        }
        let store = &fixture.store;
        assert_eq!(store.finish(id, 1, success(b"late"), false, 20).await.unwrap(), STALE);
        assert_eq!(store.requeue(id, 1, Outcome::WorkerLost, Spent::default(), 0).await.unwrap(), STALE);
        assert_eq!(store.started(id, 1, WORKER, 20).await.unwrap(), STALE);
    }
    let store = &fixture.store;
    claim_one(store).await;
    assert_eq!(store.finish(id, 1, success(b"late"), false, 20).await.unwrap(), STALE);
    assert_eq!(store.started(id, 2, WORKER, 20).await.unwrap(), APPLIED);
    assert_eq!(store.finish(id, 2, success(b"on time"), false, 20).await.unwrap(), APPLIED);
}

pub(super) async fn a_requeued_task_comes_again(fixture: Fixture) {
    let store = &fixture.store;
    let id = submit(store, task(1)).await;
    let next = submit(store, task(1)).await;
    claim_one(store).await;
    store.started(id, 1, WORKER, 10).await.unwrap();
    let crash = Outcome::Crashed { signal: "SIGSEGV".to_owned() };
    assert_eq!(store.requeue(id, 1, crash.clone(), Spent::default(), super::now_ms() + 50).await.unwrap(), APPLIED);
    let state = store.state(id).await.unwrap().unwrap();
    assert_eq!((state.status, state.attempt, state.outcome), (Status::Queued, 1, Some(crash)));
    assert_eq!(store.queued().await.unwrap(), 2);
    assert_eq!(claim_one(store).await.task.id, next);
    let again = claim_one(store).await;
    assert_eq!((again.task.id, again.state.attempt), (id, 1));
    assert_eq!(store.queued().await.unwrap(), 0);
    // A claimed task may be given back before its attempt began.
    assert_eq!(store.requeue(next, 0, Outcome::WorkerLost, Spent::default(), 0).await.unwrap(), APPLIED);
    assert_eq!(claim_one(store).await.task.id, next);
}

pub(super) async fn cancelling_depends_on_how_far_the_task_has_come(fixture: Fixture) {
    let store = &fixture.store;
    let [running, claimed, queued] =
        [submit(store, task(1)).await, submit(store, task(1)).await, submit(store, task(1)).await];
    store.claim(2).await.unwrap();
    store.started(running, 1, WORKER, 1).await.unwrap();
    assert_eq!(store.cancel_queued(running, 9).await.unwrap(), CancelQueued::Running);
    assert_eq!(store.cancel_queued(claimed, 9).await.unwrap(), CancelQueued::Cancelled);
    assert_eq!(store.cancel_queued(queued, 9).await.unwrap(), CancelQueued::Cancelled);
    assert_eq!(store.cancel_queued(queued, 9).await.unwrap(), CancelQueued::Ended);
    assert_eq!(store.cancel_queued(task(1).id, 9).await.unwrap(), CancelQueued::Unknown);
    assert_eq!(store.started(claimed, 1, WORKER, 9).await.unwrap(), STALE);
    assert_eq!(store.finish(claimed, 1, success(b""), false, 9).await.unwrap(), STALE);
    assert_eq!(store.queued().await.unwrap(), 0);
    assert!(nothing_to_claim(store).await);
    let state = store.state(queued).await.unwrap().unwrap();
    assert_eq!((state.status, state.outcome), (Status::Failed, Some(Outcome::Cancelled)));
    assert_eq!(state.ended_at_ms, Some(9));
    // The dispatcher reports the kill of the running one.
    let killed = Report::without_process(Outcome::Cancelled).into();
    assert_eq!(store.finish(running, 1, killed, false, 10).await.unwrap(), APPLIED);
    assert_eq!(store.cancel_queued(running, 11).await.unwrap(), CancelQueued::Ended);
}

pub(super) async fn an_attempt_may_outlive_the_server(mut fixture: Fixture) {
    let ids = [submit(&fixture.store, task(1)).await, submit(&fixture.store, task(1)).await];
    fixture.store.claim(2).await.unwrap();
    for id in ids {
        fixture.store.started(id, 1, WORKER, 1).await.unwrap();
    }
    fixture.reopen().await;
    let store = &fixture.store;
    // Its worker reports the end of one, and that the other still runs.
    assert_eq!(store.finish(ids[0], 1, success(b"kept"), false, 2).await.unwrap(), APPLIED);
    assert_eq!(store.started(ids[1], 1, WORKER, 1).await.unwrap(), APPLIED);
    assert_eq!(store.queued().await.unwrap(), 0);
    assert!(nothing_to_claim(store).await);
    assert_eq!(store.state(ids[1]).await.unwrap().unwrap().status, Status::Running);
    assert_eq!(store.finish(ids[1], 1, success(b"kept"), false, 2).await.unwrap(), APPLIED);
}

pub(super) async fn a_claim_tells_which_attempt_was_cut_off(mut fixture: Fixture) {
    let store = &fixture.store;
    let cut_off = submit(store, task(1)).await;
    let claimed = claim_one(store).await;
    assert_eq!((claimed.state.status, claimed.state.attempt), (Status::Queued, 0));
    store.started(cut_off, 1, WORKER, 10).await.unwrap();
    let crash = Outcome::Crashed { signal: "SIGSEGV".to_owned() };
    assert_eq!(store.requeue(cut_off, 1, crash.clone(), Spent::default(), 0).await.unwrap(), APPLIED);
    let claimed = claim_one(store).await;
    assert_eq!((claimed.state.status, claimed.state.attempt), (Status::Queued, 1));
    store.started(cut_off, 2, WORKER, 20).await.unwrap();
    let waiting = submit(store, task(1)).await;
    fixture.reopen().await;
    let store = &fixture.store;
    let claimed = claim_one(store).await;
    // Its outcome is that of the attempt before: of the second, nothing is known.
    assert_eq!((claimed.task.id, claimed.state.status, claimed.state.attempt), (cut_off, Status::Running, 2));
    assert_eq!(claimed.state.outcome, Some(crash));
    assert_eq!(store.state(cut_off).await.unwrap().unwrap().status, Status::Queued, "nobody runs it");
    let claimed = claim_one(store).await;
    assert_eq!((claimed.task.id, claimed.state.status), (waiting, Status::Queued));
}

pub(super) async fn all_who_wait_are_woken(fixture: Fixture) {
    let store = &fixture.store;
    let id = submit(store, task(1)).await;
    let waiters: Vec<_> = (0..100)
        .map(|_| {
            let store = store.clone();
            tokio::spawn(async move { store.wait(id, Duration::from_secs(3600)).await.unwrap().unwrap().status })
        })
        .collect();
    assert_eq!(store.wait(id, Duration::from_millis(1)).await.unwrap().unwrap().status, Status::Queued);
    assert_eq!(store.wait(id, Duration::ZERO).await.unwrap().unwrap().status, Status::Queued);
    store.finish(id, 1, success(b""), false, 1).await.unwrap();
    for waiter in waiters {
        assert_eq!(waiter.await.unwrap(), Status::Completed);
    }
    let hour = Duration::from_secs(3600);
    assert_eq!(store.wait(id, hour).await.unwrap().unwrap().status, Status::Completed);
    assert_eq!(store.wait(task(1).id, hour).await.unwrap(), None);
}

pub(super) async fn results_and_logs(mut fixture: Fixture) {
    let store = &fixture.store;
    let [with_logs, failed, queued] =
        [submit(store, task(1)).await, submit(store, task(1)).await, submit(store, task(1)).await];
    let logs = Logs { stdout: vec![b'o'; 10_000], stderr: b"e".to_vec(), truncated: true };
    store
        .finish(with_logs, 1, Report { logs: logs.clone(), ..Report::clone(&success(b"r")) }.into(), false, 1)
        .await
        .unwrap();
    let panicked = Outcome::Panicked { message: "m".to_owned(), location: None };
    store.finish(failed, 1, Report::without_process(panicked).into(), false, 1).await.unwrap();
    fixture.reopen().await;
    let store = &fixture.store;
    assert_eq!(store.logs(with_logs).await.unwrap(), Some(logs));
    assert_eq!(store.logs(failed).await.unwrap(), Some(Logs::default()));
    assert_eq!(store.logs(queued).await.unwrap(), None);
    assert_eq!(store.result(with_logs).await.unwrap().unwrap(), b"r".as_slice());
    assert_eq!(store.result(failed).await.unwrap(), None);
    assert_eq!(store.result(queued).await.unwrap(), None);
}

pub(super) async fn an_end_comes_with_its_result(fixture: Fixture) {
    let store = &fixture.store;
    let hour = Duration::from_secs(3600);
    // Nothing, little, and more than one connection takes beside others.
    for result in [Vec::new(), b"r".to_vec(), vec![b'x'; 1 << 20]] {
        let id = submit(store, task(1)).await;
        let early = store.wait_for_result(id, Duration::from_millis(1)).await.unwrap().unwrap();
        assert_eq!((early.state.status, early.completed), (Status::Queued, None));
        let waiting = store.clone();
        let waiter = tokio::spawn(async move { waiting.wait_for_result(id, hour).await.unwrap().unwrap() });
        store.finish(id, 1, success(&result), false, 1).await.unwrap();
        let ended = waiter.await.unwrap();
        assert_eq!(ended.state, store.state(id).await.unwrap().unwrap());
        assert_eq!(ended.completed, Some(Completed { encoding: task(1).input.encoding, result: result.into() }));
        assert_eq!(store.wait_for_result(id, Duration::ZERO).await.unwrap(), Some(ended));
    }
    let failed = submit(store, task(1)).await;
    let panicked = Outcome::Panicked { message: "m".to_owned(), location: None };
    store.finish(failed, 1, Report::without_process(panicked).into(), false, 1).await.unwrap();
    let ended = store.wait_for_result(failed, hour).await.unwrap().unwrap();
    assert_eq!((ended.state.status, ended.completed), (Status::Failed, None));
    assert_eq!(store.wait_for_result(task(1).id, hour).await.unwrap(), None);
}
