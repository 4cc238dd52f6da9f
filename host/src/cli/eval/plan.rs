//! The steps of an evaluation, and how long each may take.

use std::time::Duration;

use bulkhead_eval::results::{Mode, Scaling, Setup};

use super::alone::SIZES;
use super::batch::batches;
use super::recovery;
use super::settings::Settings;

/// One cluster, from its start to its end.
#[derive(Clone, Debug)]
pub(super) struct Step {
    /// Which cluster.
    pub(super) setup: Setup,
    /// Which repetition, from 1.
    pub(super) repetition: u32,
    /// What is measured on it.
    pub(super) what: What,
    /// How long it may take.
    pub(super) estimate: Duration,
}

/// What is measured on a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    /// Batches.
    Batches,
    /// Batches, and calls one after the other.
    BatchesAndLatency,
    /// Batches and everything else.
    Everything,
    /// Where the time of a call goes, while every part says where tasks have come.
    Stages,
}

/// What starting and ending a cluster may take.
const CLUSTER: f64 = 1.5;
/// What waking functions up may take, for each kind of work and isolation.
const WARM_UP: f64 = 0.15;
/// Tasks a second of small clusters: cautiously.
const TASKS_PER_SECOND: f64 = 4000.0;
/// Seconds of a call, cautiously.
const CALL: f64 = 0.0015;

/// The steps in their order: repetitions outermost, so that slow changes of the machine meet all alike; every
/// second repetition in the opposite order, so that fast ones do.
pub(super) fn steps(settings: &Settings, cores: u32, target_slots: Option<u32>) -> Vec<Step> {
    let mut steps = Vec::new();
    let workers = target_slots.map_or_else(|| settings.workers.clone(), |slots| vec![slots]);
    let usual = target_slots.unwrap_or_else(|| settings.usual_workers(cores));
    for repetition in 1..=settings.repeat {
        let mut setups: Vec<_> = workers
            .iter()
            .flat_map(|workers| {
                settings.kinds.iter().map(|(mode, store)| Setup { mode: *mode, store: *store, workers: *workers })
            })
            .collect();
        if repetition % 2 == 0 {
            setups.reverse();
        }
        for setup in setups {
            let what = match (setup.workers == usual, repetition) {
                (true, 1) => What::Everything,
                (true, _) => What::BatchesAndLatency,
                (false, _) => What::Batches,
            };
            steps.push(Step { setup, repetition, what, estimate: estimate(settings, setup, what) });
        }
    }
    // Lines of a cluster that is not ours are out of reach.
    if target_slots.is_none() {
        for (mode, store) in &settings.kinds {
            let setup = Setup { mode: *mode, store: *store, workers: 1 };
            let estimate = estimate(settings, setup, What::Stages);
            steps.push(Step { setup, repetition: 1, what: What::Stages, estimate });
        }
    }
    steps
}

/// Whether a worker of a cluster can be killed while another goes on.
pub(super) fn can_lose_a_worker(setup: Setup) -> bool {
    matches!(setup.mode, Mode::Pull | Mode::Push) && setup.workers > 1
}

fn estimate(settings: &Settings, setup: Setup, what: What) -> Duration {
    let calls = f64::from(settings.calls);
    let isolations = settings.isolations.len() as f64;
    let mut seconds = if setup.mode == Mode::Target { 0.0 } else { CLUSTER };
    if what == What::Stages {
        return Duration::from_secs_f64(seconds + isolations * (WARM_UP + 4.0 * calls * CALL));
    }
    for workload in &settings.workloads {
        for isolation in &settings.isolations {
            let per_worker = settings.tasks_per_worker(*workload);
            let most = settings.most_workers().max(setup.workers);
            for batch in batches(*workload, *isolation, per_worker, setup.workers, most) {
                let per_task = match workload {
                    bulkhead_eval::results::Workload::Noop => 1.0 / TASKS_PER_SECOND,
                    _ => 0.006 / f64::from(setup.workers.min(4)),
                };
                seconds += 0.02 + f64::from(batch.tasks) * per_task;
                debug_assert!(batch.scaling.contains(&Scaling::Weak) || batch.scaling.contains(&Scaling::Strong));
            }
            seconds += WARM_UP;
        }
    }
    if what != What::Batches {
        seconds += isolations * calls * CALL;
    }
    if what == What::Everything {
        let rates = settings.shares.len() as f64 + 1.0;
        seconds += isolations * rates * settings.load_time.as_secs_f64();
        seconds += SIZES.len() as f64 * (calls / 4.0) * 4.0 * CALL;
        if can_lose_a_worker(setup) {
            seconds += recovery::Times::new(settings.quick).end.as_secs_f64() + 1.0;
        }
    }
    Duration::from_secs_f64(seconds)
}

#[cfg(test)]
mod tests {
    use super::super::args::MeasureArgs;
    use super::*;

    fn settings(args: MeasureArgs) -> Settings {
        Settings::new(&MeasureArgs { store: Some("embedded".to_owned()), ..args }).unwrap()
    }

    #[test]
    fn repetitions_are_interleaved_and_turned_round() {
        let settings = settings(MeasureArgs {
            modes: Some("local,push".to_owned()),
            workers: Some("1,2".to_owned()),
            repeat: Some(2),
            ..MeasureArgs::default()
        });
        let steps = steps(&settings, 2, None);
        let shown: Vec<_> =
            steps.iter().map(|step| format!("{} {} {:?}", step.repetition, step.setup, step.what)).collect();
        let expected = [
            "1 local · embedded × 1 Batches",
            "1 push · embedded × 1 Batches",
            "1 local · embedded × 2 Everything",
            "1 push · embedded × 2 Everything",
            "2 push · embedded × 2 BatchesAndLatency",
            "2 local · embedded × 2 BatchesAndLatency",
            "2 push · embedded × 1 Batches",
            "2 local · embedded × 1 Batches",
            "1 local · embedded × 1 Stages",
            "1 push · embedded × 1 Stages",
        ];
        assert_eq!(shown, expected);
    }

    #[test]
    fn a_cluster_that_is_there_is_measured_as_it_is() {
        let args = MeasureArgs { target: Some("http://h:1".to_owned()), quick: true, ..MeasureArgs::default() };
        let settings = Settings::new(&args).unwrap();
        let steps = steps(&settings, 2, Some(16));
        assert_eq!(steps.len() as u32, settings.repeat);
        assert!(steps.iter().all(|step| step.setup.workers == 16 && step.setup.mode == Mode::Target));
        assert_eq!(steps[0].what, What::Everything);
    }

    #[test]
    fn the_short_evaluation_is_planned_for_less_than_three_minutes() {
        let steps = steps(&settings(MeasureArgs { quick: true, ..MeasureArgs::default() }), 2, None);
        let all: Duration = steps.iter().map(|step| step.estimate).sum();
        assert!(all < Duration::from_secs(180), "{all:?}");
    }
}
