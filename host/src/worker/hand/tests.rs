use bulkhead_protocol::id::{FunctionId, PackageId, TaskId};
use bulkhead_protocol::outcome::Logs;

use super::*;
use crate::worker::tests::assignment;

fn id(task: u128) -> AttemptId {
    attempt(task, 1)
}

fn attempt(task: u128, attempt: u32) -> AttemptId {
    AttemptId { task: TaskId(uuid::Uuid::from_u128(task)), attempt }
}

fn hand(slots: u32, assigned: u128) -> Hand {
    let mut hand = Hand::new(slots);
    for task in 0..assigned {
        assert_eq!(hand.assign(assignment(id(task))), Assigned::Taken);
    }
    hand
}

fn begin(hand: &mut Hand) -> Option<(AttemptId, CancellationToken)> {
    hand.begin_next(Instant::now()).map(|(assignment, cancel)| (assignment.id, cancel))
}

fn succeeded() -> Report {
    Report::without_process(Outcome::Succeeded)
}

#[test]
fn slots_are_given_in_the_order_of_arrival_and_no_more_than_there_are() {
    let mut hand = hand(2, 4);
    assert_eq!(begin(&mut hand).unwrap().0, id(0));
    assert_eq!(begin(&mut hand).unwrap().0, id(1));
    assert!(begin(&mut hand).is_none());
    assert!(hand.ended(Instant::now(), id(1), succeeded()).is_some());
    assert_eq!(begin(&mut hand).unwrap().0, id(2));
    assert_eq!(hand.unfinished(), 3);
}

#[test]
fn an_attempt_stays_in_hand_until_its_end_is_acknowledged() {
    let mut hand = hand(1, 1);
    assert_eq!(hand.assign(assignment(id(0))), Assigned::Known);
    begin(&mut hand);
    assert_eq!(hand.assign(assignment(id(0))), Assigned::Known);
    hand.ended(Instant::now(), id(0), succeeded());
    assert_eq!(hand.assign(assignment(id(0))), Assigned::Ended);
    assert_eq!((hand.ids(), hand.unfinished()), (vec![id(0)], 0));
    assert_eq!(hand.ends().collect::<Vec<_>>(), [id(0)]);
    hand.acknowledged(id(0));
    assert!(hand.is_empty() && hand.report(id(0)).is_none());
    assert_eq!(hand.unacknowledged_bytes, 0);
    // A new attempt of the same task is another.
    assert_eq!(hand.assign(assignment(attempt(0, 2))), Assigned::Taken);
}

#[test]
fn what_waits_is_cancelled_at_once_and_what_runs_is_killed() {
    let mut hand = hand(1, 3);
    let (first, cancel) = begin(&mut hand).unwrap();
    assert_eq!(hand.cancel(id(1)), Cancelled::Ended);
    assert_eq!(hand.report(id(1)).unwrap().outcome, Outcome::Cancelled);
    assert_eq!(hand.cancel(first), Cancelled::Killed);
    assert!(cancel.is_cancelled() && hand.report(first).is_none());
    assert_eq!(hand.cancel(id(9)), Cancelled::Unknown);
    hand.ended(Instant::now(), first, succeeded());
    assert_eq!(hand.cancel(first), Cancelled::Ended);
    assert_eq!(hand.report(first).unwrap().outcome, Outcome::Succeeded, "it ended before the kill");
    assert_eq!(begin(&mut hand).unwrap().0, id(2));
}

#[test]
fn what_is_acknowledged_too_early_is_killed_and_still_ends() {
    let mut hand = hand(1, 2);
    let (first, cancel) = begin(&mut hand).unwrap();
    hand.acknowledged(first);
    assert!(cancel.is_cancelled());
    hand.acknowledged(id(1));
    assert_eq!(hand.ends().collect::<Vec<_>>(), [id(1)]);
    assert!(begin(&mut hand).is_none());
}

#[test]
fn more_than_the_bound_is_refused() {
    let mut hand = Hand::new(1);
    for task in 0..MAX_IN_HAND as u128 {
        assert_eq!(hand.assign(assignment(id(task))), Assigned::Taken);
    }
    assert_eq!(hand.assign(assignment(id(u128::MAX))), Assigned::TooMany);
    assert_eq!(hand.assign(assignment(id(0))), Assigned::Known);
}

#[test]
fn nothing_begins_while_too_many_ends_are_unacknowledged() {
    let mut hand = hand(1, MAX_UNACKNOWLEDGED as u128 + 1);
    for task in 0..MAX_UNACKNOWLEDGED as u128 {
        assert!(!hand.is_full());
        begin(&mut hand).unwrap();
        hand.ended(Instant::now(), id(task), succeeded());
    }
    assert!(hand.is_full() && begin(&mut hand).is_none());
    hand.acknowledged(id(5));
    assert!(!hand.is_full() && begin(&mut hand).is_some());
}

#[test]
fn nothing_begins_while_unacknowledged_ends_are_too_large() {
    let mut hand = hand(1, 6);
    let large = || Report { result: vec![0; 64 * 1024 * 1024], ..succeeded() };
    for task in 0..4 {
        begin(&mut hand).unwrap();
        hand.ended(Instant::now(), id(task), large());
    }
    assert!(hand.is_full() && begin(&mut hand).is_none());
}

#[test]
fn nothing_is_asked_for_while_waiting_inputs_are_too_large() {
    let mut hand = Hand::new(1);
    for task in 0..4 {
        assert!(!hand.is_full());
        let mut large = assignment(id(task));
        large.input.bytes = vec![0; 64 * 1024 * 1024];
        hand.assign(large);
    }
    assert!(hand.is_full());
    begin(&mut hand).unwrap();
    assert!(!hand.is_full());
}

#[test]
fn what_waits_is_given_back_unrun() {
    let mut hand = hand(1, 3);
    begin(&mut hand);
    assert_eq!(hand.give_back(), [id(1), id(2)]);
    assert_eq!(hand.unfinished(), 1);
    assert!(hand.give_back().is_empty());
    assert_eq!(hand.waiting_bytes, 0);
}

#[test]
fn a_task_is_not_given_back_early_again_and_again() {
    let mut hand = hand(1, 1);
    begin(&mut hand);
    hand.assign(assignment(attempt(1, LAST_GIVEN_BACK)));
    hand.assign(assignment(attempt(2, LAST_GIVEN_BACK + 1)));
    assert_eq!(hand.give_back_early(), [attempt(1, LAST_GIVEN_BACK)]);
    assert_eq!(hand.unfinished(), 2);
}

#[test]
fn it_is_stuck_when_all_slots_are_taken_and_something_waits() {
    let second = Duration::from_secs(1);
    let start = Instant::now();
    let mut hand = hand(2, 2);
    hand.begin_next(start);
    hand.assign(assignment(id(7)));
    assert_eq!(hand.stuck_for(start + second), None, "a slot is free");
    hand.begin_next(start + second);
    assert_eq!(hand.stuck_for(start + 3 * second), Some(2 * second));
    hand.give_back();
    assert_eq!(hand.stuck_for(start + 3 * second), None, "nothing waits");
}

#[test]
fn logs_that_no_batch_could_hold_are_cut_at_their_beginning() {
    let mut hand = hand(1, 1);
    begin(&mut hand);
    let mut stdout = vec![b'a'; 5 * 1024 * 1024];
    stdout.extend_from_slice(b"the end");
    let logs = Logs { stdout, stderr: b"short".to_vec(), truncated: false };
    hand.ended(Instant::now(), id(0), Report { logs, ..succeeded() });
    let logs = &hand.report(id(0)).unwrap().logs;
    assert!(logs.truncated && logs.stdout.len() == MAX_LOG_BYTES / 2 && logs.stdout.ends_with(b"the end"));
    assert_eq!(logs.stderr, b"short");
}

#[test]
fn the_ids_in_assignments_are_those_asked_for() {
    let assignment = assignment(id(3));
    assert_eq!(assignment.id, id(3));
    assert_ne!(assignment.function.id, FunctionId(uuid::Uuid::nil()));
    assert_ne!(assignment.function.package, PackageId([0; 32]));
}
