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
use tempfile::TempPath;

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

/// A library that is not registered yet, in a file that nobody else knows of and that goes with it.
pub(super) struct Candidate {
    library: Library,
    file: TempPath,
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
        let (folder, path) = (self.folder.clone(), self.path(package));
        let bytes = (self.packages)(package).await.map_err(|reason| Error::Fetch { reason })?;
        let bytes = bytes.ok_or(Error::Unknown { package })?;
        written(move || Candidate::write(&folder, &unpack(&bytes)?.library)?.keep(path)).await
    }

    /// Writes a library to be looked at before anybody else can load it.
    pub(super) async fn propose(&self, library: Bytes) -> Result<Candidate, Error> {
        let folder = self.folder.clone();
        written(move || Candidate::write(&folder, &library)).await
    }

    /// Keeps a library that was looked at as that of a package.
    pub(super) async fn accept(&self, package: PackageId, candidate: Candidate) -> Result<(), Error> {
        let path = self.path(package);
        written(move || candidate.keep(path)).await.map(drop)
    }

    fn path(&self, package: PackageId) -> PathBuf {
        self.folder.join(format!("{package}.so"))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing panics while it holds the lock.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Writes on a thread that may wait for the disk.
async fn written<T: Send + 'static>(write: impl FnOnce() -> Result<T, Error> + Send + 'static) -> Result<T, Error> {
    let written = tokio::task::spawn_blocking(write).await;
    written.map_err(|panic| Error::Fetch { reason: panic.to_string() })?
}

impl Candidate {
    /// Checks a library and writes it.
    fn write(folder: &Path, library: &[u8]) -> Result<Self, Error> {
        let needed = check_library(library)?.needed;
        let preload = needed.into_iter().filter(|name| !ALREADY_LOADED.contains(&name.as_str())).collect();
        let file = write(folder, "so", library)?;
        Ok(Self { library: Library { path: file.to_path_buf(), preload, probe: false }, file })
    }

    /// The library, as long as this value lives.
    pub(super) fn library(&self) -> &Library {
        &self.library
    }

    fn keep(self, path: PathBuf) -> Result<Library, Error> {
        let Self { library: Library { preload, .. }, file } = self;
        let folder = path.parent().unwrap_or(Path::new("."));
        let needed = write(folder, "needed", preload.join("\n").as_bytes())?;
        rename(file, &path)?;
        // Second, because it is what says that the first is there.
        rename(needed, &path.with_extension("needed"))?;
        Ok(Library { path, preload, probe: false })
    }
}

/// Writes a file that is whole even after a power loss and is removed unless it is renamed. The extension is one that
/// the cache removes when it is opened.
fn write(folder: &Path, extension: &str, bytes: &[u8]) -> Result<TempPath, Error> {
    let write = || {
        let mut file = tempfile::Builder::new().suffix(&format!(".{extension}")).tempfile_in(folder)?;
        file.write_all(bytes)?;
        let readable = std::os::unix::fs::PermissionsExt::from_mode(0o444);
        file.as_file().set_permissions(readable)?;
        file.as_file().sync_all()?;
        Ok(file.into_temp_path())
    };
    write().map_err(|source| Error::Write { path: folder.to_owned(), source })
}

/// Gives a file its name. A sandbox maps it from there, so an old file is replaced and never changed.
fn rename(file: TempPath, path: &Path) -> Result<(), Error> {
    file.persist(path).map_err(|error| Error::Write { path: path.to_owned(), source: error.error })
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
