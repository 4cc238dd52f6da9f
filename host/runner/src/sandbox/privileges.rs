//! Ids, capabilities, and the promise never to gain any again.

#![expect(unsafe_code, reason = "prctl and capset have no safe wrappers in nix")]

use bulkhead_protocol::runner_message::HostIds;
use nix::errno::Errno;
use nix::sys::prctl;
use nix::unistd::{Gid, Uid, setgroups, setresgid, setresuid};

use crate::step::{Step, StepError};

/// Capability sets in the layout of capset(2), version 3: two words each.
#[repr(C)]
struct CapabilityHeader {
    version: u32,
    pid: i32,
}

/// `_LINUX_CAPABILITY_VERSION_3`.
const CAPABILITY_VERSION_3: u32 = 0x2008_0522;

/// Becomes the given user and group of the sandbox. Capabilities over the sandbox's own namespaces
/// stay: they go with user 0 only, which is not mapped.
pub(crate) fn become_user(id: u32, ids: HostIds) -> Result<(), StepError> {
    if matches!(ids, HostIds::Own { .. }) {
        // An ordinary user has given setgroups up, and keeps its own groups: they are not mapped.
        setgroups(&[]).step("drop supplementary groups")?;
    }
    setresgid(Gid::from_raw(id), Gid::from_raw(id), Gid::from_raw(id)).step("set the group")?;
    setresuid(Uid::from_raw(id), Uid::from_raw(id), Uid::from_raw(id)).step("set the user")
}

/// `CAP_KILL`, capabilities(7): to signal processes of other users of the sandbox.
const CAP_KILL: u32 = 1 << 5;

/// Which capabilities stay.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Keep {
    /// None, for what runs a plugin.
    Nothing,
    /// The one to kill, for init, whose children run as another user; over the sandbox's own user
    /// namespace only.
    Kill,
}

/// Gives up every capability but what is kept, and the way to ever gain one.
pub(crate) fn drop_capabilities(keep: Keep) -> Result<(), StepError> {
    // Bounding first: it takes CAP_SETPCAP, which goes with the rest.
    drop_bounding_set()?;
    clear_ambient_set()?;
    set_capabilities(if keep == Keep::Kill { CAP_KILL } else { 0 })?;
    prctl::set_no_new_privs().step("set no_new_privs")
}

/// Keeps other processes of the same user from attaching, and from reading `/proc/PID`.
pub(crate) fn become_unreachable_by_ptrace() -> Result<(), StepError> {
    prctl::set_dumpable(false).step("become undumpable")
}

fn drop_bounding_set() -> Result<(), StepError> {
    for capability in 0..64 {
        // SAFETY: PR_CAPBSET_DROP takes a number and touches no memory.
        let result = unsafe { libc::prctl(libc::PR_CAPBSET_DROP, capability as libc::c_ulong, 0, 0, 0) };
        match Errno::result(result) {
            // The first number past the kernel's last capability.
            Err(Errno::EINVAL) => return Ok(()),
            other => other.map(drop).step("drop the capability bounding set")?,
        }
    }
    Ok(())
}

fn clear_ambient_set() -> Result<(), StepError> {
    let clear = libc::PR_CAP_AMBIENT_CLEAR_ALL as libc::c_ulong;
    // SAFETY: PR_CAP_AMBIENT takes numbers and touches no memory.
    let result = unsafe { libc::prctl(libc::PR_CAP_AMBIENT, clear, 0, 0, 0) };
    Errno::result(result).map(drop).step("clear ambient capabilities")
}

fn set_capabilities(kept: u32) -> Result<(), StepError> {
    let header = CapabilityHeader { version: CAPABILITY_VERSION_3, pid: 0 };
    // Effective, permitted and inheritable, for capabilities 0–31 and then 32–63.
    let sets = [kept, kept, 0, 0, 0, 0];
    // SAFETY: both pointers are to structures of capset(2)'s layout that live through the call.
    let result = unsafe { libc::syscall(libc::SYS_capset, &raw const header, sets.as_ptr()) };
    Errno::result(result).map(drop).step("give up capabilities")
}
