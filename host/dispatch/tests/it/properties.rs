//! Random scripts against a model of the store and the workers, with every output checked.

mod world;

use proptest::prelude::*;
use proptest::test_runner::Config as ProptestConfig;

use world::{Step, World};

fn steps() -> impl Strategy<Value = Vec<(Step, u32)>> {
    let step = prop_oneof![
        6 => Just(Step::Submit),
        6 => Just(Step::PopClaim),
        6 => Just(Step::DeliverClaim),
        1 => Just(Step::FailClaim),
        6 => Just(Step::Start),
        6 => Just(Step::ApplyStart),
        8 => Just(Step::EndAttempt),
        1 => Just(Step::RepeatEnd),
        8 => Just(Step::ApplyWrite),
        8 => Just(Step::DeliverWrite),
        2 => Just(Step::FailWrite),
        3 => Just(Step::Cancel),
        2 => Just(Step::ApplyCancel),
        2 => Just(Step::DeliverCancel),
        1 => Just(Step::FailCancel),
        3 => Just(Step::ApplyRecover),
        3 => Just(Step::DeliverRecover),
        1 => Just(Step::FailRecover),
        3 => Just(Step::Wait),
        2 => Just(Step::Heartbeat),
        3 => Just(Step::Hello),
        1 => Just(Step::Die),
        1 => Just(Step::Disconnect),
        1 => Just(Step::Lie),
        1 => Just(Step::Goodbye),
        1 => Just(Step::DrainWorker),
        2 => Just(Step::Ready),
        1 => Just(Step::Ahead),
        1 => Just(Step::Restart),
        1 => Just(Step::TakeOver),
        1 => Just(Step::Elsewhere),
    ];
    prop::collection::vec((step, any::<u32>()), 1..300)
}

/// How many scripts each test tries; more with `PROPTEST_CASES`.
fn cases() -> u32 {
    std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(512)
}

fn world_after(steps: Vec<(Step, u32)>, seed: u64) -> World {
    let mut world = World::new(seed);
    for (step, pick) in steps {
        world.step(step, pick as usize);
    }
    world
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None, ..ProptestConfig::default() })]

    /// Room is never over-assigned, attempts strictly increase, no task is recorded as ended twice or
    /// with another's result, budgets hold, no slot is idle while a task could run, and every task ends
    /// once all answer again.
    #[test]
    fn every_task_ends_once_whatever_happens(steps in steps(), seed: u64) {
        let mut world = world_after(steps, seed);
        world.settle();
        world.check_all_ended();
    }

    #[test]
    fn the_same_inputs_and_seed_give_the_same_outputs(steps in steps(), seed: u64) {
        let world = world_after(steps, seed);
        prop_assert_eq!(world.replay(), world.outputs_as_text());
    }

    /// A drain ends, begins nothing, and leaves each task ended, queued in the store, or with the worker
    /// that brings it to the next dispatcher.
    #[test]
    fn a_drain_leaves_nothing_behind(steps in steps(), seed: u64, grace_ms in 0u64..2_000) {
        let mut world = world_after(steps, seed);
        world.drain(std::time::Duration::from_millis(grace_ms));
        world.settle();
        world.check_drained();
    }
}
