//! P6: tasks that are on disk before they are acknowledged.

use anyhow::Context as _;
use bulkhead_eval::results::Isolation;

use super::super::ground::{Ground, in_thread, noop};
use crate::bench::case::Case;
use crate::bench::floor::append;
use crate::bench::goal::{Bound, Goal};
use crate::bench::line::{Line, Repeat, Subject};
use crate::bench::unit::Unit;
use crate::cli::measuring::functions::Function;
use crate::cli::measuring::machine;
use crate::cli::measuring::server::Server;

/// What is to be reached, in tasks per second.
pub(super) const GOAL_PER_SECOND: f64 = 20_000.0;
/// Tasks that go before, so that every slot has its process.
const WARM_UP_TASKS: u32 = 100;

/// P6.
pub(super) async fn batch(ground: &mut Ground) -> anyhow::Result<Vec<Line>> {
    let function = noop(Isolation::Reuse);
    let server = ground.server(machine::cores()).await?;
    warm_up(&server, &function).await?;
    let mut repeats = Vec::new();
    for repeat in 0..ground.plan.repeat {
        ground.say_repeat(repeat);
        let (folder, during) = (ground.folder.path().to_owned(), ground.plan.step_time());
        let floor = in_thread(move || append::per_second(&folder, during)).await?;
        let floor = floor.context("failed to append to a file")?;
        repeats.push(Repeat::over(floor, tasks_per_second(&server, &function, ground.plan.tasks()).await?));
    }
    let subject = Subject {
        case: Case::P6,
        what: "durable tasks, embedded store, batch to all results, reuse".to_owned(),
        unit: Unit::PerSecond,
        floor: Some("append of 300 bytes + fdatasync, 64 writers".to_owned()),
        goal: Goal::figure(Bound::AtLeast(GOAL_PER_SECOND)),
    };
    Ok(Line::new(subject, repeats).into_iter().collect())
}

/// Has a few tasks run that do not count.
pub(super) async fn warm_up(server: &Server, function: &Function) -> anyhow::Result<()> {
    server.batch(function, WARM_UP_TASKS).await.map(drop)
}

/// Submits a batch and waits for all results; gives the tasks per second, from the first submission to the
/// last end.
pub(super) async fn tasks_per_second(server: &Server, function: &Function, tasks: u32) -> anyhow::Result<f64> {
    let end = server.batch(function, tasks).await?;
    anyhow::ensure!(end.succeeded == u64::from(tasks), "{} of {tasks} tasks gave a result", end.succeeded);
    // The server's clock counts milliseconds.
    let milliseconds = end.last_ms.saturating_sub(end.first_ms).max(1);
    Ok(f64::from(tasks) * 1000.0 / milliseconds as f64)
}
