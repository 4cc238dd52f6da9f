//! The HTTP front: takes requests, checks them, hands them to the store or straight to the
//! executor, and says what came of it. First in the flow; everything behind it trusts its bounds.
//!
//! A request comes over a `connection`, passes [`front`] and [`router`] and comes to a handler in `first`, `functions`,
//! `invoke`, `tasks`, `batch`, `workers` or `pages`. What several handlers do is in `registration` (a package
//! becomes functions), `submission` (a wish becomes a stored task), `calls` (a synchronous call
//! outlives its wait) and `task_view` (a task is worded for clients). Errors are made in `problem`.
//! Until the store is there, `awaiting` answers instead of all of these.

pub mod api;
mod awaiting;
mod batch;
mod body;
mod calls;
mod connection;
mod first;
pub mod front;
mod functions;
mod invoke;
mod linger;
mod openapi;
mod pages;
mod prefer;
mod problem;
mod query;
mod registration;
pub mod router;
mod state;
mod submission;
mod task_view;
mod tasks;
mod workers;

pub use awaiting::awaiting_store;
pub use connection::serve;
pub use router::service;
pub use state::{Gateway, Parts, SyncRuns, in_base64_bytes, unix_ms};
