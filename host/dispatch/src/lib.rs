//! Decides which task goes to which worker and what follows when an attempt ends, as a pure state
//! machine: no clock, no I/O, no async. Same inputs and seed give the same outputs, byte for byte.
//!
//! A driver hands each event to [`Dispatcher::handle`] with the time since its start, and then
//! carries out what [`Dispatcher::poll`] says until it says nothing more. Inputs and results of
//! tasks never come here: the driver keeps them until it is told to [`Output::Forget`] the task.
//!
//! A task's budgets are kept in the store and come with each arrival, and every record is fenced there
//! by its attempt. So a dispatcher may die at any time: the next one, or another beside it, gets its
//! tasks with [`Input::Arrived`]. Attempts on remote workers outlive their dispatcher: a worker says
//! at its hello what it has in hand, and of what is not known the store is asked ([`Output::Recover`]);
//! a task that arrives first waits a while for its worker ([`Cut::Lost`]). Nothing that a worker says
//! is believed but about attempts that it was assigned, or said at its hello that it has, and those
//! only as the store confirms.
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
pub use input::{Arrival, CancelAnswer, Cut, Input, RecoverAnswer, WorkerKind};
pub use output::{Cancelled, Output, Record, Refusal};
pub use pool::WorkerStats;
