//! Writes that are made together.

use bulkhead_protocol::id::TaskId;
use bulkhead_protocol::outcome::Outcome;
use bulkhead_protocol::task::{Spent, Status, TaskState};
use futures_util::future::{BoxFuture, join_all};
use futures_util::{FutureExt as _, poll};

use super::{DEADLINE, ask, open, settings, settings_at, submit, until_available};
use crate::store::contract::redis_server::RedisServer;
use crate::store::contract::{Choices, WORKER, success, task};
use crate::store::{Error, Store, Transition};

/// A write of an attempt.
#[derive(Clone, Copy, Debug)]
enum Write {
    Start,
    End,
    Requeue,
}

type Made = Result<Transition, Error>;

fn make(store: &Store, id: TaskId, attempt: u32, write: Write) -> BoxFuture<'_, Made> {
    match write {
        Write::Start => store.started(id, attempt, WORKER, u64::from(10 * attempt)).boxed(),
        Write::End => store.finish(id, attempt, success(b"r"), false, 99).boxed(),
        Write::Requeue => store.requeue(id, attempt, Outcome::WorkerLost, Spent::default(), 0).boxed(),
    }
}

/// Submits and claims.
async fn claimed(store: &Store, count: usize) -> Vec<TaskId> {
    let tasks: Vec<_> = (0..count).map(|number| task(number as u128 % 3)).collect();
    let ids = tasks.iter().map(|task| task.id).collect();
    store.submit(tasks).await.unwrap();
    let mut claimed = 0;
    while claimed < count {
        claimed += store.claim(count).await.unwrap().len();
    }
    ids
}

async fn states(store: &Store, ids: &[TaskId]) -> Vec<TaskState> {
    join_all(ids.iter().map(async |id| store.state(*id).await.unwrap().unwrap())).await
}

#[tokio::test]
async fn a_start_and_its_end_are_one_change_of_the_task() {
    const TASKS: usize = 50;
    let folder = tempfile::tempdir().unwrap();
    let server = RedisServer::start_on_free_port(folder.path(), &[]);
    let store = open(&settings_at(&server.url())).await;
    let ids = claimed(&store, TASKS).await;
    let _: String = ask(&server.url(), redis::cmd("CONFIG").arg("RESETSTAT")).await;
    let writes = ids.iter().flat_map(|id| [make(&store, *id, 1, Write::Start), make(&store, *id, 1, Write::End)]);
    for made in join_all(writes).await {
        assert_eq!(made.unwrap(), Transition::Applied);
    }
    let stats: String = ask(&server.url(), redis::cmd("INFO").arg("commandstats")).await;
    let calls = |command: &str| {
        let line = stats.lines().find_map(|line| line.strip_prefix(&format!("cmdstat_{command}:calls=")));
        line.and_then(|line| line.split(',').next()).and_then(|calls| calls.parse::<usize>().ok()).unwrap_or(0)
    };
    assert_eq!((calls("hset"), calls("hmget")), (TASKS, TASKS), "{stats}");
    assert!(calls("evalsha") <= TASKS / 5 && calls("xack") <= TASKS / 5, "{stats}");
    for state in states(&store, &ids).await {
        assert_eq!((state.status, state.attempt, state.started_at_ms), (Status::Completed, 1, Some(10)));
        assert_eq!((state.worker, state.ended_at_ms), (Some(WORKER), Some(99)));
    }
    assert_eq!(store.queued().await.unwrap(), 0);
}

#[tokio::test]
async fn writes_made_together_answer_as_if_made_one_after_the_other() {
    const TASKS: u64 = 5;
    let mut choices = Choices::new();
    for _ in 0..20 {
        let (single, grouped) = (open(&settings()).await, open(&settings()).await);
        let tasks = [claimed(&single, TASKS as usize).await, claimed(&grouped, TASKS as usize).await];
        let writes: Vec<_> = (0..30)
            .map(|_| {
                let write = [Write::Start, Write::Start, Write::End, Write::Requeue][choices.below(4) as usize];
                (choices.below(TASKS) as usize, 1 + choices.below(3) as u32, write)
            })
            .collect();
        let mut expected = Vec::new();
        for (task, attempt, write) in &writes {
            expected.push(make(&single, tasks[0][*task], *attempt, *write).await.unwrap());
        }
        let made =
            join_all(writes.iter().map(|(task, attempt, write)| make(&grouped, tasks[1][*task], *attempt, *write)));
        let made: Vec<_> = made.await.into_iter().map(Result::unwrap).collect();
        assert_eq!(made, expected, "{writes:?}");
        assert_eq!(states(&grouped, &tasks[1]).await, states(&single, &tasks[0]).await, "{writes:?}");
        assert_eq!(grouped.queued().await.unwrap(), single.queued().await.unwrap(), "{writes:?}");
    }
}

#[tokio::test]
async fn a_task_that_cannot_be_read_keeps_no_other_from_ending() {
    let settings = settings();
    let store = open(&settings).await;
    let ids = claimed(&store, 9).await;
    let key = format!("{{{}}}:task:{}", settings.namespace, ids[4]);
    let _: String = ask(&settings.url, redis::cmd("SET").arg(key).arg("no hash")).await;
    let made = join_all(ids.iter().map(|id| make(&store, *id, 1, Write::End))).await;
    for (number, made) in made.into_iter().enumerate() {
        match made {
            Err(Error::Unavailable { .. }) if number == 4 => {}
            made => assert_eq!(made.unwrap(), Transition::Applied),
        }
    }
}

#[tokio::test]
async fn a_write_is_made_though_its_caller_has_gone() {
    let store = open(&settings()).await;
    let ids = claimed(&store, 2).await;
    for (id, write) in [(ids[0], Write::Start), (ids[1], Write::End)] {
        let mut made = make(&store, id, 1, write);
        assert!(poll!(&mut made).is_pending());
    }
    let ended = tokio::time::timeout(DEADLINE, store.wait(ids[1], DEADLINE)).await.unwrap().unwrap().unwrap();
    assert_eq!(ended.status, Status::Completed);
    let running = async {
        while store.state(ids[0]).await.unwrap().unwrap().status != Status::Running {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(DEADLINE, running).await.expect("it runs");
}

#[tokio::test]
async fn closing_makes_what_waits() {
    let settings = settings();
    let (store, other) = (open(&settings).await, open(&settings).await);
    let ids = claimed(&store, 2).await;
    let mut made = [make(&store, ids[0], 1, Write::Start), make(&store, ids[1], 1, Write::End)];
    for made in &mut made {
        assert!(poll!(made).is_pending());
    }
    store.close().await.unwrap();
    for made in made {
        assert_eq!(made.await.unwrap(), Transition::Applied);
    }
    let states = states(&other, &ids).await;
    // Given back to others by the close, which is after the start.
    assert_eq!((states[0].status, states[0].started_at_ms), (Status::Queued, Some(10)));
    assert_eq!(states[1].status, Status::Completed);
}

#[tokio::test]
async fn a_large_result_takes_its_start_along() {
    let store = open(&settings()).await;
    let ids = claimed(&store, 2).await;
    let large = vec![7; 600 * 1024];
    let (began, ended, other) = tokio::join!(
        make(&store, ids[0], 1, Write::Start),
        store.finish(ids[0], 1, success(&large), false, 99),
        make(&store, ids[1], 1, Write::End)
    );
    assert_eq!([began.unwrap(), ended.unwrap(), other.unwrap()], [Transition::Applied; 3]);
    let state = store.state(ids[0]).await.unwrap().unwrap();
    assert_eq!((state.status, state.started_at_ms), (Status::Completed, Some(10)));
    assert_eq!(store.result(ids[0]).await.unwrap().unwrap(), large);
}

#[tokio::test]
async fn a_group_that_fails_fails_for_all_and_bears_a_repetition() {
    let folder = tempfile::tempdir().unwrap();
    let options = ["--appendonly", "yes", "--appendfsync", "always"];
    let server = RedisServer::start_on_free_port(folder.path(), &options);
    let (port, settings) = (server.port, settings_at(&server.url()));
    let store = open(&settings).await;
    let ids = claimed(&store, 9).await;
    let waiting = submit(&store, task(1)).await;
    server.kill();
    let writes = || ids.iter().flat_map(|id| [make(&store, *id, 1, Write::Start), make(&store, *id, 1, Write::End)]);
    for made in join_all(writes()).await {
        assert!(matches!(made, Err(Error::Unavailable { .. })), "{made:?}");
    }
    let _server = RedisServer::start(folder.path(), port, &options);
    until_available(async || store.queued().await).await;
    for repeated in [false, true] {
        for made in join_all(writes()).await {
            assert_eq!(made.unwrap(), if repeated { Transition::Stale } else { Transition::Applied });
        }
    }
    assert_eq!(store.state(waiting).await.unwrap().unwrap().status, Status::Queued);
}
