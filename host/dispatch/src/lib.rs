//! Decides which task goes to which worker and what follows when an attempt ends, as a pure state
//! machine: no clock, no I/O, no async. Same inputs and seed give the same outputs, byte for byte.
//!
//! A driver hands each event to [`Dispatcher::handle`] with the time since its start, and then
//! carries out what [`Dispatcher::poll`] says until it says nothing more. Inputs and results of
//! tasks never come here: the driver keeps them until it is told to [`Output::Forget`] the task.
//!
//! Where things are: [`Dispatcher`] holds the life of a task; `queue` the order in which tasks
//! run, `pool` the workers and their room, `retry` whether a failed attempt is tried again,
//! `timer` what falls due and when.

mod config;
mod dispatcher;
mod input;
mod output;
mod pool;
mod queue;
mod random;
mod retry;
mod timer;

pub use config::Config;
pub use dispatcher::Dispatcher;
pub use dispatcher::stats::Stats;
pub use input::{Arrival, CancelAnswer, Cut, Input, WorkerKind};
pub use output::{Cancelled, Output, Record, Refusal};
pub use pool::WorkerStats;
