//! Wakes a socket thread that waits in `zmq_poll`.

use std::io;
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering};

use nix::sys::eventfd::{EfdFlags, EventFd};

/// An eventfd among the things that the thread polls. Many wakes between two looks of the thread
/// cost one system call.
#[derive(Debug)]
pub(super) struct Waker {
    /// What the thread polls.
    eventfd: EventFd,
    /// Whether the thread is already sure to look.
    rung: AtomicBool,
}

impl Waker {
    pub(super) fn new() -> io::Result<Self> {
        let eventfd = EventFd::from_value_and_flags(0, EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?;
        Ok(Self { eventfd, rung: AtomicBool::new(false) })
    }

    /// Makes the thread look. What it is to find must be there before.
    pub(super) fn wake(&self) {
        if !self.rung.swap(true, Ordering::AcqRel) {
            // Fails only when the counter would overflow, and then the thread is woken anyway.
            let _ = self.eventfd.write(1);
        }
    }

    /// What to poll.
    pub(super) fn raw_fd(&self) -> RawFd {
        self.eventfd.as_fd().as_raw_fd()
    }

    /// By the thread, before it looks: whoever wakes it from now on wakes it once more.
    pub(super) fn clear(&self) {
        // In this order: a wake between the two writes nothing, but the swap sees what it announces.
        let _ = self.eventfd.read();
        self.rung.swap(false, Ordering::AcqRel);
    }
}
