//! The workers that dispatchers have, for people to look at.

use super::record::{decode, encode};
use super::scripts::{PUBLISH_WORKERS, WORKERS};
use super::shared::Shared;
use crate::store::types::{Error, WorkerRecord};

/// How long a dispatcher's word counts, in milliseconds.
const WORKERS_TTL_MS: u64 = 10_000;

impl Shared {
    pub(in crate::store) async fn publish_workers(
        &self,
        dispatcher: &str,
        workers: Vec<WorkerRecord>,
    ) -> Result<(), Error> {
        let workers = if workers.is_empty() { Vec::new() } else { encode(&workers)? };
        let call = PUBLISH_WORKERS.call().bytes(dispatcher.as_bytes()).text(WORKERS_TTL_MS).bytes(&workers);
        self.run(call).await
    }

    pub(in crate::store) async fn workers(&self) -> Result<Vec<WorkerRecord>, Error> {
        let found: Vec<Option<Vec<u8>>> = self.run(WORKERS.call()).await?;
        let mut workers: Vec<WorkerRecord> = Vec::new();
        for said in found.into_iter().flatten() {
            workers.extend(decode::<Vec<WorkerRecord>>(&said)?);
        }
        workers.sort_by_key(|worker| worker.id);
        Ok(workers)
    }
}
