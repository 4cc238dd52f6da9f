//! Packages unpacked on disk: the library that runners load, and the names of the system libraries
//! that it needs. A file is there whole or not at all.

use std::collections::HashMap;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bulkhead_protocol::id::PackageId;
use bulkhead_protocol::package::{self, unpack};
use bytes::Bytes;

use super::FetchPackage;
use crate::package::check_library;

/// System libraries that the runner itself has loaded, or that glibc has merged into libc.
const ALREADY_LOADED: [&str; 2] = ["libc.so.6", "ld-linux-x86-64.so.2"];

/// A library ready to be loaded.
#[derive(Clone, Debug)]
pub(super) struct Library {
    /// Its file.
    pub(super) path: PathBuf,
    /// System libraries to load before it.
    pub(super) preload: Vec<String>,
    /// Whether the runner's own probe stands in its place.
    pub(super) probe: bool,
}

/// Why a library is not there.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error("the package {package} is not in the store")]
    Unknown { package: PackageId },
    #[error("failed to fetch the package: {reason}")]
    Fetch { reason: String },
    #[error("the package cannot be unpacked")]
    Package(#[from] package::Error),
    #[error("the library is refused")]
    Refused(#[from] crate::package::check::Error),
    #[error("failed to write the library to {path}")]
    Write {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
}

/// The folder of unpacked libraries.
pub(super) struct LibraryCache {
    folder: PathBuf,
    packages: FetchPackage,
    /// Held by whoever unpacks a package, so that others who need it wait rather than do the same.
    unpacking: Mutex<HashMap<PackageId, Arc<tokio::sync::Mutex<()>>>>,
}

impl LibraryCache {
    /// Uses `folder`, making it when missing and emptying it: what is still needed comes back at its
    /// first use, and what was removed or refused since does not pile up.
    pub(super) fn open(folder: &Path, packages: FetchPackage) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "so" || extension == "needed") {
                fs::remove_file(path)?;
            }
        }
        Ok(Self { folder: fs::canonicalize(folder)?, packages, unpacking: Mutex::default() })
    }

    /// The library of a package, fetched and unpacked when it is not there.
    pub(super) async fn get(&self, package: PackageId) -> Result<Library, Error> {
        if let Some(library) = self.installed(package) {
            return Ok(library);
        }
        let turn = lock(&self.unpacking).entry(package).or_default().clone();
        let _turn = turn.lock().await;
        let library = match self.installed(package) {
            Some(library) => Ok(library),
            None => self.unpack(package).await,
        };
        lock(&self.unpacking).remove(&package);
        library
    }

    /// The library of a package, if it is there.
    fn installed(&self, package: PackageId) -> Option<Library> {
        let path = self.path(package);
        let needed = fs::read_to_string(path.with_extension("needed")).ok()?;
        Some(Library { path, preload: needed.lines().map(str::to_owned).collect(), probe: false })
    }

    async fn unpack(&self, package: PackageId) -> Result<Library, Error> {
        let path = self.path(package);
        let bytes = (self.packages)(package).await.map_err(|reason| Error::Fetch { reason })?;
        let bytes = bytes.ok_or(Error::Unknown { package })?;
        installed(move || install(&path, &unpack(&bytes)?.library)).await
    }

    /// Puts a library there that is not registered yet, to be looked at.
    pub(super) async fn put(&self, package: PackageId, library: Bytes) -> Result<Library, Error> {
        let path = self.path(package);
        installed(move || install(&path, &library)).await
    }

    /// Forgets a package that was looked at and refused.
    pub(super) fn remove(&self, package: PackageId) {
        let path = self.path(package);
        for file in [path.with_extension("needed"), path] {
            if let Err(error) = fs::remove_file(&file) {
                tracing::debug!(file = %file.display(), %error, "failed to remove a refused library");
            }
        }
    }

    fn path(&self, package: PackageId) -> PathBuf {
        self.folder.join(format!("{package}.so"))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing panics while it holds the lock.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Installs on a thread that may wait for the disk.
async fn installed(install: impl FnOnce() -> Result<Library, Error> + Send + 'static) -> Result<Library, Error> {
    let installed = tokio::task::spawn_blocking(install).await;
    installed.map_err(|panic| Error::Fetch { reason: panic.to_string() })?
}

fn install(path: &Path, library: &[u8]) -> Result<Library, Error> {
    let facts = check_library(library)?;
    let preload: Vec<String> =
        facts.needed.into_iter().filter(|name| !ALREADY_LOADED.contains(&name.as_str())).collect();
    let write =
        |to: &Path, bytes: &[u8]| write_whole(to, bytes).map_err(|source| Error::Write { path: to.to_owned(), source });
    write(path, library)?;
    // Second, because it is what says that the first is there.
    write(&path.with_extension("needed"), preload.join("\n").as_bytes())?;
    Ok(Library { path: path.to_owned(), preload, probe: false })
}

/// Writes a file that is never seen half-written, not even after a power loss. A sandbox maps it
/// from there, so an old file is replaced and never changed.
fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(bytes)?;
    let readable = std::os::unix::fs::PermissionsExt::from_mode(0o444);
    file.as_file().set_permissions(readable)?;
    file.as_file().sync_all()?;
    file.persist(path).map(drop).map_err(|error| error.error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_earlier_server_unpacked_is_gone_and_other_files_are_not() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["a.so", "a.needed", "notes.txt"] {
            fs::write(folder.path().join(name), "x").unwrap();
        }
        let nothing: FetchPackage = Arc::new(|_| Box::pin(async { Ok(None) }));
        LibraryCache::open(folder.path(), nothing).unwrap();
        let left: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, ["notes.txt"]);
    }
}
