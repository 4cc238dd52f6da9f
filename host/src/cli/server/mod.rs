//! What the commands that serve are made of: `up` is all of it in one process, `gateway` and
//! `dispatcher` are parts. Each reads the configuration (`args`), opens what it needs (`store`,
//! `executor`, `listener`), starts its parts (`front`, `dispatching`), and lets `process` wait for the
//! end and stop them in order.

mod args;
mod cache_folder;
mod dispatching;
mod executor;
mod front;
mod listener;
mod open_files;
mod process;
mod store;

pub(super) use args::{CommonArgs, ExecutorArgs, FrontArgs, LinkArgs, StoreArgs};
pub(super) use args::{Flag, layer, text};
pub(super) use dispatching::{Dispatching, Hands};
pub(super) use executor::{INSPECTOR_SLOTS, OwnExecutor};
pub(super) use front::Front;
pub(super) use listener::Listener;
pub(super) use open_files::OPEN_FILES;
pub(super) use process::{Parts, Process};
pub(super) use store::{open, require_redis};

#[cfg(test)]
pub(super) use args::config_of;
