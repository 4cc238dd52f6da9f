//! The worker: takes attempts from a dispatcher over the [link](crate::link), runs them with an
//! [executor](crate::executor), and gives their ends back. It never touches the store: what a task
//! needs comes with it, and packages are fetched from the dispatcher by digest.
//!
//! [`start`] spawns the `session`, the one loop that owns the connection. What the worker holds stands
//! in `hand`, how much more it wants in `appetite`, packages on their way in `fetches`: three state
//! machines without clock and I/O. `package_cache` keeps packages on disk, in the `folders` that several
//! workers of a machine may share.
//!
//! What a worker has in hand outlives its connections. It says all of it with each hello, and an end
//! until it is acknowledged, so that neither a broken connection nor a dispatcher that starts anew
//! costs an attempt.

mod appetite;
mod config;
mod connecting;
mod fetches;
mod folders;
mod hand;
mod handle;
mod line;
mod outbox;
mod package_cache;
mod packages_on_disk;
mod run;
mod session;
#[cfg(test)]
mod tests;

pub use config::{Config, DEFAULT_CACHE_BYTES, DEFAULT_CONNECT_WAIT, Error};
pub use handle::{Worker, start, start_with};
