//! The floor under waking another process and being woken by it: two processes on two cores, each with an
//! eventfd that the other writes to. What a real call also moves through shared memory costs next to nothing
//! beside the two wake-ups, so nothing is moved here.

use std::io;
use std::os::fd::AsFd as _;
use std::process::Stdio;
use std::time::{Duration, Instant};

use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::sys::prctl;
use nix::sys::signal::Signal;
use tokio::process::{Child, Command};

use super::{cores, median_us, stay_on};

/// Two processes in a round trip.
pub(crate) struct RoundTrip {
    /// The other one; ends with this value.
    _peer: Child,
    to: EventFd,
    from: EventFd,
}

impl RoundTrip {
    /// Starts the other process: this executable with the arguments that make it call [`answer`].
    pub(crate) fn start(mut command: Command) -> io::Result<Self> {
        let make = || EventFd::from_value_and_flags(0, EfdFlags::EFD_CLOEXEC);
        let (to, from) = (make()?, make()?);
        let end = |event: &EventFd| event.as_fd().try_clone_to_owned().map(Stdio::from);
        command.stdin(end(&to)?).stdout(end(&from)?).process_group(0).kill_on_drop(true);
        Ok(Self { _peer: command.spawn()?, to, from })
    }

    /// Makes round trips for a while; gives the median time in microseconds.
    pub(crate) fn median_us(&self, during: Duration) -> io::Result<f64> {
        stay_on(cores().first().copied().unwrap_or(0))?;
        let mut times = Vec::new();
        let began = Instant::now();
        while began.elapsed() < during {
            let from = Instant::now();
            self.to.write(1)?;
            self.from.read()?;
            times.push(from.elapsed());
        }
        Ok(median_us(times))
    }
}

/// Answers on the second core, until the process that started this one dies.
pub(crate) fn answer() -> io::Result<()> {
    prctl::set_pdeathsig(Signal::SIGKILL)?;
    let cores = cores();
    stay_on(cores.get(1).or(cores.first()).copied().unwrap_or(0))?;
    let mut count = [0; size_of::<u64>()];
    loop {
        nix::unistd::read(io::stdin(), &mut count)?;
        nix::unistd::write(io::stdout(), &1u64.to_ne_bytes())?;
    }
}
