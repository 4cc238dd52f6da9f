//! The dispatcher core in simulated worlds in which everything breaks that can: thousands of schedules of
//! each kind, the same ones each time. `just simulate` runs others, as many as asked.

use bulkhead_tests::simulator::{Campaign, Profile, Tracing, simulate};

/// Schedules of each profile: more than 20,000 in all.
const SCHEDULES: u64 = 2_600;

/// The first seed of each profile's schedules.
const FIRST: u64 = 1;

#[track_caller]
fn holds(profile: Profile) {
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(2);
    let campaign = Campaign { profiles: vec![profile], first: FIRST, count: SCHEDULES, threads, most_failures: 3 };
    let outcomes = campaign.run(&|_, _| {});
    for report in &outcomes.failures {
        let (seed, name) = (report.seed, profile.name());
        eprintln!("FAILED: {:?}", report.broken);
        eprintln!("  cargo run -p bulkhead-tests --bin simulate -- --seed {seed} --profile {name} --trace");
    }
    assert!(outcomes.failures.is_empty(), "a promise was broken; the lines above run it again");
    assert_eq!(outcomes.schedules, SCHEDULES);
    // The schedules are about something.
    assert!(outcomes.runs > 3 * SCHEDULES, "{} attempts ran in {SCHEDULES} schedules", outcomes.runs);
}

#[test]
fn calm_schedules_hold() {
    holds(Profile::Calm);
}

#[test]
fn schedules_on_a_lossy_network_hold() {
    holds(Profile::Lossy);
}

#[test]
fn schedules_with_partitions_hold() {
    holds(Profile::Partitions);
}

#[test]
fn schedules_with_dying_and_hanging_workers_hold() {
    holds(Profile::Workers);
}

#[test]
fn schedules_with_dying_and_hanging_dispatchers_hold() {
    holds(Profile::Dispatchers);
}

#[test]
fn schedules_of_two_dispatchers_hold() {
    holds(Profile::Two);
}

#[test]
fn schedules_on_a_failing_store_hold() {
    holds(Profile::Store);
}

#[test]
fn schedules_with_all_that_can_break_hold() {
    holds(Profile::Everything);
}

#[test]
fn the_same_seed_gives_the_same_schedule() {
    for seed in 0..20 {
        let run = || simulate(Profile::Everything, seed, Tracing::Text);
        let (first, second) = (run(), run());
        assert_eq!(first.trace, second.trace, "seed {seed}");
        assert_eq!(first.hash, second.hash, "seed {seed}");
        assert_ne!(first.hash, simulate(Profile::Everything, seed + 1_000, Tracing::Hash).hash, "seed {seed}");
    }
}
