//! Reaping: how children ended, and that what they started ends with them.

#![expect(unsafe_code, reason = "wait4 and waitid fill structures through pointers, and nix has no wrapper of wait4")]

use bulkhead_protocol::runner_message::{ExitStatus, InitReport, ProcessEnd};
use bulkhead_protocol::slot::SETUP_FAILED_EXIT;
use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, getpgid};

/// Reaps init's children.
pub(crate) struct Reaper {
    /// Whether a child may have started processes, which are then of its process group.
    groups: bool,
    /// Children that were reaped before all of their group was, by the group.
    ending: Vec<(Pid, InitReport)>,
}

impl Reaper {
    /// A reaper for a function that may make processes, or for one that may not.
    pub(crate) fn new(groups: bool) -> Self {
        Self { groups, ending: Vec::new() }
    }

    /// Kills a child, and its group with it.
    pub(crate) fn kill(&self, child: Pid) {
        if self.groups {
            // All at once: a fork that is under way fails, or its child has the signal as well.
            let _ = kill(group(child), Signal::SIGKILL);
        }
        let _ = kill(child, Signal::SIGKILL);
    }

    /// Reaps an ended process, if there is one. With a child ends its group: no number of a process can be
    /// given anew before it is reaped, so the group is the child's own.
    pub(crate) fn next(&self, is_child: impl Fn(i32) -> bool) -> Option<(i32, ProcessEnd)> {
        let Ended { pid, exit_code } = peek()?;
        if self.groups && is_child(pid) {
            let _ = kill(group(Pid::from_raw(pid)), Signal::SIGKILL);
        }
        // Asked while the number is still its own.
        let set_up = exit_code != Some(SETUP_FAILED_EXIT) || leads_a_group(Pid::from_raw(pid));
        let (pid, end) = reap(pid)?;
        Some((pid, if set_up { end } else { ProcessEnd { status: ExitStatus::NotSetUp, ..end } }))
    }

    /// Takes the report of a child that was reaped; gives it back at once unless others of its group are
    /// still to be reaped.
    pub(crate) fn hold(&mut self, child: i32, report: InitReport) -> Option<InitReport> {
        let child = Pid::from_raw(child);
        if !self.groups || is_empty(child) {
            return Some(report);
        }
        self.ending.push((child, report));
        None
    }

    /// The reports of children whose groups are gone by now.
    pub(crate) fn released(&mut self) -> Vec<InitReport> {
        self.ending.extract_if(.., |(child, _)| is_empty(*child)).map(|(_, report)| report).collect()
    }
}

fn group(leader: Pid) -> Pid {
    Pid::from_raw(-leader.as_raw())
}

fn is_empty(leader: Pid) -> bool {
    kill(group(leader), None) == Err(Errno::ESRCH)
}

fn leads_a_group(process: Pid) -> bool {
    getpgid(Some(process)) == Ok(process)
}

/// An ended process that is still to be reaped.
struct Ended {
    pid: i32,
    /// Its exit code, unless a signal ended it.
    exit_code: Option<i32>,
}

/// Looks for an ended process, without reaping it.
fn peek() -> Option<Ended> {
    let mut info = std::mem::MaybeUninit::<libc::siginfo_t>::zeroed();
    // __WALL: the zygote's clones count too, whatever signal they announce their end with.
    let options = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT | libc::__WALL;
    // SAFETY: the pointer is to live, writable memory of the right type.
    let result = unsafe { libc::waitid(libc::P_ALL, 0, info.as_mut_ptr(), options) };
    // SAFETY: zeroed at first, and where a process was found filled by waitid since.
    let info = unsafe { info.assume_init() };
    // SAFETY: the field of a process that ended, or zero.
    let pid = unsafe { info.si_pid() };
    // SAFETY: as above.
    let status = unsafe { info.si_status() };
    let exit_code = (info.si_code == libc::CLD_EXITED).then_some(status);
    (result == 0 && pid > 0).then_some(Ended { pid, exit_code })
}

/// Reaps an ended process, with what it used.
fn reap(pid: i32) -> Option<(i32, ProcessEnd)> {
    let mut status = 0;
    let mut usage = std::mem::MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: both pointers are to live, writable memory of the right types.
    let pid = unsafe { libc::wait4(pid, &raw mut status, libc::WNOHANG | libc::__WALL, usage.as_mut_ptr()) };
    if pid <= 0 {
        return None;
    }
    // SAFETY: zeroed at first, and filled by wait4 since.
    let usage = unsafe { usage.assume_init() };
    let microseconds = |time: libc::timeval| time.tv_sec.unsigned_abs() * 1_000_000 + time.tv_usec.unsigned_abs();
    let status = if libc::WIFSIGNALED(status) {
        ExitStatus::Signal(libc::WTERMSIG(status))
    } else {
        ExitStatus::Code(libc::WEXITSTATUS(status))
    };
    let end = ProcessEnd {
        status,
        user_us: microseconds(usage.ru_utime),
        system_us: microseconds(usage.ru_stime),
        max_rss_kib: usage.ru_maxrss.unsigned_abs(),
        denied: None,
    };
    Some((pid, end))
}
