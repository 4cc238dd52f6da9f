//! Many schedules, on several threads.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::check::Violation;
use super::plan::Plan;
use super::profile::Profile;
use super::random::Random;
use super::trace::Tracing;
use super::world::World;

/// One schedule in so many is run twice, to see that it goes the same way.
const TWICE: u64 = 50;

/// What became of a schedule.
#[derive(Clone, Debug)]
pub struct Report {
    /// Its seed.
    pub seed: u64,
    /// Its profile.
    pub profile: Profile,
    /// The first broken promise and the evidence.
    pub broken: Option<(Violation, String)>,
    /// Of every line of the trace; 0 when none was noted.
    pub hash: u64,
    /// The trace, where it was asked for.
    pub trace: Vec<String>,
    /// Events that happened.
    pub events: u64,
    /// Processes that ran.
    pub runs: usize,
    /// Simulated milliseconds.
    pub simulated_ms: u64,
}

/// Runs the schedule of a seed.
pub fn simulate(profile: Profile, seed: u64, tracing: Tracing) -> Report {
    // The profile is part of the seed: profiles do not repeat each other's schedules.
    let mut random = Random::new(seed ^ (profile as u64) << 56);
    let plan = Plan::draw(profile, &mut random);
    let mut world = World::new(plan, random, tracing);
    let ran = catch_unwind(AssertUnwindSafe(|| world.run()));
    if let Err(panic) = ran {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        world.violated(Violation::Panic, text.unwrap_or_default());
    }
    Report {
        seed,
        profile,
        broken: world.violation.take(),
        hash: world.trace.hash,
        trace: std::mem::take(&mut world.trace.lines),
        events: world.happened,
        runs: world.ledger.runs(),
        simulated_ms: world.now,
    }
}

/// Many schedules: the seeds from `first`, one after the other, each with the next profile in turn.
#[derive(Clone, Debug)]
pub struct Campaign {
    /// The profiles that take turns.
    pub profiles: Vec<Profile>,
    /// The first seed.
    pub first: u64,
    /// How many schedules.
    pub count: u64,
    /// How many threads.
    pub threads: usize,
    /// Most failures after which it stops.
    pub most_failures: usize,
}

/// What became of a campaign.
#[derive(Clone, Debug, Default)]
pub struct Outcomes {
    /// Schedules that ran.
    pub schedules: u64,
    /// Events that happened in them.
    pub events: u64,
    /// Processes that ran in them.
    pub runs: u64,
    /// Simulated milliseconds.
    pub simulated_ms: u64,
    /// Those that broke a promise, by seed.
    pub failures: Vec<Report>,
}

impl Campaign {
    /// Runs it; `progress` is told of every schedule that ended and how many did, from several threads.
    pub fn run(&self, progress: &(dyn Fn(&Report, u64) + Sync)) -> Outcomes {
        let (next, stop) = (AtomicU64::new(0), AtomicBool::new(false));
        let outcomes = Mutex::new(Outcomes::default());
        std::thread::scope(|scope| {
            for _ in 0..self.threads.max(1) {
                scope.spawn(|| {
                    while !stop.load(Ordering::Relaxed) {
                        let number = next.fetch_add(1, Ordering::Relaxed);
                        if number >= self.count {
                            break;
                        }
                        let report = self.run_one(number);
                        let Ok(mut outcomes) = outcomes.lock() else { break };
                        outcomes.schedules += 1;
                        outcomes.events += report.events;
                        outcomes.runs += report.runs as u64;
                        outcomes.simulated_ms += report.simulated_ms;
                        let done = outcomes.schedules;
                        if report.broken.is_some() {
                            outcomes.failures.push(report.clone());
                        }
                        stop.fetch_or(outcomes.failures.len() >= self.most_failures, Ordering::Relaxed);
                        drop(outcomes);
                        progress(&report, done);
                    }
                });
            }
        });
        let mut outcomes = outcomes.into_inner().unwrap_or_default();
        outcomes.failures.sort_by_key(|report| report.seed);
        outcomes
    }

    /// The `number`th schedule.
    fn run_one(&self, number: u64) -> Report {
        let turn = usize::try_from(number).unwrap_or(0) % self.profiles.len().max(1);
        let profile = self.profiles.get(turn).copied().unwrap_or(Profile::Everything);
        let seed = self.first.wrapping_add(number);
        if !number.is_multiple_of(TWICE) {
            return simulate(profile, seed, Tracing::Off);
        }
        let mut report = simulate(profile, seed, Tracing::Hash);
        let again = simulate(profile, seed, Tracing::Hash);
        if report.broken.is_none() && again.hash != report.hash {
            report.broken = Some((Violation::Replay, "the same seed went another way".to_owned()));
        }
        report
    }
}
