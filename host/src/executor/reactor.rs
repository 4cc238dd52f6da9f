//! Owned file descriptors on tokio's reactor.

#![expect(unsafe_code, reason = "AsyncFd leaves it to its caller that a descriptor stays what it is")]

use std::os::fd::OwnedFd;

use nix::errno::Errno;
use tokio::io::unix::AsyncFd;

/// Watches a descriptor until the result is dropped.
pub(super) fn watch(fd: OwnedFd) -> nix::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an OwnedFd is one open descriptor from here until it is dropped, which the AsyncFd does
    // after it has left the reactor.
    let watched = unsafe { AsyncFd::register(fd) };
    watched.map_err(|error| {
        let error = std::io::Error::from(error);
        Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO))
    })
}
