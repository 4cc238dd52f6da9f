//! Both ends of a slot, brought together: the host's and the child's own files, compiled into this crate.
//!
//! The host's end would otherwise bring all that the host is made of: a release build of more than nine minutes of
//! processor time for two hundred lines, where this crate takes one. Of the crates around them the files name
//! nothing but what stands in `slot/host.rs`.

mod child;
mod host;

pub use child::ChildEnd;
pub use host::{Exchange, HostEnd};

/// Largest result of the function that the slot is for.
const RESULT_BYTES: u64 = 2 << 20;
