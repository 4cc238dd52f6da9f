//! The system call filters, as data in [`rules`], compiled to BPF by [`filter`].
//!
//! Two filters stack; the kernel takes the stricter answer of both. The *package* filter is put up
//! before the plugin is loaded and holds for load-time code, zygote and children; what it refuses is
//! told to init, see [`crate::supervisor`]. The *child* filter takes from each child what only the
//! zygote needs: forking, further filters, signals to others.

mod arch;
mod filter;
#[cfg(test)]
mod model;
#[cfg(test)]
mod real_child;
mod rules;

pub(crate) use rules::CHILD_FORK;

use std::os::fd::{FromRawFd, OwnedFd};

use bulkhead_protocol::runner_message::Setup;
use nix::errno::Errno;

use arch::Arch;
use filter::{Action, Defaults};
use rules::Policy;

/// To a system call that is newer than our tables: as if the kernel were as old as they are.
const UNKNOWN: Action = Action::Errno(libc::ENOSYS);

/// Puts up the filter that holds from before the plugin is loaded. Gives the listener at which the
/// calls that it refuses are told; `None` where this kernel or an outer sandbox leaves us none, and
/// such a call kills with SIGSYS.
pub(crate) fn restrict_package(setup: &Setup) -> nix::Result<Option<OwnedFd>> {
    let rules = rules::package(policy(setup, false));
    let compile = |unlisted| filter::compile(&rules, Defaults { unlisted, unknown: UNKNOWN }, Arch::NATIVE);
    let notifying = compile(Action::Notify);
    // WAIT_KILLABLE_RECV, Linux 5.19: once init was told, no signal but SIGKILL gets the caller out.
    let listener = libc::SECCOMP_FILTER_FLAG_NEW_LISTENER;
    for flags in [listener | libc::SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV, listener] {
        match install(&notifying, flags) {
            Ok(fd) => return Ok(Some(adopt(fd))),
            // Unknown here, or taken: only one filter of a process can have a listener.
            Err(Errno::EINVAL | Errno::ENOSYS | Errno::EBUSY) => {}
            Err(errno) => return Err(errno),
        }
    }
    install(&compile(Action::KillProcess), 0).map(|_| None)
}

/// Puts up the filter that holds in a child, in all of its threads, on top of the other. `scoped_signals`: whether Landlock keeps
/// the child's signals within its own processes.
pub(crate) fn restrict_child(setup: &Setup, scoped_signals: bool) -> nix::Result<()> {
    let own_pid = [nix::unistd::getpid().as_raw().unsigned_abs().into()];
    let rules = rules::child(policy(setup, scoped_signals), &own_pid);
    let defaults = Defaults { unlisted: Action::Allow, unknown: Action::Allow };
    match install(&filter::compile(&rules, defaults, Arch::NATIVE), libc::SECCOMP_FILTER_FLAG_TSYNC)? {
        0 => Ok(()),
        // The thread that does not have the same filters as this one.
        _ => Err(Errno::ESRCH),
    }
}

fn policy(setup: &Setup, scoped_signals: bool) -> Policy {
    Policy { grants: setup.limits.grants, memory_cgroup: setup.memory_cgroup, scoped_signals }
}

/// Puts up a filter; with the flag for it, the result is the descriptor of a listener.
#[expect(unsafe_code, reason = "seccomp(2) has no safe wrapper")]
fn install(program: &[libc::sock_filter], flags: libc::c_ulong) -> nix::Result<i64> {
    let program = libc::sock_fprog {
        len: u16::try_from(program.len()).map_err(|_| Errno::E2BIG)?,
        // The kernel only reads it; the field is not const in C.
        filter: program.as_ptr().cast_mut(),
    };
    // SAFETY: the program and the instructions it points to live through the call.
    let result = unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, flags, &raw const program) };
    Errno::result(result)
}

#[expect(unsafe_code, reason = "the kernel gives the listener as a bare number")]
fn adopt(fd: i64) -> OwnedFd {
    // SAFETY: the kernel has just made this descriptor for us.
    unsafe { OwnedFd::from_raw_fd(fd as i32) }
}
