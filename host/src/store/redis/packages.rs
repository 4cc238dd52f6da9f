//! Packages: plain values in keys of their own slots. The bytes of a package and the records of its
//! functions may stand on different nodes, so no script changes both. Each upload therefore gets a key with
//! a number of its own, and a package that goes is first forgotten by its number: whatever a late deletion
//! hits, it is no later upload.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bulkhead_protocol::id::PackageId;
use bytes::Bytes;

use super::scripts::{EXPECT_PACKAGE, SWEEP_PACKAGES, UNEXPECT_PACKAGE};
use super::shared::Shared;
use crate::store::types::Error;

/// How long a package waits for a registration that its process did not live to make or to give up.
const REGISTRATION_TIMEOUT: Duration = Duration::from_secs(60 * 60);

/// Packages that this process stored for registrations still to come, how often.
#[derive(Default)]
pub(super) struct Expected(Mutex<HashMap<PackageId, usize>>);

impl Expected {
    fn more(&self, id: PackageId) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(id).or_default() += 1;
    }

    /// The registration came, or never will.
    pub(super) fn less(&self, id: PackageId) {
        let mut expected = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = expected.get_mut(&id) {
            *count -= 1;
            if *count == 0 {
                expected.remove(&id);
            }
        }
    }

    fn take(&self) -> HashMap<PackageId, usize> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Shared {
    pub(in crate::store) async fn put_package(&self, id: PackageId, package: Bytes) -> Result<(), Error> {
        // Expected before it is there, so that no one deletes it in between.
        let generation: String = self.run(EXPECT_PACKAGE.call().text(id)).await?;
        self.expected.more(id);
        let stored = self.upload(id, &generation, &package).await;
        if stored.is_err() {
            self.expected.less(id);
            // If this fails as well, the package goes in an hour.
            let _ = self.unexpect(id).await;
        }
        stored
    }

    async fn upload(&self, id: PackageId, generation: &str, package: &Bytes) -> Result<(), Error> {
        let key = self.package_key(id, generation);
        if self.bulk.ask(redis::cmd("EXISTS").arg(&key)).await? {
            return Ok(());
        }
        let _room = self.room(package.len()).await?;
        self.bulk.ask(redis::cmd("SET").arg(&key).arg(package.as_ref())).await
    }

    pub(in crate::store) async fn package(&self, id: PackageId) -> Result<Option<Bytes>, Error> {
        let Some(generation) = self.generation(id).await? else { return Ok(None) };
        let bytes: Option<Vec<u8>> = self.bulk.ask(redis::cmd("GET").arg(self.package_key(id, &generation))).await?;
        Ok(bytes.map(Bytes::from))
    }

    /// Whether a package is there.
    pub(super) async fn has_package(&self, id: PackageId) -> Result<bool, Error> {
        match self.generation(id).await? {
            Some(generation) => self.bulk.ask(redis::cmd("EXISTS").arg(self.package_key(id, &generation))).await,
            None => Ok(false),
        }
    }

    async fn generation(&self, id: PackageId) -> Result<Option<String>, Error> {
        self.check_open()?;
        self.link.ask(redis::cmd("HGET").arg(self.key("packages")).arg(id.to_string())).await
    }

    async fn unexpect(&self, id: PackageId) -> Result<(), Error> {
        self.link.run(UNEXPECT_PACKAGE.call().text(id)).await
    }

    /// Gives up the registrations that this process has not made.
    pub(super) async fn give_up_packages(&self) -> Result<(), Error> {
        for (id, count) in self.expected.take() {
            for _ in 0..count {
                self.unexpect(id).await?;
            }
        }
        self.collect_garbage().await;
        Ok(())
    }

    /// Deletes packages whose registration never came.
    pub(super) async fn sweep_packages(&self) -> Result<(), Error> {
        self.run::<()>(SWEEP_PACKAGES.call().text(REGISTRATION_TIMEOUT.as_millis())).await?;
        self.collect_garbage().await;
        Ok(())
    }

    /// Deletes the bytes of packages that were given up. What fails is done by a later call, of any process.
    pub(super) async fn collect_garbage(&self) {
        let garbage = self.key("garbage");
        let collected = async {
            let names: Vec<String> = self.link.ask(redis::cmd("SMEMBERS").arg(&garbage)).await?;
            for name in names {
                if let Some((Ok(id), generation)) = name.split_once(':').map(|(id, rest)| (id.parse(), rest)) {
                    self.bulk.ask::<()>(redis::cmd("UNLINK").arg(self.package_key(id, generation))).await?;
                }
                self.link.ask::<()>(redis::cmd("SREM").arg(&garbage).arg(name)).await?;
            }
            Ok::<_, Error>(())
        };
        if let Err(error) = collected.await {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(error, "packages without functions could not be deleted yet");
        }
    }
}
