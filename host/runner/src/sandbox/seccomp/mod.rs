//! The system call filters, as data in [`rules`], compiled to BPF by [`filter`].
//!
//! Two filters stack; the kernel takes the stricter answer of both. The *package* filter is put up
//! before the plugin is loaded and holds for load-time code, zygote and children. The *child* filter
//! takes from each child what only the zygote needs: forking, further filters, signals to others.

mod filter;
mod rules;

pub(crate) use rules::CHILD_FORK;

use nix::errno::Errno;

/// Puts up the filter that holds from before the plugin is loaded.
pub(crate) fn restrict_package(memory_cgroup: bool) -> nix::Result<()> {
    // The first rule of a call counts.
    let before = if memory_cgroup { &[] } else { rules::WITHOUT_MEMORY_CGROUP };
    let rules: Vec<_> = before.iter().chain(rules::PACKAGE).copied().collect();
    install(&filter::compile(&rules, filter::Action::KillProcess))
}

/// Puts up the filter that holds in a child, on top of the other.
pub(crate) fn restrict_child() -> nix::Result<()> {
    let own_pid = [nix::unistd::getpid().as_raw().unsigned_abs().into()];
    let rules: Vec<_> = rules::CHILD.iter().copied().chain(rules::signals_to_only(&own_pid)).collect();
    install(&filter::compile(&rules, filter::Action::Allow))
}

#[expect(unsafe_code, reason = "seccomp(2) has no safe wrapper")]
fn install(program: &[libc::sock_filter]) -> nix::Result<()> {
    let program = libc::sock_fprog {
        len: u16::try_from(program.len()).map_err(|_| Errno::E2BIG)?,
        // The kernel only reads it; the field is not const in C.
        filter: program.as_ptr().cast_mut(),
    };
    // SAFETY: the program and the instructions it points to live through the call.
    let result = unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, 0, &raw const program) };
    Errno::result(result).map(drop)
}
