//! One call and its answer.

use abi_stable::{
    StableAbi,
    std_types::{RSlice, RSliceMut},
};

use crate::HostRef;

/// One call of a function: its input, the room for its result, and what it may know of its surroundings.
#[repr(C)]
#[derive(StableAbi)]
pub struct Request<'a> {
    /// How [`input`](Self::input) is encoded and the result is to be; one of [`encoding`].
    pub encoding: u8,
    /// Which try of the task this is, from 1.
    pub attempt: u32,
    /// When the host will kill the child, in nanoseconds of `CLOCK_MONOTONIC`; 0 = never.
    pub deadline_ns: u64,
    /// The task's UUID, in the byte order of RFC 9562.
    pub task_id: [u8; 16],
    /// The encoded arguments.
    pub input: RSlice<'a, u8>,
    /// The configuration that the function was registered with: a JSON object, or empty for none.
    pub config: RSlice<'a, u8>,
    /// Where the result goes, in place. Its size is the limit of the result, and at least
    /// [`MIN_OUTPUT_BYTES`](crate::MIN_OUTPUT_BYTES).
    ///
    /// The plugin writes a prefix of it and never reads it: it may be memory shared with the host.
    pub output: RSliceMut<'a, u8>,
    /// The host's callbacks.
    pub host: HostRef,
}

/// How a call ended.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, StableAbi)]
pub struct Response {
    /// What the bytes in the output are; one of [`response_kind`]. A host treats any other value as a violation.
    pub kind: u8,
    /// How many bytes of the output were written.
    pub length: u64,
}

/// Encodings of arguments and results.
pub mod encoding {
    /// JSON: arguments as an object by name or an array by position, the result as a bare value.
    pub const JSON: u8 = 0;
    /// bincode 2, standard configuration (little-endian, variable-length integers), through serde: arguments as a
    /// tuple, the result as a bare value.
    pub const BINCODE: u8 = 1;
}

/// Ways in which a call ends, with what the output then holds.
pub mod response_kind {
    /// The result, in the encoding of the request.
    pub const SUCCEEDED: u8 = 0;
    /// The function returned an error: JSON `{"code", "message", "retryable"}`.
    pub const FUNCTION_ERROR: u8 = 1;
    /// The arguments did not fit the function: JSON `{"path", "message"}`.
    pub const INVALID_INPUT: u8 = 2;
    /// The function panicked: JSON `{"message", "location"}`.
    pub const PANICKED: u8 = 3;
    /// The encoded result is larger than the output: JSON `{"limit"}`, in bytes.
    pub const RESULT_TOO_LARGE: u8 = 4;
    /// The result has no form in the encoding, as a map with keys that are not strings has none in JSON:
    /// JSON `{"message"}`.
    pub const RESULT_NOT_ENCODABLE: u8 = 5;
    /// The plugin has no function of that index: nothing is written.
    pub const NO_SUCH_FUNCTION: u8 = 6;
}
