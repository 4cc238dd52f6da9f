//! A slot as a hostile child leaves it, for fuzzing: the reading is the executor's own.

use std::os::fd::AsFd;

use bulkhead_protocol::limits::Limits;
use bulkhead_protocol::slot::{Header, Layout};
use nix::sys::uio::pwrite;

use super::call::answer;
use super::slot_memory::SlotMemory;

/// Longest result of the function that the child pretends to be.
const RESULT_BYTES: u64 = 4096;

/// Makes a slot, writes the first bytes to its header and the rest to its output as a child could, and reads
/// it as the host does while and after a call.
///
/// # Panics
/// When something is read that is not bounded by what the host has set, or when no slot can be made.
#[doc(hidden)]
pub fn read_hostile_slot(bytes: &[u8]) {
    let limits = Limits { result_bytes: RESULT_BYTES, ..Limits::default() };
    let memory = SlotMemory::create(Layout::new(RESULT_BYTES)).expect("a slot can be made");
    let (header, output) = bytes.split_at(bytes.len().min(size_of::<Header>()));
    let capacity = memory.layout().output_capacity();
    let output = &output[..output.len().min(capacity)];
    let offset = i64::try_from(Layout::output_offset()).expect("a slot is smaller than that");
    for (bytes, offset) in [(header, 0), (output, offset)] {
        assert_eq!(pwrite(memory.file().as_fd(), bytes, offset), Ok(bytes.len()), "a slot can be written");
    }
    let response = memory.response();
    if let Some(progress) = memory.progress() {
        assert!((0.0..=1.0).contains(&progress.fraction), "{progress:?}");
    }
    let _ = memory.own_usage();
    let (outcome, result) = answer(&memory, &limits);
    assert!(result.len() as u64 <= RESULT_BYTES, "{} bytes", result.len());
    if response.bytes > capacity as u64 {
        assert_eq!((outcome.kind(), result.len()), ("ProtocolViolation", 0));
    }
}
