//! A warm child between its calls, seen from outside: whether it left threads behind, and whether it uses
//! the processor while it should rest. What it says of itself does not count here.

use std::fs::{self, File};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::time::Duration;

use nix::time::{clock_getcpuclockid, clock_gettime};
use nix::unistd::Pid;

/// Threads of a child at rest: its first, which waits, and the one that runs calls.
const THREADS_AT_REST: u64 = 2;
/// Links of `/proc/PID/task` beside those of threads.
const OWN_LINKS: u64 = 2;
/// Processor time that a child may use between two looks, outside of its calls. It sleeps on a futex then.
const REST_ALLOWANCE: Duration = Duration::from_millis(50);

/// A warm child that was seen at rest.
pub(super) struct WarmChild {
    /// Its number on the host. Were it reaped and the number another's by now, a wrong look would end a child
    /// that is gone already: children are ended by init, by slot and generation.
    pid: Pid,
    /// Its `/proc/PID/task`, which has a link for each thread and two of its own. Looked at after each call: 1 µs,
    /// where to read the number in `/proc/PID/stat` takes 10.
    threads: File,
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
        let pid: i32 = Some(pid).filter(|pid| *pid > 0)?;
        let threads = File::open(format!("/proc/{pid}/task")).ok()?;
        Some(Self { pid: Pid::from_raw(pid), threads, used: Duration::ZERO, outside: Duration::ZERO })
    }

    /// Whether it has other threads than it should have at rest. Threads that were joined may take a
    /// moment to go. False where the kernel does not tell.
    pub(super) fn left_threads_behind(&self) -> bool {
        self.threads.metadata().is_ok_and(|task| task.nlink() != OWN_LINKS + THREADS_AT_REST)
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

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};
    use std::sync::mpsc;
    use std::time::Instant;

    use super::*;

    #[test]
    fn links_of_the_task_folder_count_threads() {
        let links = |pid: u32| fs::metadata(format!("/proc/{pid}/task")).unwrap().nlink() - OWN_LINKS;
        let mut alone = Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        assert_eq!(links(alone.id()), 1);
        alone.kill().unwrap();
        alone.wait().unwrap();

        let (end, ended) = mpsc::channel::<()>();
        let thread = std::thread::spawn(move || ended.recv());
        let own = std::process::id();
        let names = || fs::read_dir("/proc/self/task").unwrap().count() as u64;
        // Other tests of this process start and end threads, too: so until both agree.
        let deadline = Instant::now() + Duration::from_secs(60);
        while links(own) != names() {
            assert!(Instant::now() < deadline, "{} links, {} threads", links(own), names());
        }
        assert!(links(own) > 1);
        drop(end);
        let _ = thread.join();
    }
}
