//! What host and runner say to each other over two `SOCK_SEQPACKET` sockets, one message a packet.
//!
//! The *control* socket ends at init, which never loads a plugin and is believed. The *zygote*
//! socket ends at the zygote, which is not believed once it has loaded one: what it says can only
//! harm calls of its own function; nor is a slot's *keeper*, a fork of the zygote with a socket of its own.
//! Payloads do not travel here but in [`crate::slot`].

use serde::{Deserialize, Serialize};

use crate::limits::Limits;

/// Largest packet in bytes; a longer one is refused unread.
pub const MAX_PACKET_BYTES: usize = 16 * 1024;
/// Most slots of one runner.
pub const MAX_SLOTS: u32 = 1024;
/// Most file descriptors beside one packet.
pub const MAX_PACKET_FDS: usize = 16;
/// Longest reason in a report of the zygote, in bytes.
pub const MAX_REASON_BYTES: usize = 4096;

/// Open files that a zygote or a keeper needs for itself: standard streams, sockets, and a slot's memory, pipes,
/// eventfd, Landlock ruleset and cgroups.
const ZYGOTE_FILES: u64 = 16;

/// Open files that a runner must be allowed whose children may have `open_files`. No process can be allowed more than the
/// hard limit that its host has.
pub fn open_files_needed(open_files: u32) -> u64 {
    ZYGOTE_FILES + u64::from(open_files)
}

/// The user and group that the plugin has inside every sandbox.
pub const PLUGIN_ID: u32 = 1000;
/// The user and group that init has inside a sandbox made by root.
pub const INIT_ID: u32 = 999;

/// Which host ids the sandbox runs under.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum HostIds {
    /// Made by root: two ids that belong to nobody else.
    Own {
        /// User and group of init.
        init: u32,
        /// User and group of zygote and children.
        plugin: u32,
    },
    /// Made by an ordinary user: all run as that user.
    User {
        /// The user.
        uid: u32,
        /// The group.
        gid: u32,
    },
}

/// First packet on the control socket. Beside it: the zygote's end of the zygote socket, then of each cgroup of the runner
/// that counts something the file by which a thread joins it, open for writing, then the folder of a group that only kills.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Setup {
    /// Absolute path of the library in the host's file system.
    pub library: String,
    /// Whether the runner's own probe stands in the library's place; see [`crate::probe`].
    pub probe: bool,
    /// Shared libraries to load before the root is changed, by soname.
    pub preload: Vec<String>,
    /// Whether children serve one call after the other.
    pub reuse: bool,
    /// Slots that may be attached, 1 to [`MAX_SLOTS`].
    pub slots: u32,
    /// What one call may use.
    pub limits: Limits,
    /// Whether memory is held by a cgroup; if not, by `RLIMIT_DATA`.
    pub memory_cgroup: bool,
    /// Whether threads are held by a cgroup; if not, by `RLIMIT_NPROC`.
    pub pids_cgroup: bool,
    /// Whether there is a group that only kills.
    pub killing_group: bool,
    /// Whom to run as.
    pub ids: HostIds,
}

/// From init to the host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum InitReport {
    /// The sandbox stands and the zygote was started. Beside it, from the launcher, the pidfd of init.
    Started,
    /// The zygote is confined, as far as it got, and init listens from here on.
    Listening {
        /// Whether the kernel tells init of refused system calls; if not, they kill with SIGSYS.
        supervised: bool,
    },
    /// A step failed; the runner is about to exit.
    SetupFailed {
        /// Which step.
        step: String,
        /// The system's error number.
        errno: i32,
    },
    /// A child ended and was reaped.
    ChildEnded {
        /// Its slot.
        slot: u32,
        /// The number that the host gave with [`KeeperCommand::Fork`].
        generation: u32,
        /// How.
        end: ProcessEnd,
    },
    /// A slot's keeper ended: out of memory like a child, or because the host closed its socket. No more children
    /// come from it.
    KeeperEnded {
        /// The slot.
        slot: u32,
        /// The number of the slot's child, if there is one: it lives on, or its own end comes.
        child: Option<u32>,
    },
    /// Answers [`InitCommand::Identify`]. Beside it the child's pidfd, unless it is gone.
    Identified {
        /// The slot.
        slot: u32,
        /// The number given with [`KeeperCommand::Fork`].
        generation: u32,
    },
    /// The zygote ended; no more children will come.
    ZygoteEnded {
        /// How.
        end: ProcessEnd,
    },
}

/// How a process ended, from `wait4`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessEnd {
    /// Exit code, or signal.
    pub status: ExitStatus,
    /// CPU time in user mode in microseconds.
    pub user_us: u64,
    /// CPU time in kernel mode in microseconds.
    pub system_us: u64,
    /// Largest resident set in KiB.
    pub max_rss_kib: u64,
    /// The system call for which init killed it, if that was the first cause of its end.
    pub denied: Option<DeniedCall>,
}

/// A system call that the filter refused, as the kernel told init.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeniedCall {
    /// Its number on this machine's architecture.
    pub number: u32,
    /// All six arguments, whether or not the call has so many.
    pub arguments: [u64; 6],
}

/// Exit code or signal number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ExitStatus {
    /// It exited with this code.
    Code(i32),
    /// A child's set-up failed, before any code of the function ran in it; its slot says at which step.
    NotSetUp,
    /// This signal ended it.
    Signal(i32),
}

/// From the host to init.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum InitCommand {
    /// Kill the child of a slot, if it is still the one of that generation.
    Kill {
        /// The slot.
        slot: u32,
        /// The number given with [`KeeperCommand::Fork`].
        generation: u32,
    },
    /// Give a hold of the child of a slot, to see from outside what it does between calls.
    Identify {
        /// The slot.
        slot: u32,
        /// The number given with [`KeeperCommand::Fork`].
        generation: u32,
    },
}

/// From the host to the zygote.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ZygoteCommand {
    /// Fork a keeper for a slot, which has none. Beside it the keeper's end of its socket, the slot's memory, the write
    /// ends of its stdout and stderr, with `reuse` an eventfd, then of each of its cgroups
    /// that counts something the file by which a thread joins it, open for writing, then that of a group that only kills.
    Attach {
        /// The slot.
        slot: u32,
        /// Whether there is a group that only kills.
        killing_group: bool,
    },
}

/// From the host to a slot's keeper, which answers nothing: its slot and init say what came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum KeeperCommand {
    /// Fork a child that waits on the slot.
    Fork {
        /// A number by which the host tells the children of one slot apart.
        generation: u32,
    },
}

/// From the zygote to the host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ZygoteReport {
    /// The plugin is loaded.
    Loaded,
    /// The plugin cannot be loaded.
    LoadFailed {
        /// Why; at most [`MAX_REASON_BYTES`].
        reason: String,
    },
    /// A step of the sandbox failed before the plugin was loaded.
    SetupFailed {
        /// Which step.
        step: String,
        /// The system's error number.
        errno: i32,
    },
}
