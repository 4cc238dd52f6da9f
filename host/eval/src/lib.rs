//! What an evaluation measured, and what is made of it: [`results`] is the file that keeps it,
//! [`statistics`] the sums, [`pictures`] and [`analysis`] what people look at, [`comparison`] two
//! evaluations side by side. Nothing here starts a process, reads a clock or knows a server: measuring
//! is the business of the command line, and everything here follows from the file alone.

pub mod analysis;
pub mod comparison;
mod numbers;
pub mod pictures;
pub mod results;
pub mod statistics;
pub mod summary;
