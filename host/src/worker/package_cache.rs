//! Where the executor of a worker gets its packages: from the disk, or else from the dispatcher. Each
//! package is fetched once at a time, however many ask for it, and verified before anybody has it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bulkhead_protocol::id::PackageId;
use bulkhead_protocol::package::id_of;
use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, Shared};

use super::packages_on_disk::PackagesOnDisk;
use crate::executor::FetchPackage;

/// How often a package is transferred before its damage is told.
const MAX_TRANSFERS: u32 = 3;

/// Brings a package from the dispatcher; nothing is verified yet.
pub(super) type Transfer = Arc<dyn Fn(PackageId) -> BoxFuture<'static, Result<Bytes, TransferError>> + Send + Sync>;

/// Why a transfer brought no package.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum TransferError {
    /// There is no such package.
    #[error("{reason}")]
    Unknown {
        /// In the dispatcher's words.
        reason: String,
    },
    /// What came is no part of a package.
    #[error("{what}")]
    Refused {
        /// What is wrong with it.
        what: String,
    },
    /// It cannot be had now.
    #[error("{reason}")]
    Unavailable {
        /// Why.
        reason: String,
    },
}

/// What [`FetchPackage`] gives.
type Answer = Result<Option<Bytes>, String>;
/// A package on its way, awaited by all who need it.
type Flight = Shared<BoxFuture<'static, Answer>>;

/// The cache. Cheap to clone; all clones are one.
#[derive(Clone)]
pub(super) struct PackageCache {
    inner: Arc<Inner>,
}

struct Inner {
    /// What is here.
    disk: Arc<PackagesOnDisk>,
    /// Brings what is not.
    transfer: Transfer,
    /// What is on its way.
    flights: Mutex<HashMap<PackageId, Flight>>,
}

impl PackageCache {
    pub(super) fn new(disk: PackagesOnDisk, transfer: Transfer) -> Self {
        Self { inner: Arc::new(Inner { disk: Arc::new(disk), transfer, flights: Mutex::default() }) }
    }

    /// Removes a kept package, so that something else has its room; says whether there was one. Waits for
    /// the disk.
    pub(super) fn make_room(&self) -> bool {
        self.inner.disk.remove_oldest()
    }

    /// The same as a function, for an executor.
    pub(super) fn into_fetch(self) -> FetchPackage {
        Arc::new(move |package| self.get(package).boxed())
    }

    /// A package.
    fn get(&self, package: PackageId) -> Flight {
        let mut flights = self.inner.flights();
        if let Some(flight) = flights.get(&package) {
            return flight.clone();
        }
        let inner = self.inner.clone();
        // A task of its own, so that it goes on when whoever asked first is gone.
        let landed = tokio::spawn(async move {
            let answer = inner.bring(package).await;
            inner.flights().remove(&package);
            answer
        });
        let flight = landed.map(|landed| landed.unwrap_or_else(|error| Err(error.to_string()))).boxed().shared();
        flights.insert(package, flight.clone());
        flight
    }
}

impl Inner {
    fn flights(&self) -> MutexGuard<'_, HashMap<PackageId, Flight>> {
        // Nothing panics while it holds the lock.
        self.flights.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn bring(&self, package: PackageId) -> Answer {
        let disk = self.disk.clone();
        match tokio::task::spawn_blocking(move || disk.read(package)).await {
            Ok(Some(bytes)) => return Ok(Some(bytes)),
            Ok(None) => {}
            Err(error) => tracing::error!(%error, "the kept packages cannot be read"),
        }
        for transfer in 1.. {
            let damage = match (self.transfer)(package).await {
                Ok(bytes) => match self.accept(package, bytes).await {
                    Some(bytes) => {
                        tracing::info!(%package, bytes = bytes.len(), transfer, "a package was fetched");
                        return Ok(Some(bytes));
                    }
                    None => "its digest is another".to_owned(),
                },
                Err(TransferError::Refused { what }) => what,
                Err(TransferError::Unknown { reason }) => {
                    tracing::warn!(%package, reason, "the dispatcher has no such package");
                    return Ok(None);
                }
                Err(TransferError::Unavailable { reason }) => return Err(reason),
            };
            tracing::warn!(%package, transfer, damage, "a package came damaged and is refused");
            if transfer >= MAX_TRANSFERS {
                return Err(format!("it came damaged {transfer} times: {damage}"));
            }
        }
        unreachable!("the loop ends by returning")
    }

    /// Verifies what came, and keeps it.
    async fn accept(&self, package: PackageId, bytes: Bytes) -> Option<Bytes> {
        let disk = self.disk.clone();
        let accepted = tokio::task::spawn_blocking(move || {
            (id_of(&bytes) == package).then(|| {
                disk.keep(package, &bytes);
                bytes
            })
        });
        accepted.await.ok().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// A cache in a new folder over a transfer that gives, one after the other, what it is told to;
    /// and how often it was asked.
    fn cache(
        answers: impl Fn(usize) -> Result<Bytes, TransferError> + Send + Sync + 'static,
    ) -> (tempfile::TempDir, PackageCache, Arc<AtomicUsize>) {
        let folder = tempfile::tempdir().unwrap();
        let disk = PackagesOnDisk::open(folder.path().to_owned(), folder.path().to_owned(), 1 << 20);
        let asked = Arc::new(AtomicUsize::new(0));
        let count = asked.clone();
        let transfer: Transfer = Arc::new(move |_| {
            let answer = answers(count.fetch_add(1, Ordering::Relaxed));
            async {
                tokio::task::yield_now().await;
                answer
            }
            .boxed()
        });
        (folder, PackageCache::new(disk, transfer), asked)
    }

    fn package() -> (PackageId, Bytes) {
        let bytes = Bytes::from_static(b"a package");
        (id_of(&bytes), bytes)
    }

    #[tokio::test]
    async fn many_who_ask_at_once_cost_one_transfer_and_later_ones_none() {
        let (id, bytes) = package();
        let (_folder, cache, asked) = cache(|_| Ok(package().1));
        let all = futures_util::future::join_all((0..8).map(|_| cache.get(id))).await;
        assert!(all.iter().all(|answer| *answer == Ok(Some(bytes.clone()))));
        assert_eq!(cache.get(id).await, Ok(Some(bytes)));
        assert_eq!(asked.load(Ordering::Relaxed), 1);
        assert!(cache.inner.flights().is_empty());
    }

    #[tokio::test]
    async fn damage_is_refused_and_fetched_again() {
        let (id, bytes) = package();
        let (_folder, cache, asked) = cache(|transfer| match transfer {
            0 => Ok(Bytes::from_static(b"b package")),
            1 => Err(TransferError::Refused { what: "too long".to_owned() }),
            _ => Ok(package().1),
        });
        assert_eq!(cache.get(id).await, Ok(Some(bytes)));
        assert_eq!(asked.load(Ordering::Relaxed), 3);
    }

    #[tokio::test]
    async fn damage_without_end_is_told() {
        let (id, _) = package();
        let (folder, cache, asked) = cache(|_| Ok(Bytes::from_static(b"b package")));
        let error = cache.get(id).await.unwrap_err();
        assert!(error.contains("3 times"), "{error}");
        assert_eq!(asked.load(Ordering::Relaxed), 3);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "damage was kept");
    }

    #[tokio::test]
    async fn a_package_that_is_nowhere_is_none_and_one_out_of_reach_an_error() {
        let (id, _) = package();
        let (_folder, unknown, _) = cache(|_| Err(TransferError::Unknown { reason: "deleted".to_owned() }));
        assert_eq!(unknown.get(id).await, Ok(None));
        let (_folder, away, asked) = cache(|_| Err(TransferError::Unavailable { reason: "away".to_owned() }));
        assert_eq!(away.get(id).await, Err("away".to_owned()));
        // An error is nobody's answer for ever.
        assert_eq!(away.get(id).await, Err("away".to_owned()));
        assert_eq!(asked.load(Ordering::Relaxed), 2);
    }

    #[tokio::test]
    async fn a_package_damaged_on_disk_is_fetched_again() {
        let (id, bytes) = package();
        let (folder, cache, asked) = cache(|_| Ok(package().1));
        cache.get(id).await.unwrap();
        std::fs::write(folder.path().join(format!("{id}.bhpkg")), b"damage").unwrap();
        assert_eq!(cache.get(id).await, Ok(Some(bytes)));
        assert_eq!(asked.load(Ordering::Relaxed), 2);
    }

    #[tokio::test]
    async fn a_full_disk_does_not_keep_a_package_from_its_use() {
        let Some(disk) = SmallDisk::mount() else {
            eprintln!("skipped: no tmpfs can be mounted here");
            return;
        };
        let bytes = Bytes::from(vec![7; 300 * 1024]);
        let id = id_of(&bytes);
        let answer = bytes.clone();
        let transfer: Transfer = Arc::new(move |_| std::future::ready(Ok(answer.clone())).boxed());
        let folder = disk.folder.path().to_owned();
        std::fs::write(folder.join("filler"), vec![0; 60 * 1024]).unwrap();
        let cache = PackageCache::new(PackagesOnDisk::open(folder.clone(), folder.clone(), 1 << 30), transfer);
        assert_eq!(cache.get(id).await, Ok(Some(bytes)));
        let names: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, ["filler"], "a half-written package stayed");
    }

    /// A disk of 256 KiB.
    struct SmallDisk {
        folder: tempfile::TempDir,
    }

    impl SmallDisk {
        fn mount() -> Option<Self> {
            let folder = tempfile::tempdir().unwrap();
            let flags = nix::mount::MsFlags::empty();
            nix::mount::mount(Some("tmpfs"), folder.path(), Some("tmpfs"), flags, Some("size=256k")).ok()?;
            Some(Self { folder })
        }
    }

    impl Drop for SmallDisk {
        fn drop(&mut self) {
            let _ = nix::mount::umount(self.folder.path());
        }
    }
}
