//! What the sandbox holds on this machine, found out by doing: the runner's built-in probe stands in a
//! plugin's place in a sandbox like any other, and a child each tries what no function may do. For
//! `bulkhead doctor`, which tries everything, and for the executor's start, which tries what no other
//! evidence shows.
//!
//! `machine` reads what the kernel offers, `trial` runs the probe, `judge` says what that amounts to,
//! `advice` what to do about it. `report` is what comes out; its JSON is promised in docs/operations.md.

mod advice;
mod judge;
mod machine;
mod report;
mod trial;

use std::path::PathBuf;

use super::Error;
use super::cgroup::Cgroups;
use super::host_ids::HostIdPool;
use super::pool::find_runner;
use super::start::Launcher;

pub use machine::{Machine, UserNamespaces};
pub use report::{CgroupReport, Check, Layer, LayerName, Report, State};

pub(super) use trial::Extent;

/// Tries everything on this machine, with a runner of its own.
///
/// # Errors
/// [`Error::NoRunner`] when there is nothing to try it with.
pub async fn probe(runner: Option<PathBuf>) -> Result<Report, Error> {
    let launcher = Launcher { runner: find_runner(runner)?, cgroups: Cgroups::detect(), ids: HostIdPool::of_process() };
    Ok(run(&launcher, Extent::Everything).await)
}

/// Tries as much as asked for.
pub(super) async fn run(launcher: &Launcher, extent: Extent) -> Report {
    let machine = Machine::read();
    let seen = trial::run(launcher, extent).await;
    let cgroups = launcher.cgroups.findings();
    Report { layers: judge::judge(&seen, &machine, &cgroups), cgroups: cgroups.iter().map(CgroupReport::of).collect() }
}
