use bulkhead_protocol::id::TaskId;

use super::super::group::Kind;
use super::*;

fn id(number: u128) -> TaskId {
    TaskId(uuid::Uuid::from_u128(number))
}

fn write(kind: Kind, task: u128, bytes: usize) -> Awaited {
    Write::new(kind, id(task)).bytes(vec![0; bytes]).awaited().0
}

/// The tasks of the next group.
fn group(waiting: &mut Waiting) -> Vec<(u128, bool)> {
    waiting.take_group().iter().map(|write| (write.task().0.as_u128(), write.write.is_start())).collect()
}

#[test]
fn a_start_waits_for_its_end_and_no_longer_than_it_may() {
    let (mut waiting, now) = (Waiting::default(), Instant::now());
    assert!(waiting.put(now, write(Kind::Start, 1, 0)), "it is to be woken for");
    assert!(!waiting.put(now, write(Kind::Start, 2, 0)), "after the first");
    waiting.ripen(now);
    assert!(waiting.due.is_empty());
    assert!(waiting.put(now, write(Kind::End, 2, 0)));
    assert!(!waiting.put(now, write(Kind::Requeue, 3, 0)));
    assert_eq!(group(&mut waiting), [(2, true), (2, false), (3, false)]);
    waiting.ripen(now + LINGER - Duration::from_nanos(1));
    assert!(waiting.due.is_empty());
    waiting.ripen(now + LINGER);
    assert_eq!(group(&mut waiting), [(1, true)]);
    assert!(waiting.deadlines.is_empty() && waiting.starts.is_empty());
}

#[test]
fn a_tasks_writes_keep_their_order() {
    let (mut waiting, now) = (Waiting::default(), Instant::now());
    waiting.put(now, write(Kind::Start, 1, 1));
    assert!(waiting.put(now, write(Kind::Start, 1, 2)), "the first one is due");
    waiting.put(now, write(Kind::Requeue, 1, 3));
    waiting.put(now + LINGER / 2, write(Kind::Start, 1, 4));
    let sizes = |group: Vec<Awaited>| group.iter().map(|write| write.write.size()).collect::<Vec<_>>();
    assert_eq!(sizes(waiting.take_group()), [1, 2, 3]);
    // The time of the earlier starts is none of the last one's.
    waiting.ripen(now + LINGER);
    assert!(waiting.due.is_empty());
    waiting.ripen(now + LINGER / 2 + LINGER);
    assert_eq!(sizes(waiting.take_group()), [4]);
}

#[test]
fn a_group_has_bounds() {
    let (mut waiting, now) = (Waiting::default(), Instant::now());
    for task in 0..=GROUP_WRITES as u128 {
        waiting.put(now, write(Kind::End, task, 1));
    }
    assert_eq!(group(&mut waiting).len(), GROUP_WRITES);
    assert_eq!(group(&mut waiting).len(), 1);
    for task in 0..5 {
        waiting.put(now, write(Kind::End, task, GROUP_BYTES / 4));
    }
    assert_eq!(group(&mut waiting).len(), 4);
    assert_eq!(group(&mut waiting).len(), 1);
    waiting.put(now, write(Kind::End, 1, GROUP_BYTES + 1));
    assert_eq!(group(&mut waiting).len(), 1, "one goes in any case");
}

#[tokio::test]
async fn more_writes_than_the_queue_holds_wait_for_a_place() {
    let queue = Queue::new();
    let put = |number| queue.put(Write::new(Kind::End, id(number)));
    let mut held: Vec<_> = (0..MAX_WRITES as u128).map(|number| Box::pin(put(number))).collect();
    for write in &mut held {
        assert!(futures_util::poll!(write).is_pending());
    }
    let mut one_more = Box::pin(put(u128::MAX));
    assert!(futures_util::poll!(&mut one_more).is_pending());
    assert_eq!(queue.lock().due.len(), MAX_WRITES);
    // Whoever waited is told, and the places are free again.
    drop(queue.next().await);
    assert!(matches!(held.remove(0).await, Err(Error::Unavailable { .. })));
    assert!(futures_util::poll!(&mut one_more).is_pending());
    assert_eq!(queue.lock().due.len(), MAX_WRITES - GROUP_WRITES + 1);
}
