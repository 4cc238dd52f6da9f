//! Throughput: a batch of tasks, from the first submission to the last end.

use bulkhead_eval::results::{Isolation, Scaling, Setup, Throughput, Workload};

use crate::cli::measuring::cluster::Cluster;
use crate::cli::measuring::functions::Function;
use crate::cli::measuring::server::Server;
use crate::cli::measuring::usage::Look;

/// The shortest time that the server's clock tells apart.
const SHORTEST_SECONDS: f64 = 0.001;

/// A batch to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Batch {
    /// Which work.
    pub(super) workload: Workload,
    /// How far calls are kept apart.
    pub(super) isolation: Isolation,
    /// What it counts for.
    pub(super) scaling: Vec<Scaling>,
    /// Its tasks.
    pub(super) tasks: u32,
}

/// The batches of a number of workers: as much for each as one alone gets, and as much in all as the most
/// get together. For the most workers both are the same.
pub(super) fn batches(
    workload: Workload,
    isolation: Isolation,
    per_worker: u32,
    workers: u32,
    most: u32,
) -> Vec<Batch> {
    let batch = |scaling: &[Scaling], tasks| Batch { workload, isolation, scaling: scaling.to_vec(), tasks };
    let (weak, strong) = (per_worker * workers, per_worker * most);
    if weak == strong {
        return vec![batch(&[Scaling::Weak, Scaling::Strong], weak)];
    }
    vec![batch(&[Scaling::Weak], weak), batch(&[Scaling::Strong], strong)]
}

/// Runs a batch on a cluster; without one on whatever is behind the server.
pub(super) async fn run(
    server: &Server,
    cluster: Option<&Cluster>,
    setup: Setup,
    repetition: u32,
    batch: Batch,
) -> anyhow::Result<Throughput> {
    let Batch { workload, isolation, scaling, tasks } = batch;
    let parts = cluster.map(Cluster::processes).unwrap_or_default();
    let before = Look::at(&parts);
    let end = server.batch(&Function::of(workload, isolation), tasks).await?;
    let parts = Look::at(&parts).since(&before);
    let seconds = end.last_ms.saturating_sub(end.first_ms) as f64 / 1000.0;
    Ok(Throughput {
        setup,
        workload,
        isolation,
        scaling,
        repetition,
        tasks: end.tasks,
        succeeded: end.succeeded,
        seconds: seconds.max(SHORTEST_SECONDS),
        parts,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weak_grows_with_the_workers_and_strong_does_not() {
        let of = |workers| batches(Workload::Noop, Isolation::Fresh, 100, workers, 4);
        let tasks = |workers| of(workers).into_iter().map(|batch| (batch.scaling, batch.tasks)).collect::<Vec<_>>();
        assert_eq!(tasks(1), [(vec![Scaling::Weak], 100), (vec![Scaling::Strong], 400)]);
        assert_eq!(tasks(2), [(vec![Scaling::Weak], 200), (vec![Scaling::Strong], 400)]);
        assert_eq!(tasks(4), [(vec![Scaling::Weak, Scaling::Strong], 400)]);
    }
}
