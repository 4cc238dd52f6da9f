//! Both ends of a slot, brought together: the host's and the child's own files, compiled into this crate.
//!
//! No crate sees both ends, and the host's would bring all that the host is made of: a release build of many
//! minutes for two hundred lines. The files say nothing of the crates around them but what stands in [`host`].

mod child;
mod host;

pub use child::ChildEnd;
pub use host::{Exchange, HostEnd};

/// Largest result of the function that the slot is for.
const RESULT_BYTES: u64 = 2 << 20;
