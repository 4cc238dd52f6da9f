//! A second process at the child's end: this program again. The slot's memory is its stdin, and its stdout the
//! eventfd by which a warm child tells that it has published.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::process::{Child, Command};

use bulkhead_instructions::slot::{ChildEnd, HostEnd};
use nix::sys::eventfd::{EfdFlags, EventFd};

/// Set in the second process.
const MARK: &str = "BULKHEAD_BENCH_CHILD";

/// Whether this is the second process.
pub(crate) fn is_this() -> bool {
    std::env::var_os(MARK).is_some()
}

/// Answers requests until it is killed.
pub(crate) fn serve() -> ! {
    let owned = |end: std::io::Result<OwnedFd>| end.expect("the other process gives its ends");
    let child = ChildEnd::new(&owned(std::io::stdin().as_fd().try_clone_to_owned()));
    let mut published = File::from(owned(std::io::stdout().as_fd().try_clone_to_owned()));
    loop {
        child.echo();
        published.write_all(&1u64.to_ne_bytes()).expect("the other process listens");
    }
}

/// The second process, as the first one sees it.
pub(crate) struct OtherProcess {
    /// Killed at the end.
    process: Child,
    /// Told when it has published.
    published: File,
}

impl OtherProcess {
    /// Starts one at the other end of a slot.
    pub(crate) fn start(host: &HostEnd) -> Self {
        let published: OwnedFd =
            EventFd::from_value_and_flags(0, EfdFlags::EFD_CLOEXEC).expect("an eventfd can be made").into();
        let mut command = Command::new(std::env::current_exe().expect("this program's path"));
        command.env(MARK, "1").stdin(host.file()).stdout(published.try_clone().expect("a descriptor"));
        Self { process: command.spawn().expect("this program can be started"), published: published.into() }
    }

    /// Sleeps until it has published.
    pub(crate) fn wait(&self) {
        (&self.published).read_exact(&mut [0; size_of::<u64>()]).expect("the eventfd can be read");
    }
}

impl Drop for OtherProcess {
    fn drop(&mut self) {
        // It may be gone already; then there is nothing to do.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
