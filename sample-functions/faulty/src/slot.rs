//! The memory that a call shares with the host. A function is given parts of it and could know the rest.

#![expect(unsafe_code, reason = "shared memory is reached through a raw pointer")]

use std::{io, os::fd::OwnedFd, slice, sync::atomic::Ordering};

use bulkhead::Context;
use bulkhead_protocol::slot::{HEADER_BYTES, Header, Layout, state};
use nix::libc;

/// The size of a page of memory.
const PAGE: usize = 4096;
/// How far from its own stack a call looks for its slot.
const REACH: usize = 4 << 30;
/// Less than the size of any slot.
const STRIDE: usize = 64 << 20;
/// Where the task's id is in the header.
const TASK_OFFSET: usize = std::mem::offset_of!(Header, task);

/// A slot as the process sees it that runs a call in it.
#[derive(Clone, Copy)]
pub(crate) struct Slot {
    base: *mut u8,
}

// SAFETY: the memory stays for as long as the process, and whoever writes to it does so on purpose.
unsafe impl Send for Slot {}

impl Slot {
    /// Finds it by the id of the task, which stands in its header.
    pub(crate) fn find(context: &Context) -> io::Result<Self> {
        let digits: String = context.task_id().chars().filter(|digit| *digit != '-').collect();
        let task: Vec<u8> =
            (0..16).filter_map(|byte| u8::from_str_radix(digits.get(2 * byte..2 * byte + 2)?, 16).ok()).collect();
        let here = (&raw const digits).addr() / PAGE * PAGE;
        let probe = Probe::new()?;
        let is_base = |page: &usize| probe.holds(page + TASK_OFFSET, &task);
        // A slot is large, with nothing below it in most processes: from any page of it to its first.
        let quickly = around(here, STRIDE).filter(|page| probe.reads(*page)).map(|page| probe.first_below(page));
        let base = { quickly }.find(is_base).or_else(|| around(here, PAGE).find(is_base));
        let base = base.ok_or(io::ErrorKind::NotFound)?;
        Ok(Self { base: std::ptr::with_exposed_provenance_mut(base) })
    }

    pub(crate) fn header(&self) -> &'static Header {
        // SAFETY: a slot begins with its header, is mapped to be written, and is never unmapped.
        unsafe { &*self.base.cast::<Header>() }
    }

    /// The bytes of the largest result, with its room.
    pub(crate) fn capacity(&self) -> usize {
        Layout::new(self.header().result_limit.load(Ordering::Relaxed)).output_capacity()
    }

    /// Everything behind the header.
    pub(crate) fn everything(&self) -> &'static mut [u8] {
        let length = Layout::new(self.header().result_limit.load(Ordering::Relaxed)).total_bytes() - HEADER_BYTES;
        // SAFETY: the slot is as long as its layout says.
        let start = unsafe { self.base.add(HEADER_BYTES) };
        // SAFETY: the SDK has read the arguments, and has not begun to write the result.
        unsafe { slice::from_raw_parts_mut(start, length) }
    }

    /// Writes to the start of the output.
    pub(crate) fn write(&self, output: &[u8]) {
        self.everything()[Layout::output_offset() - HEADER_BYTES..][..output.len()].copy_from_slice(output);
    }

    /// Says that the answer is there.
    pub(crate) fn publish(&self, kind: u32, bytes: u64) {
        let header = self.header();
        header.response_kind.store(kind, Ordering::Relaxed);
        header.response_bytes.store(bytes, Ordering::Relaxed);
        header.state.store(state::PUBLISHED, Ordering::Release);
    }
}

/// Addresses so far from each other, the nearest first: a slot may have been mapped before the stack or after it.
fn around(here: usize, step: usize) -> impl Iterator<Item = usize> {
    (0..REACH).step_by(step).flat_map(move |far| [here.saturating_add(far), here.saturating_sub(far)])
}

/// Reads memory that may not be there.
struct Probe {
    read: OwnedFd,
    write: OwnedFd,
}

impl Probe {
    fn new() -> io::Result<Self> {
        let (read, write) = nix::unistd::pipe()?;
        Ok(Self { read, write })
    }

    /// Whether these bytes are at an address.
    fn holds(&self, address: usize, expected: &[u8]) -> bool {
        self.read(address).is_some_and(|found| found == *expected)
    }

    /// Whether there is anything at an address.
    fn reads(&self, address: usize) -> bool {
        self.read(address).is_some()
    }

    /// The first page of those that can be read up to this one, if they are not more than a slot has and nothing
    /// but a gap is before them.
    fn first_below(&self, page: usize) -> usize {
        let (mut gap, mut readable) = (page.saturating_sub(3 * STRIDE) / PAGE, page / PAGE);
        while readable - gap > 1 {
            let middle = gap.midpoint(readable);
            if self.reads(middle * PAGE) { readable = middle } else { gap = middle }
        }
        readable * PAGE
    }

    /// Sixteen bytes. The kernel answers EFAULT for an address that cannot be read.
    fn read(&self, address: usize) -> Option<[u8; 16]> {
        use std::os::fd::AsRawFd as _;
        let place = std::ptr::with_exposed_provenance::<libc::c_void>(address);
        let mut found = [0; 16];
        // SAFETY: whatever the address is, the kernel checks it.
        let written = unsafe { libc::write(self.write.as_raw_fd(), place, found.len()) };
        (written == 16 && nix::unistd::read(&self.read, &mut found) == Ok(16)).then_some(found)
    }
}
