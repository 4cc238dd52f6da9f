//! The dispatcher's side of its workers: who is connected, what each has in hand, what is to be said
//! to whom. Between the driver and [`crate::link`].
//!
//! - `roster`: the peers of the link and the workers behind them
//! - `worker`: one worker, and what it has in hand
//! - `hello`: whether a worker's introduction is taken
//! - `untrusted`: bounds on what a worker says of its own attempts
//! - `packages`: packages on their way to workers
//!
//! A worker is believed about its own attempts only: what it says of others never reaches the state
//! machine.

mod hello;
mod packages;
mod roster;
#[cfg(test)]
mod tests;
mod untrusted;
mod worker;

pub(super) use packages::{Asked, Packages, Request};
pub(super) use roster::{Heard, Roster};
pub(super) use untrusted::plausible_start_ms;
pub(super) use worker::Cancel;
