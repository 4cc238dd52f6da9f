//! Workers.

use bulkhead_protocol::id::WorkerId;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Timestamp;

/// A worker as its dispatcher last saw it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Worker {
    /// Its id, new each time its process starts; all zeros for the slots of a dispatcher itself.
    pub worker_id: WorkerId,
    /// Its name for people: the host's.
    pub name: String,
    /// `local`, `push` or `pull`.
    pub mode: String,
    /// Attempts that it runs at once.
    pub slots: u32,
    /// Attempts that it has.
    pub running: u32,
    /// Whether it takes no more tasks.
    pub draining: bool,
    /// Whether it takes none for now: it cannot set them up (its disk is full, say; its log tells), or its
    /// ends wait to be acknowledged.
    #[serde(default)]
    pub resting: bool,
    /// When it came.
    pub since: Timestamp,
    /// The dispatcher that it is connected to.
    pub dispatcher: String,
}

/// Answer of `GET /v1/workers`, by id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct WorkerPage {
    /// The workers.
    pub workers: Vec<Worker>,
}
