//! Runs the queued tasks: drives the state machine of [`bulkhead_dispatch`] with the clock, the
//! store and the executor. Between store and executor.
//!
//! The state machine decides, the driver carries out. One tokio task owns it; attempts and writes
//! to the store run beside that task and report back to it. The driver sleeps until one of them,
//! a claim, a command or a timer wakes it: idle, it takes no CPU.
//!
//! - [`Handle`]: cancel, drain, what goes on now
//! - `driver`: the loop
//! - `attempt`: one attempt from the function's record to the report
//! - `write`: the writes to the store
//!
//! Rejected: a channel for what comes back to the driver. A bounded one can block the driver that
//! empties it, an unbounded one has no bound; a `JoinSet` holds exactly what was begun.

mod attempt;
mod config;
mod driver;
mod handle;
mod write;

pub use bulkhead_dispatch::{Cancelled, Stats, WorkerStats};
pub use config::Config;
pub use driver::start;
pub use handle::Handle;

#[cfg(test)]
mod tests;
