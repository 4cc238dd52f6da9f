//! Several dispatchers on one store.

use std::collections::HashSet;
use std::time::Duration;

use bulkhead_protocol::id::TaskId;
use bulkhead_protocol::limits::Limits;
use bulkhead_protocol::package::id_of;
use bulkhead_protocol::task::Status;
use bytes::Bytes;

use super::{DEADLINE, ask, open, settings, submit};
use crate::store::contract::{WORKER, success, task};
use crate::store::{Claimed, Control, Error, NewFunction, Recovered, RedisSettings, Store, TOMBSTONE_MS, Transition};

/// A lease that tests can wait for, and that a loaded machine lets its owner renew.
const SHORT: Duration = Duration::from_secs(4);

fn short_lease() -> RedisSettings {
    RedisSettings { lease: SHORT, ..settings() }
}

async fn claim(store: &Store, max: usize) -> Vec<Claimed> {
    tokio::time::timeout(DEADLINE, store.claim(max)).await.expect("a task to claim").unwrap()
}

fn ids(claimed: &[Claimed]) -> Vec<TaskId> {
    claimed.iter().map(|claimed| claimed.task.id).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn claims_of_a_dead_dispatcher_are_taken_over() {
    let settings = short_lease();
    let (dead, heir) = (open(&settings).await, open(&settings).await);
    let mut expected = Vec::new();
    for function in [1, 2, 1] {
        expected.push(submit(&dead, task(function)).await);
    }
    assert_eq!(claim(&dead, 3).await.len(), 3);
    dead.started(expected[0], 1, WORKER, 10).await.unwrap();
    let later = submit(&dead, task(1)).await;
    // The heir has claims of its own, which it keeps.
    assert_eq!(ids(&claim(&heir, 1).await), [later]);
    drop(dead);
    let mut claimed = Vec::new();
    while claimed.len() < 3 {
        claimed.extend(claim(&heir, 3).await);
    }
    let running = claimed.iter().find(|claimed| claimed.task.id == expected[0]).unwrap();
    assert_eq!((running.state.status, running.state.attempt), (Status::Running, 1));
    assert_eq!(running.state.worker, Some(WORKER));
    let mut found = ids(&claimed);
    found.sort();
    expected.sort();
    assert_eq!(found, expected);
    assert_eq!(heir.queued().await.unwrap(), 0);
    for id in found.into_iter().chain([later]) {
        assert_eq!(heir.finish(id, 1, success(b""), false, 2).await.unwrap(), Transition::Applied);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_living_dispatcher_keeps_its_claims() {
    let settings = short_lease();
    let (owner, other) = (open(&settings).await, open(&settings).await);
    let id = submit(&owner, task(1)).await;
    claim(&owner, 1).await;
    assert!(tokio::time::timeout(2 * SHORT, other.claim(1)).await.is_err());
    assert_eq!(owner.started(id, 1, WORKER, 10).await.unwrap(), Transition::Applied);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_was_taken_for_dead_is_told_once() {
    let settings = settings();
    let (silent, heir) = (open(&settings).await, open(&settings).await);
    let id = submit(&silent, task(1)).await;
    claim(&silent, 1).await;
    let leases = format!("{{{}}}:leases", settings.namespace);
    let me: Vec<String> = ask(&settings.url, redis::cmd("ZRANGE").arg(&leases).arg(0).arg(-1)).await;
    // Again in case that a renewal came in between.
    loop {
        let _: i64 = ask(&settings.url, redis::cmd("ZADD").arg(&leases).arg("XX").arg(1).arg(&me)).await;
        if let Ok(claimed) = tokio::time::timeout(Duration::from_millis(500), heir.claim(1)).await {
            assert_eq!(ids(&claimed.unwrap()), [id]);
            break;
        }
    }
    assert_eq!(silent.started(id, 1, WORKER, 10).await.unwrap(), Transition::Stale);
    let told = tokio::time::timeout(DEADLINE, silent.claim(1)).await.expect("told");
    assert!(matches!(told, Err(Error::TakenOver)), "{told:?}");
    let next = submit(&heir, task(1)).await;
    assert_eq!(ids(&claim(&silent, 1).await), [next]);
    assert_eq!(heir.started(id, 1, WORKER, 10).await.unwrap(), Transition::Applied);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn racing_dispatchers_share_no_task() {
    const TASKS: usize = 400;
    let settings = settings();
    let stores = [open(&settings).await, open(&settings).await, open(&settings).await];
    let tasks: Vec<_> = (0..TASKS).map(|number| task(number as u128 % 3)).collect();
    let submitted: HashSet<_> = tasks.iter().map(|task| task.id).collect();
    let dispatchers: Vec<_> = stores
        .iter()
        .map(|store| {
            let store = store.clone();
            tokio::spawn(async move {
                let mut claimed = Vec::new();
                // The last claims find nothing and are given up.
                while let Ok(more) = tokio::time::timeout(Duration::from_secs(3), store.claim(7)).await {
                    claimed.extend(ids(&more.unwrap()));
                }
                claimed
            })
        })
        .collect();
    stores[0].submit(tasks).await.unwrap();
    let mut claimed = Vec::new();
    for dispatcher in dispatchers {
        claimed.extend(dispatcher.await.unwrap());
    }
    assert_eq!(claimed.len(), TASKS);
    assert_eq!(claimed.into_iter().collect::<HashSet<_>>(), submitted);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_task_that_was_started_unclaimed_is_its_dispatchers() {
    let settings = settings();
    let (taker, other) = (open(&settings).await, open(&settings).await);
    let mut expected = Vec::new();
    for _ in 0..3 {
        expected.push(submit(&taker, task(1)).await);
    }
    // The attempt came from a worker that its former dispatcher left behind.
    assert_eq!(taker.started(expected[1], 1, WORKER, 10).await.unwrap(), Transition::Applied);
    assert_eq!(other.queued().await.unwrap(), 2);
    let claimed = claim(&other, 3).await;
    assert_eq!(ids(&claimed), [expected[0], expected[2]]);
    assert!(tokio::time::timeout(Duration::from_millis(300), other.claim(1)).await.is_err());
    taker.close().await.unwrap();
    let again = claim(&other, 1).await;
    assert_eq!((ids(&again)[0], again[0].state.status), (expected[1], Status::Running));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_brings_its_attempt_from_a_dead_dispatcher() {
    let settings = short_lease();
    let (dead, heir) = (open(&settings).await, open(&settings).await);
    let id = submit(&dead, task(1)).await;
    claim(&dead, 1).await;
    dead.started(id, 1, WORKER, 10).await.unwrap();
    assert!(matches!(heir.recover(id, 1, WORKER).await.unwrap(), Recovered::Owned));
    drop(dead);
    let taken = tokio::time::timeout(DEADLINE, async {
        loop {
            match heir.recover(id, 1, WORKER).await.unwrap() {
                Recovered::Taken(claimed) => break claimed,
                Recovered::Owned => tokio::time::sleep(Duration::from_millis(20)).await,
                Recovered::Stale => panic!("its attempt is the newest"),
            }
        }
    });
    let taken = taken.await.expect("taken when the lease is over");
    assert_eq!((taken.task.id, taken.state.status, taken.state.attempt), (id, Status::Running, 1));
    assert_eq!(heir.finish(id, 1, success(b"kept"), false, 20).await.unwrap(), Transition::Applied);
    assert_eq!(heir.queued().await.unwrap(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn words_reach_other_processes() {
    let settings = settings();
    let (one, other) = (open(&settings).await, open(&settings).await);
    let id = submit(&one, task(1)).await;
    let waiting = other.clone();
    let waiter = tokio::spawn(async move { waiting.wait(id, Duration::from_secs(3600)).await.unwrap().unwrap() });
    let mut controls = other.controls();
    // Once the subscription stands.
    loop {
        one.send_control(Control::DrainWorker(WORKER)).await.unwrap();
        if tokio::time::timeout(Duration::from_millis(100), controls.recv()).await.is_ok() {
            break;
        }
    }
    one.finish(id, 1, success(b""), false, 1).await.unwrap();
    let state = tokio::time::timeout(DEADLINE, waiter).await.expect("woken").unwrap();
    assert_eq!(state.status, Status::Completed);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_removed_function_is_forgotten_everywhere() {
    let settings = settings();
    let (one, other) = (open(&settings).await, open(&settings).await);
    let package = id_of(b"package");
    one.put_package(package, Bytes::from_static(b"package")).await.unwrap();
    let new = NewFunction {
        name: "f".to_owned(),
        package,
        index: 0,
        entry: "main".to_owned(),
        limits: Limits::default(),
        isolation: Default::default(),
        description: "{}".to_owned(),
        registered_at_ms: 5,
    };
    let function = one.register(vec![new]).await.unwrap().remove(0).function;
    for _ in 0..3 {
        assert_eq!(other.function(function.id).await.unwrap().as_ref(), Some(&function));
    }
    assert!(one.remove_function(function.id).await.unwrap());
    assert_eq!(one.function(function.id).await.unwrap(), None);
    let forgotten = async {
        while other.function(function.id).await.unwrap().is_some() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(DEADLINE, forgotten).await.expect("forgotten");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_left_behind() {
    let settings = settings();
    let store = open(&settings).await;
    for number in 0..20 {
        let mut task = task(number % 3);
        task.options.idempotency_key = Some(number.to_string());
        submit(&store, task).await;
    }
    let mut ended = 0;
    while ended < 20 {
        for claimed in claim(&store, 7).await {
            let id = claimed.task.id;
            store.started(id, 1, WORKER, 1).await.unwrap();
            assert_eq!(store.finish(id, 1, success(b"r"), ended == 3, 2).await.unwrap(), Transition::Applied);
            ended += 1;
        }
    }
    let end_of_time = u64::MAX / 2;
    assert_eq!(store.expire(end_of_time, Duration::ZERO).await.unwrap(), 20);
    store.expire(end_of_time + 2 * TOMBSTONE_MS, Duration::ZERO).await.unwrap();
    store.close().await.unwrap();
    let pattern = format!("{{{}*", settings.namespace);
    let keys: Vec<String> = ask(&settings.url, redis::cmd("KEYS").arg(pattern)).await;
    let mut names: Vec<_> = keys.iter().filter_map(|key| key.split_once(':').map(|(_, name)| name)).collect();
    names.sort_unstable();
    // The number of waiting tasks, the newest turn, and the pulse, which goes after a minute.
    assert_eq!(names, ["pulse", "queued", "turn"]);
}
