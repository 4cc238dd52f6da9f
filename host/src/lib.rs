//! Bulkhead runs native functions as a service, each call in its own watertight process.
//!
//! The way of a task through these modules: [`gateway`] takes it over HTTP, [`store`] keeps it,
//! [`dispatcher`] gives it to the executor beside it or over a [`link`] to a [`worker`], [`executor`]
//! runs it in a sandboxed runner process. [`package`] makes and checks what is registered; [`cli`] is
//! the command line over all of it, and `bench` what its benchmarks measure with.

mod bench;
pub mod cli;
pub mod config;
pub mod dispatcher;
pub mod executor;
mod first_free;
mod full_disk;
pub mod gateway;
pub mod link;
pub mod package;
pub mod shutdown;
pub mod store;
pub mod telemetry;
pub mod worker;
