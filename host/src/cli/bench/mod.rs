//! `bulkhead bench`: holds each hot path against a floor that it measures itself in the same minutes.
//!
//! `args` is the command; `plan` how much is measured; `run` goes through the `cases` on the `ground` that
//! they share (packages, clusters, floors) and `show`s what came out. What is measured with, and what follows
//! from figures, is `crate::bench`'s; `part` is the command by which this executable is started again as one
//! side of a floor.

mod args;
mod cases;
mod ground;
pub(super) mod part;
mod plan;
mod run;
mod show;

pub(super) use args::Args;
pub(super) use run::run;
