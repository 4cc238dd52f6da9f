//! Runs the queued tasks: drives the state machine of [`bulkhead_dispatch`] with the clock, the
//! store, and the executor of this process or remote workers. Between store and executor or link.
//!
//! The state machine decides, the driver carries out. One tokio task owns it; attempts of this process
//! run beside that task, and answers of the store come back to it. Whatever one wake-up brings is
//! taken together, and what follows from it goes out together at the end of the turn: one batch to each
//! worker, all writes to the store side by side. The driver sleeps until something wakes it, and looks
//! around every two seconds: idle, it takes no CPU.
//!
//! - [`Handle`]: cancel, drain, what goes on now
//! - `driver`: the loop; what it hears, carries out, sends to workers, tells those who look
//! - `transport`: the workers behind the link
//! - `attempt`: one attempt of this process from the function's record to the report
//! - `reports`, `write`: what the store does not have yet, and the writes to it
//! - `clock`: the state machine's time
//!
//! Rejected: a channel for what comes back to the driver. A bounded one can block the driver that
//! empties it, an unbounded one has no bound; a `JoinSet` and a `FuturesUnordered` hold exactly what was
//! begun. Rejected: waiting for the store to have a start before the end is written. Both go out
//! in that order; should the store make them in the other, its fence drops the start, and only the
//! time of the start is lost.

mod attempt;
mod clock;
mod config;
mod driver;
mod handle;
mod reports;
mod transport;
mod write;

pub use bulkhead_dispatch::{Cancelled, Stats, WorkerStats};
pub use config::{Config, Error, Mode, Remote};
pub use driver::start;
pub use handle::{DrainAsked, Handle};

#[cfg(test)]
mod tests;
