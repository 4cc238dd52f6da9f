//! The child's view of its slot.

#![expect(unsafe_code, reason = "shared memory is reached through a raw pointer")]

use std::num::NonZero;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU32, Ordering};

use bulkhead_protocol::slot::{HEADER_BYTES, Header, Layout, state};
use nix::errno::Errno;
use nix::sys::mman::{MapFlags, ProtFlags, mmap};

/// A mapped slot; lives as long as the process.
#[derive(Clone, Copy)]
pub(crate) struct SlotMemory {
    base: *mut u8,
    layout: Layout,
}

// SAFETY: the mapping is never undone, the header is all atomics, and input and output are used by
// the one thread that runs the call.
unsafe impl Send for SlotMemory {}

// SAFETY: as above; what threads share is the header.
unsafe impl Sync for SlotMemory {}

impl SlotMemory {
    /// Maps a slot.
    pub(crate) fn map(memory: &OwnedFd, layout: Layout) -> nix::Result<Self> {
        let bytes = NonZero::new(layout.total_bytes()).ok_or(Errno::EINVAL)?;
        let protection = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        // SAFETY: a new mapping overlaps nothing; the host has sealed the file against shrinking.
        let address = unsafe { mmap(None, bytes, protection, MapFlags::MAP_SHARED, memory, 0) }?;
        Ok(Self { base: address.cast().as_ptr(), layout })
    }

    pub(crate) fn header(&self) -> &'static Header {
        // SAFETY: page-aligned, at least HEADER_BYTES long, never unmapped, and all atomics.
        unsafe { &*self.base.cast::<Header>() }
    }

    /// Sleeps until there is a request, and takes it.
    pub(crate) fn take_request(&self) {
        let word = &self.header().state;
        loop {
            match word.load(Ordering::Acquire) {
                state::REQUESTED => break,
                other => futex_wait(word, other),
            }
        }
        word.store(state::TAKEN, Ordering::Relaxed);
    }

    /// Input and configuration, as long as the header says; empty if it exceeds the slot, which
    /// the host never does.
    pub(crate) fn input(&self) -> (&'static [u8], &'static [u8]) {
        let input = self.header().input_bytes.load(Ordering::Relaxed) as usize;
        let config = self.header().config_bytes.load(Ordering::Relaxed) as usize;
        match input.checked_add(config) {
            Some(total) if total <= Layout::input_capacity() => {}
            _ => return (&[], &[]),
        }
        // SAFETY: the range was checked against the mapping, and the host does not write to it from
        // the request to the response.
        let bytes = unsafe { std::slice::from_raw_parts(self.at(HEADER_BYTES), input + config) };
        bytes.split_at(input)
    }

    /// Room for the response.
    pub(crate) fn output(&self) -> &'static mut [u8] {
        let start = self.at(Layout::output_offset());
        // SAFETY: the range is the mapping's rest, and the one thread that runs the call has it.
        unsafe { std::slice::from_raw_parts_mut(start, self.layout.output_capacity()) }
    }

    /// Publishes a response whose bytes are in the output.
    pub(crate) fn publish(&self, kind: u32, bytes: u64) {
        let header = self.header();
        header.response_kind.store(kind, Ordering::Relaxed);
        header.response_bytes.store(bytes, Ordering::Relaxed);
        header.state.store(state::PUBLISHED, Ordering::Release);
    }

    fn at(&self, offset: usize) -> *mut u8 {
        // SAFETY: every offset passed is inside the mapping.
        unsafe { self.base.add(offset) }
    }
}

/// Sleeps until the word is woken, unless it is no longer `expected`.
fn futex_wait(word: &AtomicU32, expected: u32) {
    let forever = std::ptr::null::<libc::timespec>();
    // SAFETY: the word lives through the call. Not FUTEX_PRIVATE: the host wakes it. Whether it was
    // woken, changed or interrupted, the caller looks again.
    unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), libc::FUTEX_WAIT, expected, forever) };
}
