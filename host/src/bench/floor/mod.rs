//! The floors: what this machine allows, measured in the plainest way that does the same work. Each file is
//! one of them.

pub(crate) mod append;
pub(crate) mod echo;
pub(crate) mod fork;
pub(crate) mod redis;
pub(crate) mod round_trip;
pub(crate) mod zmq;

use std::time::Duration;

/// The median of times in microseconds; 0 of none.
fn median_us(mut times: Vec<Duration>) -> f64 {
    times.sort_unstable();
    times.get(times.len() / 2).map_or(0.0, |time| time.as_secs_f64() * 1e6)
}

/// The processors that this process may run on.
fn cores() -> Vec<usize> {
    let allowed = nix::sched::sched_getaffinity(nix::unistd::Pid::from_raw(0));
    let Ok(allowed) = allowed else { return vec![0] };
    (0..nix::sched::CpuSet::count()).filter(|core| allowed.is_set(*core).unwrap_or(false)).collect()
}

/// Keeps the calling thread on one core.
fn stay_on(core: usize) -> nix::Result<()> {
    let mut only = nix::sched::CpuSet::new();
    only.set(core)?;
    nix::sched::sched_setaffinity(nix::unistd::Pid::from_raw(0), &only)
}
