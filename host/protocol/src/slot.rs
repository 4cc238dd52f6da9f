//! The layout of a slot: the memory that the host shares with one child. A sealed memfd of
//! [`Layout::total_bytes`], sparse, so that only touched pages cost memory.
//!
//! | offset | what |
//! | --- | --- |
//! | 0 | [`Header`], one page |
//! | 4096 | input, then the function's configuration |
//! | [`Layout::output_offset`] | the output, written by the child |
//!
//! Whatever the child writes is hostile: the host reads each field once, bounds it by a constant of
//! its own, copies, and only then parses.

use std::sync::atomic::{AtomicU32, AtomicU64};

use crate::limits::MAX_INPUT_BYTES;

/// Bytes before the input.
pub const HEADER_BYTES: usize = 4096;
/// Most bytes of a function's configuration.
pub const MAX_CONFIG_BYTES: usize = 64 * 1024;
/// Room in the output beyond the largest result, for error messages.
pub const OUTPUT_ROOM_BYTES: usize = 128 * 1024;
/// Longest progress message in bytes.
pub const MAX_PROGRESS_BYTES: usize = 256;

/// Exit code of a child whose set-up failed. Init believes it only of a child that has no process group of
/// its own yet: it gets one when its set-up ends, and cannot leave it.
pub const SETUP_FAILED_EXIT: i32 = 251;

/// Values of [`Header::state`].
pub mod state {
    /// The child waits.
    pub const IDLE: u32 = 0;
    /// A request is there for the child.
    pub const REQUESTED: u32 = 1;
    /// The child has taken the request.
    pub const TAKEN: u32 = 2;
    /// The child has published a response.
    pub const PUBLISHED: u32 = 3;
}

/// Values of [`Header::request_kind`].
pub mod request {
    /// Run a function.
    pub const CALL: u32 = 0;
    /// Tell which functions there are.
    pub const DESCRIBE: u32 = 1;
}

/// Values of [`Header::response_kind`]; the first seven are the ABI's.
pub mod response {
    /// The output is the result.
    pub const SUCCEEDED: u32 = 0;
    /// The output is JSON `{"code","message","retryable"}`.
    pub const FUNCTION_ERROR: u32 = 1;
    /// The output is JSON `{"path","message"}`.
    pub const INVALID_INPUT: u32 = 2;
    /// The output is JSON `{"message","location"}`.
    pub const PANICKED: u32 = 3;
    /// The result is larger than the output's room for results.
    pub const RESULT_TOO_LARGE: u32 = 4;
    /// The output is JSON `{"message"}`.
    pub const RESULT_NOT_ENCODABLE: u32 = 5;
    /// The package has no function of that index.
    pub const NO_SUCH_FUNCTION: u32 = 6;
    /// The runner could not prepare the child: `response_bytes` is the step's number, and
    /// `response_detail` the system's error number.
    pub const SETUP_FAILED: u32 = 64;
}

/// The first page of a slot. All atomics, because two processes share it.
#[repr(C)]
pub struct Header {
    /// Whose turn it is; the word that the child's futex waits on.
    pub state: AtomicU32,
    /// What is asked, of [`request`].
    pub request_kind: AtomicU32,
    /// The function's index in its package.
    pub function: AtomicU32,
    /// 0 JSON, 1 bincode.
    pub encoding: AtomicU32,
    /// The attempt's number.
    pub attempt: AtomicU32,
    /// What was answered, of [`response`].
    pub response_kind: AtomicU32,
    /// Detail of a response where its kind has one.
    pub response_detail: AtomicU32,
    /// Bytes of the progress message.
    pub progress_bytes: AtomicU32,
    /// The task's id, as two little-endian words of a UUID's bytes.
    pub task: [AtomicU64; 2],
    /// When the host will kill, on `CLOCK_MONOTONIC` in nanoseconds; 0: never.
    pub deadline_ns: AtomicU64,
    /// Bytes of the input.
    pub input_bytes: AtomicU64,
    /// Bytes of the configuration, which follows the input.
    pub config_bytes: AtomicU64,
    /// Largest result that the host takes.
    pub result_limit: AtomicU64,
    /// Bytes of the output.
    pub response_bytes: AtomicU64,
    /// CPU time of the call in user mode in microseconds; read from a warm child only, whose
    /// process does not end with the call.
    pub user_us: AtomicU64,
    /// The same in kernel mode.
    pub system_us: AtomicU64,
    /// Largest resident set in KiB, likewise.
    pub max_rss_kib: AtomicU64,
    /// The progress fraction's bits.
    pub progress_fraction: AtomicU64,
    /// The progress message.
    pub progress_message: [AtomicU64; MAX_PROGRESS_BYTES / 8],
}

const _: () = assert!(size_of::<Header>() <= HEADER_BYTES);

/// Where things are in a slot whose function may return so much.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    result_limit: usize,
}

impl Layout {
    /// The layout for a function with this limit on results.
    pub fn new(result_limit: u64) -> Self {
        Self { result_limit: usize::try_from(result_limit).unwrap_or(usize::MAX / 4) }
    }

    /// Bytes for input and configuration together.
    pub const fn input_capacity() -> usize {
        MAX_INPUT_BYTES as usize + MAX_CONFIG_BYTES
    }

    /// Where the output begins.
    pub const fn output_offset() -> usize {
        HEADER_BYTES + Self::input_capacity()
    }

    /// Bytes for the output.
    pub fn output_capacity(self) -> usize {
        self.result_limit + OUTPUT_ROOM_BYTES
    }

    /// Size of the memfd.
    pub fn total_bytes(self) -> usize {
        (Self::output_offset() + self.output_capacity()).next_multiple_of(4096)
    }
}
