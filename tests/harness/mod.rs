//! What the end-to-end tests stand on: real servers from the built executables, an HTTP client, the
//! command line, packages built once per run, and what a server holds of the machine.
//!
//! Everything here panics where a test cannot go on, with what the server had logged by then.

mod client;
mod command;
mod deadline;
mod footprint;
mod layers;
mod packages;
mod server;

pub use client::{Answer, Client, Part, block_on};
pub use command::{CommandLine, Ended, run_within};
pub use deadline::{LONG, SHORT, eventually, eventually_within};
pub use footprint::{Footprint, Process, cgroups_of, processes_below};
pub use layers::{is_root, require_or_skip};
pub use packages::{Packages, cargo, checkout};
pub use server::{Executables, Options, Server, User};
