//! The filters in real processes: what the kernel answers is what the rules say, call by call.

#![expect(unsafe_code, reason = "each child makes system calls by number")]

use nix::sys::signal::Signal;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, fork};

use super::arch::Arch;
use super::filter::{Action, Defaults, X32_BIT, compile};
use super::install;
use super::model::{OWN_PID, boundary_arguments, decide, policies, stages, stricter};
use super::rules::{self, Policy};

/// Allowed calls that would end, copy or stop the child, or send a signal.
const NOT_TRIED: &[i64] = &[
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_rt_sigreturn,
    libc::SYS_clone,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_fork,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_vfork,
    libc::SYS_kill,
    libc::SYS_tgkill,
];

/// `uretprobe` and `uprobe` of x86_64: no filter is asked about them, as the kernel itself puts them into
/// traced code; from elsewhere they are SIGILL, kernel/seccomp.c.
const NEVER_FILTERED: [u32; 2] = [335, 336];

/// Makes a system call under both filters in a process of its own: how that ended. Its exit code is
/// the call's error number.
fn make(policy: Policy, number: u32, arguments: [u64; 6]) -> WaitStatus {
    // SAFETY: glibc keeps its allocator whole over a fork, and the child uses nothing else that another
    // thread may hold.
    match unsafe { fork() }.expect("a child") {
        ForkResult::Parent { child } => waitpid(child, None).expect("its end"),
        ForkResult::Child => {
            let unknown = super::UNKNOWN;
            let package = Defaults { unlisted: Action::KillProcess, unknown };
            let child = Defaults { unlisted: Action::Allow, unknown: Action::Allow };
            let set_up = nix::sys::prctl::set_no_new_privs().and_then(|()| {
                install(&compile(&rules::package(policy), package, Arch::NATIVE), 0)?;
                install(&compile(&rules::child(policy, &OWN_PID), child, Arch::NATIVE), 0)
            });
            let [a, b, c, d, e, f] = arguments;
            let code = match set_up {
                // SAFETY: nothing of this process is used once the call is made but its error number.
                Ok(_) => match unsafe { libc::syscall(i64::from(number), a, b, c, d, e, f) } {
                    -1 => nix::errno::Errno::last_raw(),
                    _ => 0,
                },
                Err(_) => 255,
            };
            crate::init::exit(code)
        }
    }
}

#[test]
fn the_kernel_answers_every_call_as_the_rules_say() {
    let least = |policy: &Policy| !policy.grants.network && !policy.grants.processes && !policy.grants.jit;
    let most = |policy: &Policy| policy.grants.network && policy.grants.processes && policy.grants.jit;
    for policy in policies().filter(|policy| !policy.scoped_signals && (least(policy) || most(policy))) {
        let [package, child] = stages(policy, Action::KillProcess);
        let filtered = |number: &u32| cfg!(not(target_arch = "x86_64")) || !NEVER_FILTERED.contains(number);
        for number in (0..=600).filter(filtered).chain([X32_BIT, X32_BIT | 1]) {
            let of_number = |call: super::arch::Call| call.number(Arch::NATIVE) == Some(number);
            let mut arguments = boundary_arguments(rules::find(&package.entries, of_number));
            arguments.extend(boundary_arguments(rules::find(&child.entries, of_number)));
            // Arguments that no rule looks at change nothing.
            let looked_at = arguments.len() > 8;
            for arguments in arguments.into_iter().take(if looked_at { 64 } else { 2 }) {
                let [first, second] = [&package, &child].map(|filter| decide(filter, Arch::NATIVE, number, arguments));
                let expected = stricter(first, second);
                let said = format!("{number} {arguments:x?} under {policy:?}");
                match expected {
                    // With other arguments it might do something.
                    Action::Allow if arguments != [u64::MAX; 6] || NOT_TRIED.contains(&i64::from(number)) => {}
                    Action::Allow => {
                        let end = make(policy, number, arguments);
                        assert!(matches!(end, WaitStatus::Exited(..)), "{said}: {end:?}");
                    }
                    Action::Errno(errno) => {
                        let end = make(policy, number, arguments);
                        assert!(matches!(end, WaitStatus::Exited(_, code) if code == errno), "{said}: {end:?}");
                    }
                    Action::Notify | Action::KillProcess => {
                        let end = make(policy, number, arguments);
                        assert!(matches!(end, WaitStatus::Signaled(_, Signal::SIGSYS, _)), "{said}: {end:?}");
                    }
                }
            }
        }
    }
}
