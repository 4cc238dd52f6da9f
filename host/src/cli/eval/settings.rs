//! What is asked for, checked before anything is started.

use std::fmt::Display;
use std::time::Duration;

use bulkhead_eval::results::{Isolation, Mode, Store, Workload};

use super::args::MeasureArgs;
use crate::cli::failure::{Exit, Failure};
use crate::cli::measuring::cluster::redis;

/// Most workers of a cluster: each is a process with sandboxes.
pub(super) const MAX_WORKERS: u32 = 64;
/// Most tasks of a batch for each worker.
pub(super) const MAX_TASKS_PER_WORKER: u32 = 100_000;
/// Most repetitions.
pub(super) const MAX_REPEAT: u32 = 100;
/// Most calls of a measurement that makes them one after the other.
pub(super) const MAX_CALLS: u32 = 100_000;
/// Longest time of a rate of the open loop.
pub(super) const MAX_LOAD_TIME: Duration = Duration::from_secs(600);

/// What is measured.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    /// Kinds of clusters.
    pub(super) kinds: Vec<(Mode, Store)>,
    /// Numbers of workers, ascending.
    pub(super) workers: Vec<u32>,
    /// Kinds of work.
    pub(super) workloads: Vec<Workload>,
    /// How far calls are kept apart.
    pub(super) isolations: Vec<Isolation>,
    /// Tasks of a batch for each worker, if all kinds of work have the same.
    pub(super) tasks_per_worker: Option<u32>,
    /// Repetitions.
    pub(super) repeat: u32,
    /// Calls one after the other.
    pub(super) calls: u32,
    /// How long each rate lasts.
    pub(super) load_time: Duration,
    /// Rates as shares of what the cluster can do.
    pub(super) shares: Vec<f64>,
    /// Seeds the arrivals.
    pub(super) seed: u64,
    /// Whether it is the short evaluation.
    pub(super) quick: bool,
    /// The cluster that is there.
    pub(super) target: Option<String>,
    /// What is left out, and why.
    pub(super) notes: Vec<String>,
}

impl Settings {
    /// Checks what was given and fills in the rest.
    ///
    /// # Errors
    /// A word or number that means nothing here, and a Redis that was asked for and is not found.
    pub(super) fn new(args: &MeasureArgs) -> Result<Self, Failure> {
        let modes = words("--modes", args.modes.as_deref(), &[Mode::Local, Mode::Pull, Mode::Push])?;
        let workloads = words("--workloads", args.workloads.as_deref(), &Workload::ALL)?;
        let isolations = words("--isolation", args.isolation.as_deref(), &[Isolation::Fresh, Isolation::Reuse])?;
        let workers = match &args.workers {
            Some(text) => numbers(text)?,
            None if args.quick => vec![1, 2, 4],
            None => vec![1, 2, 4, 8],
        };
        if args.target.is_some() {
            let given = [
                ("--modes", args.modes.is_some()),
                ("--store", args.store.is_some()),
                ("--workers", args.workers.is_some()),
            ];
            if let Some((flag, _)) = given.into_iter().find(|(_, is)| *is) {
                let line = format!("{flag} says how to start a cluster; with --target there is one");
                return Err(Failure::new(Exit::Usage, line).hint(format!("leave out {flag} or --target")));
            }
        }
        let mut notes = Vec::new();
        let kinds = match args.target {
            Some(_) => vec![(Mode::Target, Store::Unknown)],
            None => kinds(&modes, args.store.as_deref(), args.quick, redis::find().is_some(), &mut notes)?,
        };
        if let Some(tasks) = args.tasks_per_worker {
            bounded("--tasks-per-worker", tasks, MAX_TASKS_PER_WORKER)?;
        }
        let load_time = args.load_time.unwrap_or(Duration::from_secs(if args.quick { 1 } else { 8 }));
        if load_time.is_zero() || load_time > MAX_LOAD_TIME {
            let line = format!("--load-time is {load_time:?}; it may be up to {} s", MAX_LOAD_TIME.as_secs());
            return Err(Failure::new(Exit::Usage, line));
        }
        let shares = if args.quick { vec![0.2, 0.5, 0.8] } else { vec![0.1, 0.3, 0.5, 0.7, 0.9] };
        Ok(Self {
            kinds,
            workers,
            workloads,
            isolations,
            tasks_per_worker: args.tasks_per_worker,
            repeat: bounded("--repeat", args.repeat.unwrap_or(if args.quick { 2 } else { 5 }), MAX_REPEAT)?,
            calls: bounded("--calls", args.calls.unwrap_or(if args.quick { 200 } else { 1000 }), MAX_CALLS)?,
            load_time,
            shares,
            seed: args.seed,
            quick: args.quick,
            target: args.target.clone(),
            notes,
        })
    }

    /// Tasks of a batch for each worker.
    pub(super) fn tasks_per_worker(&self, workload: Workload) -> u32 {
        self.tasks_per_worker.unwrap_or(match (workload, self.quick) {
            (Workload::Noop, true) => 500,
            (Workload::Cpu | Workload::Io, true) => 24,
            (Workload::Noop, false) => 5000,
            (Workload::Cpu | Workload::Io, false) => 200,
        })
    }

    /// The most workers.
    pub(super) fn most_workers(&self) -> u32 {
        self.workers.last().copied().unwrap_or(1)
    }

    /// The number of workers on which latency and the like are measured: as many as there are cores, or the
    /// next fewer.
    pub(super) fn usual_workers(&self, cores: u32) -> u32 {
        let fitting = self.workers.iter().filter(|workers| **workers <= cores).max();
        fitting.or(self.workers.first()).copied().unwrap_or(1)
    }

    /// As the results keep them.
    pub(super) fn to_results(&self) -> bulkhead_eval::results::Settings {
        let mut modes: Vec<Mode> = self.kinds.iter().map(|(mode, _)| *mode).collect();
        let mut stores: Vec<Store> = self.kinds.iter().map(|(_, store)| *store).collect();
        modes.dedup();
        stores.sort();
        stores.dedup();
        bulkhead_eval::results::Settings {
            modes,
            stores,
            workers: self.workers.clone(),
            workloads: self.workloads.clone(),
            isolations: self.isolations.clone(),
            tasks_per_worker: self.tasks_per_worker,
            repeat: self.repeat,
            quick: self.quick,
            target: self.target.clone(),
            seed: self.seed,
        }
    }
}

/// Kinds of clusters: what was asked for, or what suits.
fn kinds(
    modes: &[Mode],
    stores: Option<&str>,
    quick: bool,
    has_redis: bool,
    notes: &mut Vec<String>,
) -> Result<Vec<(Mode, Store)>, Failure> {
    let asked = stores.map(|text| words("--store", Some(text), &[Store::Embedded, Store::Redis])).transpose()?;
    if !has_redis {
        if asked.as_ref().is_some_and(|stores| stores.contains(&Store::Redis)) {
            return Err(Failure::new(Exit::Usage, "there is no redis-server or valkey-server on the path")
                .hint("install one (apt-get install redis-server), or leave --store redis out"));
        }
        if asked.is_none() {
            notes.push("Redis: there is no redis-server or valkey-server on the path".to_owned());
        }
    }
    let usual = |mode| if has_redis && mode != Mode::Local { Store::Redis } else { Store::Embedded };
    let of = |mode: Mode| -> Vec<Store> {
        match &asked {
            Some(stores) => stores.clone(),
            None if quick => vec![usual(mode)],
            None if has_redis => vec![Store::Embedded, Store::Redis],
            None => vec![Store::Embedded],
        }
    };
    Ok(modes.iter().flat_map(|mode| of(*mode).into_iter().map(|store| (*mode, store))).collect())
}

/// Reads words between commas, each once.
fn words<T: Copy + Display + PartialEq>(flag: &str, text: Option<&str>, known: &[T]) -> Result<Vec<T>, Failure> {
    let Some(text) = text else { return Ok(known.to_vec()) };
    let mut found = Vec::new();
    for word in text.split(',').map(str::trim).filter(|word| !word.is_empty()) {
        let Some(meant) = known.iter().find(|known| known.to_string() == word) else {
            let all: Vec<_> = known.iter().map(ToString::to_string).collect();
            let line = format!("{flag} does not know {word:?}");
            return Err(Failure::new(Exit::Usage, line).hint(format!("it knows {}", all.join(", "))));
        };
        if !found.contains(meant) {
            found.push(*meant);
        }
    }
    if found.is_empty() {
        return Err(Failure::new(Exit::Usage, format!("{flag} names nothing to measure")));
    }
    Ok(found)
}

/// Reads numbers of workers between commas, ascending and each once.
fn numbers(text: &str) -> Result<Vec<u32>, Failure> {
    let mut found = Vec::new();
    for word in text.split(',').map(str::trim).filter(|word| !word.is_empty()) {
        let number = word.parse().map_err(|_| {
            let line = format!("--workers has {word:?}, which is no number of workers");
            Failure::new(Exit::Usage, line).hint("write them as 1,2,4")
        })?;
        found.push(bounded("--workers", number, MAX_WORKERS)?);
    }
    found.sort_unstable();
    found.dedup();
    if found.is_empty() {
        return Err(Failure::new(Exit::Usage, "--workers names no number of workers").hint("write them as 1,2,4"));
    }
    Ok(found)
}

fn bounded(flag: &str, number: u32, most: u32) -> Result<u32, Failure> {
    if (1..=most).contains(&number) {
        return Ok(number);
    }
    Err(Failure::new(Exit::Usage, format!("{flag} is {number}; it may be 1 to {most}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args() -> MeasureArgs {
        MeasureArgs { store: Some("embedded".to_owned()), ..MeasureArgs::default() }
    }

    fn refused(args: MeasureArgs) -> String {
        Settings::new(&args).unwrap_err().line
    }

    #[test]
    fn what_cannot_be_measured_is_refused_by_name() {
        let text = |text: &str| Some(text.to_owned());
        assert!(
            refused(MeasureArgs { workloads: text("noop,gpu"), ..args() })
                .contains("--workloads does not know \"gpu\"")
        );
        assert!(refused(MeasureArgs { modes: text(""), ..args() }).contains("--modes names nothing"));
        assert!(refused(MeasureArgs { workers: text("0"), ..args() }).contains("--workers is 0; it may be 1 to 64"));
        assert!(refused(MeasureArgs { workers: text("65"), ..args() }).contains("--workers is 65"));
        assert!(refused(MeasureArgs { workers: text("two"), ..args() }).contains("\"two\""));
        assert!(refused(MeasureArgs { workers: text(","), ..args() }).contains("names no number"));
        assert!(refused(MeasureArgs { tasks_per_worker: Some(0), ..args() }).contains("--tasks-per-worker is 0"));
        assert!(refused(MeasureArgs { repeat: Some(101), ..args() }).contains("1 to 100"));
        assert!(refused(MeasureArgs { calls: Some(0), ..args() }).contains("--calls is 0"));
        assert!(refused(MeasureArgs { load_time: Some(Duration::ZERO), ..args() }).contains("--load-time"));
        assert!(refused(MeasureArgs { target: text("http://h"), ..args() }).contains("--store"));
        assert!(Settings::new(&MeasureArgs { workers: text("64"), repeat: Some(100), ..args() }).is_ok());
    }

    #[test]
    fn without_redis_it_is_left_out_and_said_so_unless_it_was_asked_for() {
        let mut notes = Vec::new();
        let modes = [Mode::Local, Mode::Pull];
        let found = kinds(&modes, None, false, false, &mut notes).unwrap();
        assert_eq!(found, [(Mode::Local, Store::Embedded), (Mode::Pull, Store::Embedded)]);
        assert_eq!(notes.len(), 1);
        let refused = kinds(&modes, Some("redis"), false, false, &mut notes).unwrap_err();
        assert!(refused.hint.unwrap().contains("redis-server"));
        let quick = kinds(&modes, None, true, true, &mut notes).unwrap();
        assert_eq!(quick, [(Mode::Local, Store::Embedded), (Mode::Pull, Store::Redis)]);
        assert_eq!(kinds(&modes, None, false, true, &mut notes).unwrap().len(), 4);
    }

    #[test]
    fn numbers_of_workers_are_sorted_and_the_usual_one_fits_the_cores() {
        let settings = Settings::new(&MeasureArgs { workers: Some("4, 1,2,4".to_owned()), ..args() }).unwrap();
        assert_eq!(settings.workers, [1, 2, 4]);
        assert_eq!([1, 2, 3, 16].map(|cores| settings.usual_workers(cores)), [1, 2, 2, 4]);
    }
}
