//! A seeded, deterministic simulator of the distributed half: the real dispatcher core with simulated
//! workers, store, network and clock, in which everything breaks that can break. A schedule is a seed
//! and a [`Profile`]; the same two give the same schedule, event by event.
//!
//! Where things are: `plan` draws a schedule from its seed, `profile` says what may go wrong in it, and
//! `world` runs it. `dispatcher` and `driver` are the process around the core, `worker` the remote
//! workers, `network` the connections between them, `store` and `calls` the store and the way there,
//! `client` who submits and cancels, `faults` what breaks. `mirror` and `verdict` hold every output of
//! the core against what it may say, `ledger` every end against what truly ran. `campaign` runs many.
//!
//! Depends on `bulkhead-dispatch` and `bulkhead-protocol` alone, so that `tests/mutants` can build it
//! beside a core that is broken on purpose.

mod calls;
mod campaign;
mod check;
mod client;
mod dispatcher;
mod driver;
mod event;
mod faults;
mod ledger;
mod mirror;
mod names;
mod network;
mod plan;
mod profile;
pub(crate) mod random;
mod store;
mod trace;
mod verdict;
mod worker;
mod world;

pub use campaign::{Campaign, Outcomes, Report, simulate};
pub use check::Violation;
pub use profile::Profile;
pub use trace::Tracing;
