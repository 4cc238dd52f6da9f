//! What pictures and analysis look up in results.

use crate::results::Mode;
use crate::results::{
    Distribution, Isolation, Latency, Load, PartUse, Results, Scaling, Setup, Store, Throughput, Workload,
};

/// A cluster without its size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Kind {
    /// How tasks got to workers.
    pub mode: Mode,
    /// Where they were kept.
    pub store: Store,
}

impl From<Setup> for Kind {
    fn from(setup: Setup) -> Self {
        Self { mode: setup.mode, store: setup.store }
    }
}

impl Kind {
    /// As legends have it.
    pub fn name(self) -> String {
        Setup { mode: self.mode, store: self.store, workers: 0 }.kind()
    }
}

/// Every kind of cluster that was measured, in a fixed order.
pub fn kinds(results: &Results) -> Vec<Kind> {
    let setups = results.throughput.iter().map(|it| it.setup);
    let setups = setups.chain(results.latency.iter().map(|it| it.setup));
    let setups = setups.chain(results.load.iter().map(|it| it.setup));
    let setups = setups.chain(results.stages.iter().map(|it| it.setup));
    let setups = setups.chain(results.payload.iter().map(|it| it.setup));
    let setups = setups.chain(results.recovery.iter().map(|it| it.setup));
    sorted(setups.map(Kind::from))
}

/// Every workload of which there is a batch.
pub fn workloads(results: &Results) -> Vec<Workload> {
    sorted(results.throughput.iter().map(|it| it.workload))
}

/// Every isolation of which there is a measurement.
pub fn isolations(results: &Results) -> Vec<Isolation> {
    sorted(results.throughput.iter().map(|it| it.isolation).chain(results.latency.iter().map(|it| it.isolation)))
}

/// The batches of one kind of cluster, work and isolation that count for a way of scaling.
pub fn batches(
    results: &Results,
    kind: Kind,
    workload: Workload,
    isolation: Isolation,
    scaling: Scaling,
) -> Vec<&Throughput> {
    let is_it = |it: &&Throughput| {
        Kind::from(it.setup) == kind
            && (it.workload, it.isolation) == (workload, isolation)
            && it.scaling.contains(&scaling)
            && it.succeeded > 0
    };
    results.throughput.iter().filter(is_it).collect()
}

/// Points of (workers, tasks per second).
pub fn throughput_points(batches: &[&Throughput]) -> Vec<(f64, f64)> {
    batches.iter().map(|it| (f64::from(it.setup.workers), it.per_second())).collect()
}

/// Points of (workers, seconds of the batch).
pub fn seconds_points(batches: &[&Throughput]) -> Vec<(f64, f64)> {
    batches.iter().map(|it| (f64::from(it.setup.workers), it.seconds)).collect()
}

/// The values at each place, by place.
pub fn by_place(points: &[(f64, f64)]) -> Vec<(f64, Vec<f64>)> {
    let mut places: Vec<f64> = points.iter().map(|(place, _)| *place).collect();
    places.sort_by(f64::total_cmp);
    places.dedup();
    let at = |place| points.iter().filter(|(other, _)| *other == place).map(|(_, value)| *value).collect();
    places.into_iter().map(|place| (place, at(place))).collect()
}

/// Calls one after the other, all repetitions and sizes of a kind of cluster taken together.
pub fn one_by_one(results: &Results, kind: Kind, workload: Workload, isolation: Isolation) -> Option<Distribution> {
    let is_it = |it: &&Latency| Kind::from(it.setup) == kind && (it.workload, it.isolation) == (workload, isolation);
    let taken: Vec<_> = results.latency.iter().filter(is_it).map(|it| &it.took).collect();
    Some(Distribution::merged(taken)).filter(|taken| taken.count > 0)
}

/// Calls at rates, by rate; repetitions of a rate are taken together.
pub fn loads(results: &Results, kind: Kind, isolation: Isolation) -> Vec<&Load> {
    let mut loads: Vec<&Load> =
        results.load.iter().filter(|it| Kind::from(it.setup) == kind && it.isolation == isolation).collect();
    loads.sort_by(|a, b| a.offered_per_second.total_cmp(&b.offered_per_second));
    loads
}

/// What each part used at the largest number of workers, in the last repetition of the first workload
/// and isolation that were measured there.
pub fn parts(results: &Results, kind: Kind) -> Option<(&Throughput, &[PartUse])> {
    let of_kind = results.throughput.iter().filter(|it| Kind::from(it.setup) == kind && !it.parts.is_empty());
    let most = of_kind.clone().map(|it| it.setup.workers).max()?;
    let first = of_kind.clone().find(|it| it.setup.workers == most)?;
    let same = of_kind.filter(|it| it.setup == first.setup && it.workload == first.workload);
    let mut same = same.filter(|it| it.isolation == first.isolation);
    let batch = same.next_back()?;
    Some((batch, &batch.parts))
}

/// The largest number of workers of which there are batches of a kind of cluster.
pub fn most_workers(results: &Results, kind: Kind) -> Option<u32> {
    results.throughput.iter().filter(|it| Kind::from(it.setup) == kind).map(|it| it.setup.workers).max()
}

/// All tasks and calls that were made, and those that gave a result.
pub fn success(results: &Results) -> (u64, u64) {
    let batches = results.throughput.iter().map(|it| (it.tasks, it.succeeded));
    let all = batches
        .chain(results.latency.iter().map(|it| (it.calls, it.succeeded)))
        .chain(results.load.iter().map(|it| (it.calls, it.succeeded)))
        .chain(results.payload.iter().map(|it| (it.calls, it.succeeded)))
        .chain(results.recovery.iter().map(|it| (it.calls, it.succeeded)));
    all.fold((0, 0), |(made, good), (more, well)| (made + more, good + well))
}

fn sorted<T: Ord>(items: impl Iterator<Item = T>) -> Vec<T> {
    let mut items: Vec<T> = items.collect();
    items.sort();
    items.dedup();
    items
}
