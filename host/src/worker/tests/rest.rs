//! A worker without room for a library: its tasks run elsewhere, and it says when it has room again.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use bulkhead_protocol::outcome::Outcome;
use bulkhead_protocol::worker_message::{ToWorker, WorkerMode};

use super::script::{assign, id, joined, soon, stage};
use crate::executor::NoRoom;
use crate::worker::run::Runs;

/// Runs of functions that are cold, and for which there is room only while `room` says so.
fn cold(runs: Runs, room: Arc<AtomicBool>, asked: Arc<AtomicUsize>) -> Runs {
    let get_ready = move |_| -> futures_util::future::BoxFuture<'static, Result<(), NoRoom>> {
        asked.fetch_add(1, Ordering::SeqCst);
        let has_room = room.load(Ordering::SeqCst);
        Box::pin(async move { if has_room { Ok(()) } else { Err(NoRoom { reason: "the disk is full".to_owned() }) } })
    };
    Runs { is_warm: Arc::new(|_| false), get_ready: Arc::new(get_ready), ..runs }
}

#[tokio::test]
async fn what_has_no_room_is_given_back_unbegun_and_the_worker_rests_until_it_has() {
    for (mode, ready) in [(WorkerMode::Push, None), (WorkerMode::Pull, Some("ready 2"))] {
        let (runs, mut stage) = stage();
        let (room, asked) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let (mut script, _worker) = joined(mode, 2, cold(runs, room.clone(), asked.clone())).await;
        script.expect(ready.as_slice()).await;
        script.say(assign([1, 2]));
        script.expect(&["rests"]).await;
        let mut heard = Vec::new();
        while heard.len() < 2 {
            match super::script::summary(&script.hear().await) {
                asks if asks.starts_with("ready") => {}
                other => heard.push(other),
            }
        }
        heard.sort();
        assert_eq!(heard, ["ended 1 Cancelled", "ended 2 Cancelled"], "nothing began");
        script.say([1, 2].map(|task| ToWorker::Acknowledged { id: id(task) }).to_vec());
        assert!(stage.is_idle());

        // It tries by itself, without a task, and takes tasks again once that goes well.
        room.store(true, Ordering::SeqCst);
        soon(async { while super::script::summary(&script.hear().await) != "rests no more" {} }).await;
        assert!(asked.load(Ordering::SeqCst) >= 3);
        script.say(assign([3]));
        soon(async { while super::script::summary(&script.hear().await) != "started 3" {} }).await;
        stage.begun().await.end(Outcome::Succeeded);
    }
}

#[tokio::test]
async fn an_attempt_that_is_got_ready_has_not_begun_and_can_be_cancelled() {
    let (runs, mut stage) = stage();
    let never =
        |_| -> futures_util::future::BoxFuture<'static, Result<(), NoRoom>> { Box::pin(std::future::pending()) };
    let runs = Runs { is_warm: Arc::new(|_| false), get_ready: Arc::new(never), ..runs };
    let (mut script, _worker) = joined(WorkerMode::Push, 1, runs).await;
    script.say(assign([1]));
    script.hang_up();
    // Either it came before the connection broke, or it never came.
    let in_hand = script.welcome().await.in_hand;
    if in_hand.is_empty() {
        script.say(assign([1]));
    }
    script.say(vec![ToWorker::Cancel { id: id(1) }]);
    script.expect(&["started 1", "ended 1 Cancelled"]).await;
    drop(stage.begun().await);
}
