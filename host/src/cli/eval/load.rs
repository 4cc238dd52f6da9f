//! Latency under open-loop load, at shares of what the cluster can do.

use std::time::Duration;

use anyhow::Context as _;
use bulkhead_eval::results::{Isolation, Load, Setup, Workload};

use super::alone::{calls_of, or_gone};
use super::pace;
use crate::cli::measuring::functions::Function;
use crate::cli::measuring::server::Server;

/// Callers that are as many as a cluster can use: beyond, they only wait for each other.
const CALLERS: u32 = 16;

/// Calls of a kind of work with a result per second, by as many callers as the cluster can use.
pub(super) async fn capacity(
    server: &Server,
    workload: Workload,
    isolation: Isolation,
    during: Duration,
) -> anyhow::Result<f64> {
    let call = calls_of(server, &Function::of(workload, isolation));
    let (rate, taken) = pace::closed_loop(CALLERS, during, &call).await;
    or_gone(server, taken).await?;
    Ok(rate)
}

/// One rate: a share of the capacity.
pub(super) async fn run(
    server: &Server,
    setup: Setup,
    isolation: Isolation,
    (capacity, share): (f64, f64),
    during: Duration,
    seed: u64,
) -> anyhow::Result<Load> {
    let workload = Workload::Noop;
    let offered = capacity * share;
    let call = calls_of(server, &Function::of(workload, isolation));
    let (answers, error) = pace::open_loop(pace::poisson(offered, during, seed), &call).await;
    let took = pace::times(&answers).finish();
    if let Some(error) = error {
        if took.count == 0 {
            return Err(error.context("every call failed"));
        }
        server.slots().await.context("the server went away")?;
    }
    let last = answers.iter().map(|answer| answer.done).max().unwrap_or(during);
    Ok(Load {
        setup,
        workload,
        isolation,
        offered_per_second: offered,
        share_of_capacity: share,
        seconds: last.as_secs_f64(),
        calls: answers.len() as u64,
        succeeded: took.count,
        took,
    })
}
