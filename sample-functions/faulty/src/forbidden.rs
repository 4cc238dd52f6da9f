//! System calls that no function has a use for. Whoever makes one is up to something, and ends there.

#![expect(unsafe_code, reason = "none of these calls has a safe wrapper")]

use std::io;

use nix::{errno::Errno, libc};

use crate::Attempt;

/// What became of a call that should not have returned.
fn attempt(what: &str, returned: libc::c_long) -> Attempt {
    Attempt::new(what, Errno::result(returned).map(|number| number.to_string()).map_err(io::Error::from))
}

/// Asks to be traced.
///
/// Expected: `PolicyViolation`.
///
/// ```json
/// {}
/// ```
#[bulkhead::function]
pub fn ptrace() -> Attempt {
    // SAFETY: takes numbers, and pointers to text that is NUL-terminated; what it would change is not in this memory.
    attempt("ptrace", unsafe { libc::syscall(libc::SYS_ptrace, 0, 0, 0, 0) })
}

/// Writes into the memory of the first process.
///
/// Expected: `PolicyViolation`.
///
/// ```json
/// {}
/// ```
#[bulkhead::function]
pub fn process_vm_writev() -> Attempt {
    // SAFETY: takes numbers, and pointers to text that is NUL-terminated; what it would change is not in this memory.
    attempt("process_vm_writev", unsafe { libc::syscall(libc::SYS_process_vm_writev, 1, 0, 0, 0, 0, 0) })
}

/// Brings a program into the kernel.
///
/// Expected: `PolicyViolation`.
///
/// ```json
/// {}
/// ```
#[bulkhead::function]
pub fn bpf() -> Attempt {
    // SAFETY: takes numbers, and pointers to text that is NUL-terminated; what it would change is not in this memory.
    attempt("bpf", unsafe { libc::syscall(libc::SYS_bpf, 5, 0, 0) })
}

/// Measures what others do.
///
/// Expected: `PolicyViolation`.
///
/// ```json
/// {}
/// ```
#[bulkhead::function]
pub fn perf_event_open() -> Attempt {
    // SAFETY: takes numbers, and pointers to text that is NUL-terminated; what it would change is not in this memory.
    attempt("perf_event_open", unsafe { libc::syscall(libc::SYS_perf_event_open, 0, 0, -1, -1, 0) })
}

/// Takes over its own page faults, with which races in the kernel are won.
///
/// Expected: `PolicyViolation`.
///
/// ```json
/// {}
/// ```
#[bulkhead::function]
pub fn userfaultfd() -> Attempt {
    // SAFETY: takes numbers, and pointers to text that is NUL-terminated; what it would change is not in this memory.
    attempt("userfaultfd", unsafe { libc::syscall(libc::SYS_userfaultfd, 0) })
}

/// Looks into the keyring of the session.
///
/// Expected: `PolicyViolation`.
///
/// ```json
/// {}
/// ```
#[bulkhead::function]
pub fn keyctl() -> Attempt {
    // SAFETY: takes numbers, and pointers to text that is NUL-terminated; what it would change is not in this memory.
    attempt("keyctl", unsafe { libc::syscall(libc::SYS_keyctl, 0, -3, 0, 0, 0) })
}

/// Mounts a file system.
///
/// Expected: `PolicyViolation`.
///
/// ```json
/// {}
/// ```
#[bulkhead::function]
pub fn mount() -> Attempt {
    // SAFETY: takes numbers, and pointers to text that is NUL-terminated; what it would change is not in this memory.
    attempt("mount", unsafe {
        libc::syscall(libc::SYS_mount, c"none".as_ptr(), c"/tmp".as_ptr(), c"tmpfs".as_ptr(), 0, 0)
    })
}

/// Makes namespaces of its own, in which it would be root.
///
/// Expected: `PolicyViolation`.
///
/// ```json
/// {}
/// ```
#[bulkhead::function]
pub fn unshare() -> Attempt {
    // SAFETY: takes numbers, and pointers to text that is NUL-terminated; what it would change is not in this memory.
    attempt("unshare", unsafe { libc::syscall(libc::SYS_unshare, libc::CLONE_NEWUSER | libc::CLONE_NEWNS) })
}

/// Enters another namespace.
///
/// Expected: `PolicyViolation`.
///
/// ```json
/// {}
/// ```
#[bulkhead::function]
pub fn setns() -> Attempt {
    // SAFETY: takes numbers, and pointers to text that is NUL-terminated; what it would change is not in this memory.
    attempt("setns", unsafe { libc::syscall(libc::SYS_setns, 0, 0) })
}

/// Opens a file by its number, around all paths.
///
/// Expected: `PolicyViolation`.
///
/// ```json
/// {}
/// ```
#[bulkhead::function]
pub fn open_by_handle_at() -> Attempt {
    // SAFETY: takes numbers, and pointers to text that is NUL-terminated; what it would change is not in this memory.
    attempt("open_by_handle_at", unsafe { libc::syscall(libc::SYS_open_by_handle_at, -100, 0, 0) })
}

/// Makes segments of its own, a favourite of exploits.
///
/// Expected: `PolicyViolation`. There is no such thing but on x86_64.
///
/// ```json
/// {}
/// ```
#[bulkhead::function]
pub fn modify_ldt() -> Attempt {
    #[cfg(target_arch = "x86_64")]
    {
        // SAFETY: a length of 0 writes nothing.
        attempt("modify_ldt", unsafe { libc::syscall(libc::SYS_modify_ldt, 0, 0, 0) })
    }
    #[cfg(not(target_arch = "x86_64"))]
    attempt("modify_ldt", -libc::c_long::from(libc::ENOSYS))
}

/// Makes a call as programs of 32 bits do, which have other numbers.
///
/// Expected: `PolicyViolation`. There is no such thing but on x86_64.
///
/// ```json
/// {}
/// ```
#[bulkhead::function]
pub fn int80() -> Attempt {
    #[cfg(target_arch = "x86_64")]
    {
        let mut number: libc::c_long = 20; // getpid in that table.
        // SAFETY: the interrupt changes the register that is named and nothing else.
        unsafe { std::arch::asm!("int 0x80", inout("rax") number) };
        attempt("int 0x80", number)
    }
    #[cfg(not(target_arch = "x86_64"))]
    attempt("int80", -libc::c_long::from(libc::ENOSYS))
}

/// Makes a call by its number in the table of programs with short pointers.
///
/// Expected: `PolicyViolation`. There is no such thing but on x86_64.
///
/// ```json
/// {}
/// ```
#[bulkhead::function]
pub fn x32() -> Attempt {
    #[cfg(target_arch = "x86_64")]
    {
        // SAFETY: takes nothing and touches no memory.
        attempt("x32", unsafe { libc::syscall(0x4000_0000 | libc::SYS_getpid) })
    }
    #[cfg(not(target_arch = "x86_64"))]
    attempt("x32", -libc::c_long::from(libc::ENOSYS))
}
