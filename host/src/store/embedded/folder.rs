//! The data folder: who may use it, which format it has, and the packages, which are plain files
//! so that hundreds of megabytes never pass through the database.
//!
//! | name | what |
//! | --- | --- |
//! | `LOCK` | locked by the server that uses the folder |
//! | `FORMAT` | the number of the layout |
//! | `store.redb` | everything but the packages |
//! | `packages/<id>` | one package each |

use std::fs::{self, File, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use bulkhead_protocol::id::PackageId;
use bytes::Bytes;

use crate::store::types::Error;

/// The layout that this code writes and the only one that it reads.
const FORMAT: u32 = 2;

/// The folder, held until released.
pub(super) struct Folder {
    /// Where it is.
    path: PathBuf,
    /// The locked `LOCK`; none once released.
    lock: Mutex<Option<File>>,
    /// Makes the names of half-written packages distinct.
    next_temporary: AtomicU64,
}

impl Folder {
    /// Makes the folder when it is missing, locks it, and checks its format.
    pub(super) fn open(path: &Path) -> Result<Self, Error> {
        let failed = |source| Error::Folder { path: path.to_owned(), source };
        fs::create_dir_all(path.join("packages")).map_err(failed)?;
        let lock = File::options().create(true).truncate(false).write(true).open(path.join("LOCK")).map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(Error::InUse { path: path.to_owned() }),
            Err(TryLockError::Error(source)) => return Err(failed(source)),
        }
        check_format(&path.join("FORMAT")).map_err(failed)?;
        Ok(Self { path: path.to_owned(), lock: Mutex::new(Some(lock)), next_temporary: AtomicU64::new(0) })
    }

    /// Where the database stands.
    pub(super) fn database(&self) -> PathBuf {
        self.path.join("store.redb")
    }

    /// Wraps an I/O error with the folder's path.
    pub(super) fn error(&self, source: io::Error) -> Error {
        Error::Folder { path: self.path.clone(), source }
    }

    /// Makes the names in the folder, and its own, survive a power cut: nothing in them counts
    /// before.
    pub(super) fn sync(&self) -> io::Result<()> {
        sync_folder(&self.path)?;
        // Best effort: a server may be unable to open the folder above the one that it was given,
        // which was there before it then.
        if let Some(parent) = self.path.parent() {
            let _ = sync_folder(parent);
        }
        Ok(())
    }

    /// Lets another server have the folder.
    pub(super) fn release(&self) {
        if let Some(lock) = self.lock.lock().unwrap_or_else(PoisonError::into_inner).take() {
            // Not left to the close: a process that was just forked has the file, too, until it executes something.
            let _ = lock.unlock();
        }
    }

    /// Writes a package; durable on return.
    pub(super) fn put_package(&self, id: PackageId, package: &Bytes) -> io::Result<()> {
        if self.has_package(id)? {
            return Ok(());
        }
        let number = self.next_temporary.fetch_add(1, Ordering::Relaxed);
        let temporary = self.packages().join(format!("{id}.{number}.part"));
        let written = File::create_new(&temporary).and_then(|mut file| {
            file.write_all(package)?;
            file.sync_all()?;
            fs::rename(&temporary, self.package(id))
        });
        if let Err(error) = written {
            let _ = fs::remove_file(&temporary);
            return Err(error);
        }
        sync_folder(&self.packages())
    }

    /// Reads a package.
    pub(super) fn read_package(&self, id: PackageId) -> io::Result<Option<Bytes>> {
        match fs::read(self.package(id)) {
            Ok(bytes) => Ok(Some(bytes.into())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Whether a package is there.
    pub(super) fn has_package(&self, id: PackageId) -> io::Result<bool> {
        self.package(id).try_exists()
    }

    /// Deletes a package. One that stays after a failure goes at the next opening.
    pub(super) fn remove_package(&self, id: PackageId) {
        if let Err(error) = fs::remove_file(self.package(id)) {
            tracing::warn!(%error, package = %id, "a package without functions could not be deleted");
        }
    }

    /// Deletes what is no package that `used` knows: half-written files, and packages whose
    /// functions are gone or never came.
    pub(super) fn sweep(&self, used: impl Fn(PackageId) -> bool) -> io::Result<()> {
        for entry in fs::read_dir(self.packages())? {
            let entry = entry?;
            let id = entry.file_name().to_str().and_then(|name| name.parse().ok());
            if !id.is_some_and(&used) {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    }

    fn packages(&self) -> PathBuf {
        self.path.join("packages")
    }

    fn package(&self, id: PackageId) -> PathBuf {
        self.packages().join(id.to_string())
    }
}

fn check_format(path: &Path) -> io::Result<()> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            // By way of another name, so that a crash leaves no empty FORMAT behind.
            let temporary = path.with_extension("part");
            let mut file = File::create(&temporary)?;
            writeln!(file, "{FORMAT}")?;
            file.sync_all()?;
            return fs::rename(temporary, path);
        }
        Err(error) => return Err(error),
    };
    let invalid = |what: String| Err(io::Error::new(io::ErrorKind::InvalidData, what));
    match text.trim().parse::<u32>() {
        Ok(FORMAT) => Ok(()),
        Ok(found) if found > FORMAT => invalid(format!(
            "it has format {found}, written by a newer version of Bulkhead; this one reads format {FORMAT}"
        )),
        Ok(found) => invalid(format!("it has format {found}, this version reads format {FORMAT}")),
        Err(_) => invalid("its FORMAT file holds no number".to_owned()),
    }
}

fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Store;

    #[tokio::test]
    async fn a_folder_has_one_server_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open_embedded(folder.path()).await.unwrap();
        let second = Store::open_embedded(folder.path()).await;
        assert!(matches!(second, Err(Error::InUse { path }) if path == folder.path()));
        store.close().await.unwrap();
        assert!(matches!(store.claim(1).await, Err(Error::Unavailable { .. })));
        assert!(matches!(store.close().await, Err(Error::Unavailable { .. })));
        Store::open_embedded(folder.path()).await.unwrap();
    }

    #[tokio::test]
    async fn an_unusable_folder_is_named() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let inside = file.path().join("data");
        let refused = Store::open_embedded(&inside).await;
        assert!(matches!(refused, Err(Error::Folder { path, .. }) if path == inside));
    }

    #[tokio::test]
    async fn another_format_is_refused_with_its_number() {
        let folder = tempfile::tempdir().unwrap();
        Store::open_embedded(folder.path()).await.unwrap().close().await.unwrap();
        for (content, expected) in [("3\n", "newer version"), ("0\n", "format 0"), ("x", "no number")] {
            fs::write(folder.path().join("FORMAT"), content).unwrap();
            let Err(Error::Folder { source, .. }) = Store::open_embedded(folder.path()).await else {
                panic!("{content:?} was taken");
            };
            assert!(source.to_string().contains(expected), "{source}");
        }
    }
}
