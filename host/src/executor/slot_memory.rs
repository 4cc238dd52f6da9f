//! The host's side of a slot: the shared memory and what is written to and read from it.

#![expect(unsafe_code, reason = "shared memory is reached through a raw pointer")]

use std::num::NonZero;
use std::os::fd::OwnedFd;
use std::ptr::NonNull;
use std::sync::atomic::Ordering;

use bulkhead_protocol::slot::{HEADER_BYTES, Header, Layout, MAX_CONFIG_BYTES, MAX_PROGRESS_BYTES, request, state};
use nix::errno::Errno;
use nix::fcntl::{FallocateFlags, FcntlArg, SealFlag, fallocate, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::mman::{MapFlags, ProtFlags, mmap, munmap};

use super::{Call, Progress};

/// Memory shared with one child at a time.
pub(super) struct SlotMemory {
    /// The sealed memfd, for the zygote.
    file: OwnedFd,
    /// Where it is mapped here.
    base: NonNull<u8>,
    /// Where things are in it.
    layout: Layout,
}

// SAFETY: the header is all atomics; input and output are copied by whoever owns the slot's turn,
// which `Slot` hands to one call at a time.
unsafe impl Send for SlotMemory {}
// SAFETY: as above.
unsafe impl Sync for SlotMemory {}

/// What a child has answered; lengths and kinds are as the child wrote them, not yet believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Response {
    /// Whose turn it is, of [`state`].
    pub(super) state: u32,
    /// Of [`bulkhead_protocol::slot::response`].
    pub(super) kind: u32,
    /// Detail where the kind has one.
    pub(super) detail: u32,
    /// Bytes of the output, as claimed.
    pub(super) bytes: u64,
}

/// What a warm child says that it has used since it was forked.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct OwnUsage {
    pub(super) user_us: u64,
    pub(super) system_us: u64,
    pub(super) max_rss_kib: u64,
}

impl SlotMemory {
    /// Makes a slot's memory: sealed, so that no child can shrink it under the host's feet.
    pub(super) fn create(layout: Layout) -> nix::Result<Self> {
        let file = memfd_create(c"bulkhead-slot", MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING)?;
        let bytes = layout.total_bytes();
        nix::unistd::ftruncate(&file, i64::try_from(bytes).map_err(|_| Errno::EFBIG)?)?;
        let seals = SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_GROW | SealFlag::F_SEAL_SEAL;
        fcntl(&file, FcntlArg::F_ADD_SEALS(seals))?;
        let length = NonZero::new(bytes).ok_or(Errno::EINVAL)?;
        let protection = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        // SAFETY: a new mapping overlaps nothing, and the seals keep its pages in the file.
        let base = unsafe { mmap(None, length, protection, MapFlags::MAP_SHARED, &file, 0) }?;
        Ok(Self { file, base: base.cast(), layout })
    }

    pub(super) fn file(&self) -> &OwnedFd {
        &self.file
    }

    pub(super) fn layout(&self) -> Layout {
        self.layout
    }

    pub(super) fn header(&self) -> &Header {
        // SAFETY: page-aligned, larger than a header, mapped as long as `self`, and all atomics.
        unsafe { self.base.cast::<Header>().as_ref() }
    }

    /// Writes a call and wakes the child. The input fits: it was bounded when it was taken.
    pub(super) fn request_call(&self, call: &Call, deadline_ns: u64) {
        let header = self.header();
        let input = &call.input[..call.input.len().min(Layout::input_capacity() - MAX_CONFIG_BYTES)];
        let config = &call.config[..call.config.len().min(MAX_CONFIG_BYTES)];
        self.copy_in(HEADER_BYTES, input);
        self.copy_in(HEADER_BYTES + input.len(), config);
        let id = call.task.0.as_bytes();
        for (word, bytes) in header.task.iter().zip(id.as_chunks::<8>().0) {
            word.store(u64::from_le_bytes(*bytes), Ordering::Relaxed);
        }
        header.request_kind.store(request::CALL, Ordering::Relaxed);
        header.function.store(call.function.index, Ordering::Relaxed);
        header.encoding.store(call.encoding as u32, Ordering::Relaxed);
        header.attempt.store(call.attempt, Ordering::Relaxed);
        header.deadline_ns.store(deadline_ns, Ordering::Relaxed);
        header.input_bytes.store(input.len() as u64, Ordering::Relaxed);
        header.config_bytes.store(config.len() as u64, Ordering::Relaxed);
        header.result_limit.store(call.function.limits.result_bytes, Ordering::Relaxed);
        self.hand_over();
    }

    /// Asks for the package's description and wakes the child.
    pub(super) fn request_description(&self) {
        self.header().request_kind.store(request::DESCRIBE, Ordering::Relaxed);
        self.hand_over();
    }

    fn hand_over(&self) {
        let word = &self.header().state;
        word.store(state::REQUESTED, Ordering::Release);
        // SAFETY: the word lives through the call; waking an address touches no memory.
        unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), libc::FUTEX_WAKE, 1) };
    }

    /// What the child has answered so far, each field read once.
    pub(super) fn response(&self) -> Response {
        let header = self.header();
        Response {
            state: header.state.load(Ordering::Acquire),
            kind: header.response_kind.load(Ordering::Relaxed),
            detail: header.response_detail.load(Ordering::Relaxed),
            bytes: header.response_bytes.load(Ordering::Relaxed),
        }
    }

    pub(super) fn own_usage(&self) -> OwnUsage {
        let header = self.header();
        OwnUsage {
            user_us: header.user_us.load(Ordering::Relaxed),
            system_us: header.system_us.load(Ordering::Relaxed),
            max_rss_kib: header.max_rss_kib.load(Ordering::Relaxed),
        }
    }

    /// Copies the first `bytes` of the output; `None` when that is more than the slot has.
    pub(super) fn output(&self, bytes: u64) -> Option<Vec<u8>> {
        let length = usize::try_from(bytes).ok().filter(|length| *length <= self.layout.output_capacity())?;
        let mut copy = Vec::with_capacity(length);
        // SAFETY: the source is inside the mapping, as just checked, and the destination has room
        // for `length` bytes. The child may write meanwhile; then the copy holds some mix of old and
        // new bytes, all of them initialised, and is parsed as the hostile input that it is.
        unsafe {
            std::ptr::copy_nonoverlapping(self.at(Layout::output_offset()), copy.as_mut_ptr(), length);
        }
        // SAFETY: the bytes up to `length` were just written.
        unsafe { copy.set_len(length) };
        Some(copy)
    }

    /// What the function last said of its progress; `None` before it said anything.
    pub(super) fn progress(&self) -> Option<Progress> {
        let header = self.header();
        let fraction = f64::from_bits(header.progress_fraction.load(Ordering::Relaxed));
        let length = header.progress_bytes.load(Ordering::Acquire) as usize;
        if fraction == 0.0 && length == 0 {
            return None;
        }
        let bytes: Vec<u8> =
            header.progress_message.iter().flat_map(|word| word.load(Ordering::Relaxed).to_le_bytes()).collect();
        let message = String::from_utf8_lossy(&bytes[..length.min(MAX_PROGRESS_BYTES)]).into_owned();
        let fraction = if fraction.is_finite() { fraction.clamp(0.0, 1.0) } else { 0.0 };
        Some(Progress { fraction, message })
    }

    /// Gives every page back, so that the next child finds nothing of this one.
    pub(super) fn wipe(&self) -> nix::Result<()> {
        let hole = FallocateFlags::FALLOC_FL_PUNCH_HOLE | FallocateFlags::FALLOC_FL_KEEP_SIZE;
        let length = i64::try_from(self.layout.total_bytes()).map_err(|_| Errno::EFBIG)?;
        fallocate(&self.file, hole, 0, length)
    }

    /// Makes a warm child's slot ready for its next call.
    pub(super) fn rest(&self) {
        let header = self.header();
        header.progress_fraction.store(0, Ordering::Relaxed);
        header.progress_bytes.store(0, Ordering::Relaxed);
        header.state.store(state::IDLE, Ordering::Release);
    }

    fn copy_in(&self, offset: usize, bytes: &[u8]) {
        debug_assert!(offset + bytes.len() <= Layout::output_offset());
        // SAFETY: callers keep offset and length inside the input, which is inside the mapping.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), self.at(offset), bytes.len()) };
    }

    fn at(&self, offset: usize) -> *mut u8 {
        // SAFETY: every offset passed is inside the mapping.
        unsafe { self.base.as_ptr().add(offset) }
    }
}

impl Drop for SlotMemory {
    fn drop(&mut self) {
        // SAFETY: the mapping was made in `create` with this length, and no reference outlives `self`.
        let _ = unsafe { munmap(self.base.cast(), self.layout.total_bytes()) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn memory() -> SlotMemory {
        SlotMemory::create(Layout::new(1 << 20)).unwrap()
    }

    #[test]
    fn output_is_bounded_by_the_slot_and_not_by_the_claim() {
        let memory = memory();
        let capacity = memory.layout.output_capacity() as u64;
        assert_eq!(memory.output(capacity).unwrap().len() as u64, capacity);
        for claim in [capacity + 1, u64::MAX, 1 << 63] {
            assert_eq!(memory.output(claim), None, "{claim}");
        }
    }

    #[test]
    fn a_wiped_slot_holds_nothing() {
        let memory = memory();
        memory.copy_in(HEADER_BYTES, b"secret");
        memory.header().response_bytes.store(7, Ordering::Relaxed);
        memory.wipe().unwrap();
        assert_eq!(memory.response().bytes, 0);
        // SAFETY: inside the mapping; nobody else has the memory.
        let bytes = unsafe { std::slice::from_raw_parts(memory.at(HEADER_BYTES), 6) };
        assert_eq!(bytes, [0; 6]);
    }

    #[test]
    fn the_memory_cannot_be_resized() {
        let memory = memory();
        assert!(nix::unistd::ftruncate(&memory.file, 0).is_err());
        assert!(nix::unistd::ftruncate(&memory.file, 1 << 30).is_err());
    }

    #[test]
    fn nonsense_as_progress_is_made_harmless() {
        let memory = memory();
        assert_eq!(memory.progress(), None);
        memory.header().progress_fraction.store(f64::NAN.to_bits(), Ordering::Relaxed);
        memory.header().progress_bytes.store(u32::MAX, Ordering::Relaxed);
        let progress = memory.progress().unwrap();
        assert_eq!(progress.fraction, 0.0);
        assert_eq!(progress.message.len(), MAX_PROGRESS_BYTES);
    }
}
