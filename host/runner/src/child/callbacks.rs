//! What a running function may say to the host: log lines, on stderr, and progress, in the slot.

use std::io::Write;
use std::sync::OnceLock;
use std::sync::atomic::Ordering;

use bulkhead_protocol::slot::MAX_PROGRESS_BYTES;

use super::{Host, HostRef, RStr, SlotMemory, str_of};

/// The slot of this process. The ABI's callbacks carry no context, and a child has one slot.
static SLOT: OnceLock<SlotMemory> = OnceLock::new();

pub(super) fn make(memory: SlotMemory) -> HostRef {
    let _ = SLOT.set(memory);
    Host { log, progress }.leak()
}

extern "C" fn log(level: u8, message: RStr<'_>) {
    let level = match level {
        bulkhead_abi::level::ERROR => "ERROR",
        bulkhead_abi::level::WARN => "WARN",
        bulkhead_abi::level::INFO => "INFO",
        bulkhead_abi::level::DEBUG => "DEBUG",
        _ => "TRACE",
    };
    // One write a line, so that lines of several threads do not mix. A full or closed pipe is the
    // function's loss alone.
    let line = format!("{level} {}\n", str_of(&message));
    let _ = std::io::stderr().write_all(line.as_bytes());
}

extern "C" fn progress(fraction: f64, message: RStr<'_>) {
    let Some(memory) = SLOT.get() else { return };
    let header = memory.header();
    let message = str_of(&message);
    let length = message.floor_char_boundary(MAX_PROGRESS_BYTES);
    let mut padded = [0; MAX_PROGRESS_BYTES];
    padded[..length].copy_from_slice(&message.as_bytes()[..length]);
    for (word, bytes) in header.progress_message.iter().zip(padded.as_chunks::<8>().0) {
        word.store(u64::from_le_bytes(*bytes), Ordering::Relaxed);
    }
    header.progress_fraction.store(fraction.to_bits(), Ordering::Relaxed);
    header.progress_bytes.store(length as u32, Ordering::Release);
}
