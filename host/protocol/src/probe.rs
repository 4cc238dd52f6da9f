//! What the runner's built-in probe does. It stands in a plugin's place, in a sandbox like any other,
//! and tries what no function may do; the host reads the answers and says which layers hold.
//!
//! The probe has one function for each [`Act`], and [`Surroundings`] for a description.

use serde::{Deserialize, Serialize};

/// Something to try in a child of its own, by its function's index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[repr(u32)]
pub enum Act {
    /// Become user 0.
    BecomeRoot,
    /// Open `/proc/self/status`.
    ReadProc,
    /// Open `/etc/passwd`.
    ReadHostFile,
    /// Make a folder in `/`.
    WriteRoot,
    /// Make a device file in its own folder.
    MakeDevice,
    /// Have a file that is larger than the private folder may be.
    FillFolder,
    /// List the folder of the slot beside it.
    OpenSibling,
    /// Open `/dev/zero` for writing, which is memory that nothing counts.
    WriteZero,
    /// Signal every process that it can reach.
    SignalAll,
    /// Signal init.
    SignalInit,
    /// Map memory that can be executed.
    NewCode,
    /// Raise a limit on open files.
    RaiseLimit,
    /// Make a process.
    Fork,
    /// Execute a file.
    Execute,
    /// Set up an io_uring.
    IoUring,
    /// Trace a process.
    Trace,
    /// Make a user namespace.
    Unshare,
    /// Make an IPv4 socket.
    SocketInet,
    /// Make a Unix socket.
    SocketUnix,
    /// Make a socket to the hypervisor.
    SocketVsock,
    /// Make a socket to the kernel.
    SocketNetlink,
    /// Open more files than it may.
    ManyFiles,
    /// Start more threads than it may.
    ManyThreads,
    /// Take more memory than it may; ends by a signal where that works.
    MuchMemory,
    /// Sleep for ever; ends by the host's clock.
    SleepForever,
}

impl Act {
    /// All of them, each at the place of its index.
    pub const ALL: [Self; 25] = [
        Self::BecomeRoot,
        Self::ReadProc,
        Self::ReadHostFile,
        Self::WriteRoot,
        Self::MakeDevice,
        Self::FillFolder,
        Self::OpenSibling,
        Self::WriteZero,
        Self::SignalAll,
        Self::SignalInit,
        Self::NewCode,
        Self::RaiseLimit,
        Self::Fork,
        Self::Execute,
        Self::IoUring,
        Self::Trace,
        Self::Unshare,
        Self::SocketInet,
        Self::SocketUnix,
        Self::SocketVsock,
        Self::SocketNetlink,
        Self::ManyFiles,
        Self::ManyThreads,
        Self::MuchMemory,
        Self::SleepForever,
    ];

    /// The index of its function.
    pub const fn index(self) -> u32 {
        self as u32
    }

    /// The act of an index.
    pub fn of_index(index: u32) -> Option<Self> {
        Self::ALL.get(usize::try_from(index).ok()?).copied()
    }
}

/// What a child of the probe sees around itself without trying anything.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Surroundings {
    /// Its process id.
    pub pid: i32,
    /// Its parent's.
    pub parent: i32,
    /// Its user.
    pub user: u32,
    /// The name of the machine.
    pub host_name: String,
    /// Which of [`ROOT_NAMES`] stand in `/`.
    pub root: Vec<String>,
    /// Open descriptors beyond the standard three.
    pub open_files: u32,
    /// Whether a core file may be written.
    pub core_files: bool,
}

/// What the root of a host has, hier(7), and what that of a sandbox has.
pub const ROOT_NAMES: [&str; 20] = [
    "bin",
    "boot",
    "dev",
    "etc",
    "home",
    "lib",
    "lib64",
    "media",
    "mnt",
    "opt",
    "plugin.so",
    "proc",
    "root",
    "run",
    "sbin",
    "srv",
    "sys",
    "tmp",
    "usr",
    "var",
];

/// Bytes of an act's answer: an error number, little-endian, 0 when the act succeeded.
pub const ANSWER_BYTES: usize = size_of::<i32>();

/// Reads an act's answer; `None` when it is none.
pub fn read_answer(bytes: &[u8]) -> Option<i32> {
    bytes.try_into().ok().map(i32::from_le_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_act_is_at_the_place_of_its_index() {
        for (index, act) in Act::ALL.into_iter().enumerate() {
            assert_eq!(act.index() as usize, index, "{act:?}");
            assert_eq!(Act::of_index(act.index()), Some(act));
        }
        assert_eq!(Act::of_index(25), None);
        assert_eq!(Act::of_index(u32::MAX), None);
    }

    #[test]
    fn answers_of_another_length_are_none() {
        assert_eq!(read_answer(&1i32.to_le_bytes()), Some(1));
        assert_eq!(read_answer(&[]), None);
        assert_eq!(read_answer(&[0; ANSWER_BYTES + 1]), None);
    }
}
