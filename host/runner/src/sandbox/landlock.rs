//! Landlock: each child reaches the files of its own slot's folder only, and signals only itself.
//! Skipped where the kernel has none; `bulkhead doctor` says so.

#![expect(unsafe_code, reason = "the landlock calls have no wrappers")]

use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use bulkhead_protocol::limits::Grants;
use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;

/// landlock(7): `struct landlock_ruleset_attr`; older kernels take a shorter prefix.
#[repr(C)]
#[derive(Default)]
struct RulesetAttributes {
    handled_access_fs: u64,
    handled_access_net: u64,
    scoped: u64,
}

/// landlock(7): `struct landlock_path_beneath_attr`.
#[repr(C, packed)]
struct PathBeneath {
    allowed_access: u64,
    parent_fd: i32,
}

/// `LANDLOCK_CREATE_RULESET_VERSION`.
const CREATE_RULESET_VERSION: u32 = 1;
/// `LANDLOCK_RULE_PATH_BENEATH`.
const RULE_PATH_BENEATH: u32 = 1;
/// Bits 0–12: execute, read, write, list, remove, and make each kind of file.
const ACCESS_FS_V1: u64 = (1 << 13) - 1;
/// `LANDLOCK_ACCESS_FS_REFER`, ABI 2.
const ACCESS_FS_REFER: u64 = 1 << 13;
/// `LANDLOCK_ACCESS_FS_TRUNCATE`, ABI 3.
const ACCESS_FS_TRUNCATE: u64 = 1 << 14;
/// `LANDLOCK_ACCESS_FS_IOCTL_DEV`, ABI 5.
const ACCESS_FS_IOCTL_DEV: u64 = 1 << 15;
/// `LANDLOCK_ACCESS_NET_BIND_TCP`, ABI 4.
const BIND_TCP: u64 = 0b01;
/// `LANDLOCK_ACCESS_NET_CONNECT_TCP`, ABI 4.
const CONNECT_TCP: u64 = 0b10;
/// `LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET | LANDLOCK_SCOPE_SIGNAL`, ABI 6.
const SCOPED: u64 = 0b11;
/// `LANDLOCK_ACCESS_FS_EXECUTE | MAKE_CHAR | MAKE_BLOCK | MAKE_SOCK`: of no use in a scratch folder.
const NOT_IN_SCRATCH: u64 = 1 | 1 << 6 | 1 << 9 | 1 << 11;
/// `LANDLOCK_ACCESS_FS_READ_FILE`.
const READ_FILE: u64 = 1 << 2;
/// `LANDLOCK_ACCESS_FS_WRITE_FILE`.
const WRITE_FILE: u64 = 1 << 1;

/// What a child is put behind.
pub(crate) struct Fence {
    /// The rules.
    ruleset: OwnedFd,
    /// The version of Landlock's interface that this kernel has.
    abi: i64,
}

/// Prepares the fence for a slot's folder; `None` where the kernel has no Landlock.
pub(crate) fn fence(folder: &str, grants: Grants) -> nix::Result<Option<Fence>> {
    let abi = match abi_version() {
        Ok(abi) => abi,
        Err(Errno::ENOSYS | Errno::EOPNOTSUPP) => return Ok(None),
        Err(errno) => return Err(errno),
    };
    let from = |version, bits| if abi >= version { bits } else { 0 };
    let handled_access_fs =
        ACCESS_FS_V1 | from(2, ACCESS_FS_REFER) | from(3, ACCESS_FS_TRUNCATE) | from(5, ACCESS_FS_IOCTL_DEV);
    // A function with network connects, and serves nobody all the same.
    let handled_access_net = from(4, if grants.network { BIND_TCP } else { BIND_TCP | CONNECT_TCP });
    let attributes = RulesetAttributes { handled_access_fs, handled_access_net, scoped: from(6, SCOPED) };
    let known = match abi {
        ..4 => 8,
        4..6 => 16,
        _ => size_of::<RulesetAttributes>(),
    };
    // SAFETY: the structure lives through the call, and `known` is at most its size.
    let fd = unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, &raw const attributes, known, 0) };
    let fd = Errno::result(fd)?;
    // SAFETY: the kernel has just made this descriptor for us.
    let ruleset = unsafe { OwnedFd::from_raw_fd(fd as i32) };
    allow(&ruleset, folder, handled_access_fs & !NOT_IN_SCRATCH)?;
    allow(&ruleset, "/dev", handled_access_fs & READ_FILE)?;
    // The one that is written to. A writable /dev/zero would be memory to share, which no rlimit counts.
    allow(&ruleset, "/dev/null", handled_access_fs & (READ_FILE | WRITE_FILE))?;
    if grants.network {
        allow(&ruleset, "/etc", handled_access_fs & READ_FILE)?;
    }
    Ok(Some(Fence { ruleset, abi }))
}

impl Fence {
    /// Whether signals end at it, Landlock ABI 6.
    pub(crate) fn scopes_signals(&self) -> bool {
        self.abi >= 6
    }

    /// Puts this thread, and all that it will start, behind the fence.
    pub(crate) fn restrict(&self) -> nix::Result<()> {
        // SAFETY: takes numbers and touches no memory.
        let result = unsafe { libc::syscall(libc::SYS_landlock_restrict_self, self.ruleset.as_raw_fd(), 0) };
        Errno::result(result).map(drop)
    }
}

fn abi_version() -> nix::Result<i64> {
    let nothing = std::ptr::null::<u8>();
    // SAFETY: with this flag the call reads no memory.
    let version = unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, nothing, 0, CREATE_RULESET_VERSION) };
    Errno::result(version)
}

fn allow(ruleset: &OwnedFd, path: &str, access: u64) -> nix::Result<()> {
    let parent = open(path, OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty())?;
    let rule = PathBeneath { allowed_access: access, parent_fd: parent.as_raw_fd() };
    // SAFETY: the structure is of the kind that the rule type names and lives through the call.
    let result = unsafe {
        libc::syscall(libc::SYS_landlock_add_rule, ruleset.as_raw_fd(), RULE_PATH_BENEATH, &raw const rule, 0)
    };
    Errno::result(result).map(drop)
}
