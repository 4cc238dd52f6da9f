//! What the parts of Bulkhead say to each other and what they remember: identifiers, functions,
//! tasks, outcomes, limits, packages, and the messages between host and runner and between dispatcher
//! and workers.
//!
//! Nothing here does I/O, but for [`packet`], by which host and runner exchange their messages. Every
//! type that crosses a process boundary has its bound beside it.

pub mod codec;
pub mod function;
pub mod id;
pub mod limits;
pub mod outcome;
#[cfg(feature = "package")]
pub mod package;
pub mod packet;
pub mod probe;
pub mod runner_message;
pub mod slot;
pub mod task;
pub mod worker_message;
