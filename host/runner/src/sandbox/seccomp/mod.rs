//! The system call filters, as data in [`rules`], compiled to BPF by [`filter`].
//!
//! Two filters stack; the kernel takes the stricter answer of both. The *package* filter is put up
//! before the plugin is loaded and holds for load-time code, zygote and children; what it refuses is
//! told to init, see [`crate::supervisor`]. The *child* filter
//! takes from each child what only the zygote needs: forking, further filters, signals to others.

mod filter;
mod rules;

pub(crate) use rules::CHILD_FORK;

use std::os::fd::{FromRawFd, OwnedFd};

use nix::errno::Errno;

/// Puts up the filter that holds from before the plugin is loaded. Gives the listener at which the
/// calls that it refuses are told; `None` where this kernel or an outer sandbox leaves us none, and
/// such a call kills with SIGSYS.
pub(crate) fn restrict_package(memory_cgroup: bool) -> nix::Result<Option<OwnedFd>> {
    // The first rule of a call counts.
    let before = if memory_cgroup { &[] } else { rules::WITHOUT_MEMORY_CGROUP };
    let rules: Vec<_> = before.iter().chain(rules::PACKAGE).copied().collect();
    let notifying = filter::compile(&rules, filter::Action::Notify);
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
    install(&filter::compile(&rules, filter::Action::KillProcess), 0).map(|_| None)
}

/// Puts up the filter that holds in a child, on top of the other.
pub(crate) fn restrict_child() -> nix::Result<()> {
    let own_pid = [nix::unistd::getpid().as_raw().unsigned_abs().into()];
    let rules: Vec<_> = rules::CHILD.iter().copied().chain(rules::signals_to_only(&own_pid)).collect();
    install(&filter::compile(&rules, filter::Action::Allow), 0).map(drop)
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
