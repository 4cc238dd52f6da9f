//! The launcher: the process that the host executed. Clones init into new namespaces with the host
//! as its parent, gives it its ids, and exits; so init's only relative outside is the host.

use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::process::ExitCode;

use bulkhead_protocol::packet;
use bulkhead_protocol::runner_message::{HostIds, INIT_ID, InitReport, PLUGIN_ID, Setup};
use nix::errno::Errno;
use nix::fcntl::{OFlag, openat};
use nix::sys::stat::Mode;
use nix::unistd::{Pid, pipe, read, write};

use crate::init;
use crate::step::{Step, StepError};

/// Every namespace that Linux has, but for time; a function that was granted the network has the host's.
const NAMESPACES: i32 = libc::CLONE_NEWUSER
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWNS
    | libc::CLONE_NEWNET
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWCGROUP;

/// Runs the launcher; in the clone, runs init and never returns.
pub(crate) fn run() -> ExitCode {
    // What the host leaves open at its exec: libraries of its own make descriptors without close-on-exec.
    if close_from(libc::STDERR_FILENO + 1).is_err() {
        return ExitCode::FAILURE;
    }
    let control = take_stdin();
    let Ok(Some((setup, fds))) = packet::receive::<Setup>(&control) else {
        return ExitCode::FAILURE;
    };
    match launch(&control, &setup, fds) {
        Ok(()) => ExitCode::SUCCESS,
        Err(StepError { step, errno }) => {
            // If the host is gone as well, there is nobody left to tell.
            let _ =
                packet::send(&control, &InitReport::SetupFailed { step: step.to_owned(), errno: errno as i32 }, &[]);
            ExitCode::FAILURE
        }
    }
}

fn launch(control: &OwnedFd, setup: &Setup, mut fds: Vec<OwnedFd>) -> Result<(), StepError> {
    let (go_read, go_write) = pipe().step("make a pipe")?;
    let mut pidfd: i32 = -1;
    // CLONE_PARENT makes init a child of the host, which reaps it through the pidfd.
    let shared = if setup.limits.grants.network { libc::CLONE_NEWNET } else { 0 };
    let flags = (NAMESPACES & !shared) | libc::CLONE_PARENT | libc::CLONE_PIDFD | libc::SIGCHLD;
    let group = if setup.killing_group { fds.pop() } else { None };
    let pid = match group.as_ref().map(|group| clone_into(group, flags, &raw mut pidfd)) {
        Some(Ok(pid)) => pid,
        Some(Err(_)) | None => {
            // The filter of a container refuses clone3, as it cannot see its flags: init joins the group by itself.
            if let Some(group) = &group {
                let procs = openat(group, "cgroup.procs", OFlag::O_WRONLY | OFlag::O_CLOEXEC, Mode::empty());
                fds.push(procs.step("open the runner's cgroup")?);
            }
            clone(flags, &raw mut pidfd).step("clone into new namespaces")?
        }
    };
    if pid == 0 {
        drop((go_write, group));
        // One byte: the ids are set. End of file: the launcher failed and has told why.
        if read(&go_read, &mut [0]) != Ok(1) {
            init::exit(1);
        }
        drop(go_read);
        init::run(control, setup, fds)
    }
    let pidfd = adopt(pidfd);
    write_id_maps(Pid::from_raw(pid), setup.ids)?;
    packet::send(control, &InitReport::Started, &[pidfd.as_raw_fd()]).step("report to the host")?;
    write(&go_write, &[0]).step("wake init").map(drop)
}

/// Writes the user and group maps of a new user namespace, as user_namespaces(7) has it.
pub(crate) fn write_id_maps(pid: Pid, ids: HostIds) -> Result<(), StepError> {
    let proc = |name: &str| format!("/proc/{pid}/{name}");
    let (users, groups) = match ids {
        HostIds::Own { init, plugin } => {
            let map = format!("{INIT_ID} {init} 1\n{PLUGIN_ID} {plugin} 1\n");
            (map.clone(), map)
        }
        HostIds::User { uid, gid } => {
            // Without privileges a group map may be written only once setgroups is given up.
            std::fs::write(proc("setgroups"), "deny").step("deny setgroups")?;
            (format!("{PLUGIN_ID} {uid} 1\n"), format!("{PLUGIN_ID} {gid} 1\n"))
        }
    };
    std::fs::write(proc("uid_map"), users).step("write the user map")?;
    std::fs::write(proc("gid_map"), groups).step("write the group map")
}

#[expect(unsafe_code, reason = "close_range closes descriptors by number")]
fn close_from(first: i32) -> nix::Result<()> {
    // SAFETY: nothing in this process owns a descriptor beyond the standard ones yet.
    Errno::result(unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, 0) }).map(drop)
}

#[expect(unsafe_code, reason = "standard input is a bare number")]
fn take_stdin() -> OwnedFd {
    // SAFETY: the host gave us its socket as descriptor 0, and nothing here uses std's stdin.
    unsafe { OwnedFd::from_raw_fd(0) }
}

#[expect(unsafe_code, reason = "the kernel gives the pidfd as a bare number")]
fn adopt(pidfd: i32) -> OwnedFd {
    // SAFETY: clone stored a new descriptor there, as CLONE_PIDFD asks.
    unsafe { OwnedFd::from_raw_fd(pidfd) }
}

/// `CLONE_INTO_CGROUP` of linux/sched.h, which no `int` can hold.
const CLONE_INTO_CGROUP: u64 = 1 << 33;

/// The same as [`clone`], with the new process in a cgroup of version 2 from its start, which takes no move.
#[expect(unsafe_code, reason = "no safe wrapper has these flags")]
fn clone_into(group: &OwnedFd, flags: i32, pidfd: *mut i32) -> nix::Result<i32> {
    // SAFETY: zeros are what its fields are when they are not used.
    let mut arguments: libc::clone_args = unsafe { std::mem::zeroed() };
    // With CLONE_PARENT the signal is that of the caller's own end, clone(2).
    arguments.flags = (flags & !libc::SIGCHLD) as u32 as u64 | CLONE_INTO_CGROUP;
    arguments.pidfd = pidfd.expose_provenance() as u64;
    arguments.cgroup = group.as_raw_fd() as u64;
    // SAFETY: this process has one thread, so its copy is whole; without CLONE_VM nothing is shared.
    let pid = unsafe { libc::syscall(libc::SYS_clone3, &raw const arguments, size_of::<libc::clone_args>()) };
    Errno::result(pid).map(|pid| pid as i32)
}

/// clone(2) without a new stack, as fork does it: returns twice.
#[expect(unsafe_code, reason = "no safe wrapper has these flags")]
pub(crate) fn clone(flags: i32, pidfd: *mut i32) -> nix::Result<i32> {
    // SAFETY: this process has one thread, so its copy is whole; without CLONE_VM nothing is shared.
    let pid = unsafe { libc::syscall(libc::SYS_clone, flags as libc::c_ulong, 0, pidfd, 0, 0) };
    Errno::result(pid).map(|pid| pid as i32)
}
