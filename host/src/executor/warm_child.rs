//! A warm child between its calls, seen from outside: whether it left threads behind, and whether it uses
//! the processor while it should rest. What it says of itself does not count here.

use std::fs;
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Duration;

use nix::time::{clock_getcpuclockid, clock_gettime};
use nix::unistd::Pid;

/// Threads of a child at rest: its first, which waits, and the one that runs calls.
const THREADS_AT_REST: u64 = 2;
/// Processor time that a child may use between two looks, outside of its calls. It sleeps on a futex then.
const REST_ALLOWANCE: Duration = Duration::from_millis(50);

/// A warm child that was seen at rest.
pub(super) struct WarmChild {
    /// Its number on the host. Were it reaped and the number another's by now, a wrong look would end a child
    /// that is gone already: children are ended by init, by slot and generation.
    pid: Pid,
    /// Processor time that it had used when its rest began, or when it was last looked at.
    used: Duration,
    /// Processor time that it has used outside of its calls since it was last looked at.
    outside: Duration,
}

impl WarmChild {
    /// Reads whose hold this is; `None` for a child that is gone.
    pub(super) fn new(pidfd: &OwnedFd) -> Option<Self> {
        let info = fs::read_to_string(format!("/proc/self/fdinfo/{}", pidfd.as_raw_fd())).ok()?;
        let pid = info.lines().find_map(|line| line.strip_prefix("Pid:"))?.trim().parse().ok()?;
        (pid > 0).then(|| Self { pid: Pid::from_raw(pid), used: Duration::ZERO, outside: Duration::ZERO })
    }

    /// Whether it has other threads than it should have at rest. Threads that were joined may take a
    /// moment to go. False where the kernel does not tell.
    pub(super) fn left_threads_behind(&self) -> bool {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid)).ok();
        stat.as_deref().and_then(threads).is_some_and(|threads| threads != THREADS_AT_REST)
    }

    /// Notes that it rests from now on.
    pub(super) fn begin_rest(&mut self) {
        self.used = self.processor_time().unwrap_or(self.used);
    }

    /// Notes that a call comes now.
    pub(super) fn end_rest(&mut self) {
        if let Some(now) = self.processor_time() {
            self.outside += now.saturating_sub(self.used);
            self.used = now;
        }
    }

    /// Whether it has worked outside of its calls since this was last asked. It must be at rest.
    pub(super) fn worked_at_rest(&mut self) -> bool {
        self.end_rest();
        std::mem::take(&mut self.outside) > REST_ALLOWANCE
    }

    fn processor_time(&self) -> Option<Duration> {
        let clock = clock_getcpuclockid(self.pid).ok()?;
        clock_gettime(clock).ok().map(Duration::from)
    }
}

/// The number of threads in the format of `/proc/PID/stat`, proc(5): the 20th field. The second one is a
/// name in parentheses, which may hold anything.
fn threads(stat: &str) -> Option<u64> {
    let (_, after_name) = stat.rsplit_once(')')?;
    after_name.split_whitespace().nth(17)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_are_read_whatever_the_name_is() {
        let stat = "7 (a) b ( ) S 1 7 7 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 3 0 100 1000 10 18446744073709551615";
        assert_eq!(threads(stat), Some(3));
        assert_eq!(threads("7 (a"), None);
        assert_eq!(threads("7 (a) S"), None);
    }
}
