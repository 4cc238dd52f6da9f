//! The embedded backend: one folder, no server. Callers come in through [`front`], which reads for
//! itself and sends every change to [`committer`], the only thread that writes.
//!
//! ```text
//! front ──request──▶ committer ──▶ submission, transition, expiry, functions ──▶ database
//!   │                    │ after the sync: memory, waiters, answers
//!   └──▶ shared: live (queues, claimed tasks), registry (names), completion (waiters)
//! ```
//!
//! Deliberately absent: locks held over a sync, decisions outside the committer (but for claims and
//! starts, which are in memory), timers, and queues in memory that grow with the queue on disk.

mod committer;
mod database;
mod expiry;
mod folder;
mod front;
mod functions;
mod listing;
mod live;
mod local;
mod record;
mod shared;
mod submission;
mod transition;

pub(super) use front::{Embedded, Settings};
use shared::Shared;
