//! What is bounded stays bounded.

use std::time::Duration;

use bulkhead_dispatch::{Config, Dispatcher, Input, Output, RecoverAnswer, WorkerKind};
use bulkhead_protocol::id::TaskId;
use bulkhead_protocol::task::Attempt;

use crate::script;

fn outputs(dispatcher: &mut Dispatcher, input: Input) -> Vec<Output> {
    dispatcher.handle(Duration::ZERO, input);
    dispatcher.audit();
    std::iter::from_fn(|| dispatcher.poll()).collect()
}

fn hello_with(tasks: u64) -> Input {
    let in_hand = (1..=tasks).map(|number| (script::task(number), 1)).collect();
    Input::Hello { worker: script::worker(1), kind: WorkerKind::Push, slots: 1, in_hand }
}

fn recovered(outputs: &[Output]) -> Vec<(TaskId, Attempt)> {
    let asked = |output: &Output| match output {
        Output::Recover { task, attempt, .. } => Some((*task, *attempt)),
        _ => None,
    };
    outputs.iter().filter_map(asked).collect()
}

/// The store is asked for 256 tasks at once, and for the others as it answers.
#[test]
fn the_store_is_not_flooded_with_what_workers_bring() {
    let mut dispatcher = Dispatcher::new(Config::default(), 1);
    let mut asked = recovered(&outputs(&mut dispatcher, hello_with(600)));
    assert_eq!(asked.len(), 256);
    let mut all = 0;
    while let Some((task, attempt)) = asked.pop() {
        all += 1;
        let answer = if all % 2 == 0 { RecoverAnswer::Stale } else { RecoverAnswer::Owned };
        asked.extend(recovered(&outputs(&mut dispatcher, Input::Recovered { task, attempt, answer })));
        assert!(asked.len() <= 256);
    }
    assert_eq!(all, 600);
}

/// Sixteen windows of tasks are looked for; attempts beyond are given up.
#[test]
fn what_workers_bring_is_bounded() {
    let mut dispatcher = Dispatcher::new(Config { window: 2, ..Config::default() }, 1);
    let cancelled =
        |outputs: &[Output]| outputs.iter().filter(|output| matches!(output, Output::CancelAttempt { .. })).count();
    assert_eq!(cancelled(&outputs(&mut dispatcher, hello_with(32))), 0);
    assert_eq!(cancelled(&outputs(&mut dispatcher, hello_with(33))), 1);
    // One that is known already is no further one.
    let other = Input::Hello {
        worker: script::worker(2),
        kind: WorkerKind::Push,
        slots: 1,
        in_hand: vec![(script::task(1), 2)],
    };
    assert_eq!(cancelled(&outputs(&mut dispatcher, other)), 0);
}

/// What a worker says of itself is not believed beyond measure.
#[test]
fn numbers_without_measure_are_cut() {
    let mut dispatcher = Dispatcher::new(Config { window: 40_000, ..Config::default() }, 1);
    let worker = script::worker(1);
    let hello = Input::Hello { worker, kind: WorkerKind::Pull, slots: u32::MAX, in_hand: Vec::new() };
    outputs(&mut dispatcher, hello);
    outputs(&mut dispatcher, Input::Ahead { worker, ahead: u32::MAX });
    outputs(&mut dispatcher, Input::Ready { worker, count: u32::MAX });
    let mut assigned = 0;
    for number in 0..17_000 {
        dispatcher.handle(Duration::ZERO, Input::Arrived(script::arrival(number, 'a')));
        let assignments = std::iter::from_fn(|| dispatcher.poll());
        assigned += assignments.filter(|output| matches!(output, Output::Assign { .. })).count();
    }
    dispatcher.audit();
    assert_eq!(assigned, 16 * 1024);
}
