//! The command line. Commands that need a server speak HTTP to it like any other client; `build`,
//! `check` and `run` work without one, with a sandbox of their own. Output of functions goes to
//! stdout, ids and diagnostics to stderr, so that pipes carry results only.
//!
//! Each file is one command, but for: `command` (the tree), `entry` (parsing to exit code),
//! `failure` (what went wrong, and its exit code), `output` and `progress` (what is shown),
//! `client` (HTTP), `sandbox` (the local executor), `packaging` (crate to package) and `server` (what the
//! commands that serve are made of: `up`, `gateway`, `dispatcher`).

mod batch;
mod bench;
mod build;
mod check;
mod client;
mod command;
mod completions;
mod dead_letters;
mod dispatcher;
mod doctor;
mod entry;
mod eval;
mod failure;
mod functions;
mod gateway;
mod invoke;
mod measuring;
mod new;
mod output;
mod packaging;
mod progress;
mod register;
mod run;
mod samples;
mod sandbox;
mod server;
mod tasks;
mod up;
mod waiting;
mod worker;
mod workers;

pub use command::command;
pub use entry::main;
