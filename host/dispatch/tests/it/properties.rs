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
        8 => Just(Step::EndAttempt),
        1 => Just(Step::RepeatEnd),
        8 => Just(Step::ApplyWrite),
        8 => Just(Step::DeliverWrite),
        2 => Just(Step::FailWrite),
        3 => Just(Step::Cancel),
        2 => Just(Step::ApplyCancel),
        2 => Just(Step::DeliverCancel),
        1 => Just(Step::FailCancel),
        3 => Just(Step::Wait),
        2 => Just(Step::Heartbeat),
        2 => Just(Step::Hello),
        1 => Just(Step::Goodbye),
        1 => Just(Step::Ready),
        1 => Just(Step::Restart),
    ];
    prop::collection::vec((step, any::<u32>()), 1..300)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    /// Slots are never over-assigned, attempts strictly increase, no task is recorded as ended
    /// twice, no slot is idle while a task could run, and every task ends once all answer again.
    #[test]
    fn every_task_ends_once_whatever_happens(steps in steps(), seed: u64) {
        let mut world = World::new(seed);
        for (step, pick) in steps {
            world.step(step, pick as usize);
        }
        world.settle();
        world.check_all_ended();
    }

    #[test]
    fn the_same_inputs_and_seed_give_the_same_outputs(steps in steps(), seed: u64) {
        let mut world = World::new(seed);
        for (step, pick) in steps {
            world.step(step, pick as usize);
        }
        prop_assert_eq!(world.replay(), world.outputs_as_text());
    }

    /// A drain ends, begins nothing, and leaves each task ended or queued in the store.
    #[test]
    fn a_drain_leaves_nothing_behind(steps in steps(), seed: u64, grace_ms in 0u64..2_000) {
        let mut world = World::new(seed);
        for (step, pick) in steps {
            world.step(step, pick as usize);
        }
        world.drain(std::time::Duration::from_millis(grace_ms));
        world.settle();
        world.check_drained();
    }
}
