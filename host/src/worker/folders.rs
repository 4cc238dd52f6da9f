//! The folder of the workers of a machine.
//!
//! | name | what |
//! | --- | --- |
//! | `packages/DIGEST.bhpkg` | packages, shared by all workers that use the folder |
//! | `process-N.lock` | locked by the worker that uses `process-N`; never removed |
//! | `process-N/libraries` | its executor's unpacked libraries |
//! | `process-N/temporary` | packages that it is writing |
//!
//! Packages are whole or not there, and verified whenever they are read, so sharing them takes no
//! lock. Unpacked libraries are mapped by runners and emptied at each start, so each process has its
//! own: the first `process-N` that nobody has locked. A worker that starts anew gets its old one.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use crate::first_free;

/// Most workers that share a folder.
const MAX_PROCESSES: usize = 256;

/// The folders of one worker, its own until dropped.
#[derive(Debug)]
pub(super) struct Folders {
    /// Packages, shared.
    pub(super) packages: PathBuf,
    /// For half-written packages; on the same file system.
    pub(super) temporary: PathBuf,
    /// For the executor.
    pub(super) libraries: PathBuf,
    /// Held locked.
    _lock: File,
}

/// Why a worker has no folder.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It cannot be made, read or locked.
    #[error("failed to use the folder {path}")]
    Unusable {
        /// Which.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// More workers use it than may share one.
    #[error("{MAX_PROCESSES} workers use the folder {path} already; give this one another with --data")]
    Crowded {
        /// Which.
        path: PathBuf,
    },
}

impl Folders {
    /// Makes the folders below `data`, takes the first set that is free, and empties what an earlier
    /// process left half-written. Sets that nobody uses any more are removed.
    ///
    /// # Errors
    /// See [`Error`].
    pub(super) fn claim(data: &Path) -> Result<Self, Error> {
        let unusable = |path: &Path| {
            let path = path.to_owned();
            move |source| Error::Unusable { path, source }
        };
        let packages = data.join("packages");
        fs::create_dir_all(&packages).map_err(unusable(&packages))?;
        let taken = first_free::take(0..MAX_PROCESSES, |number| lock_file(data, number));
        let taken = taken.map_err(|(path, source)| Error::Unusable { path, source })?;
        let (number, lock) = taken.ok_or_else(|| Error::Crowded { path: data.to_owned() })?;
        let own = process_folder(data, number);
        let temporary = own.join("temporary");
        match fs::remove_dir_all(&temporary) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(unusable(&temporary)(error)),
            _ => {}
        }
        fs::create_dir_all(&temporary).map_err(unusable(&temporary))?;
        remove_unused(data, number);
        Ok(Self { packages, temporary, libraries: own.join("libraries"), _lock: lock })
    }
}

fn process_folder(data: &Path, number: usize) -> PathBuf {
    data.join(format!("process-{number}"))
}

fn lock_file(data: &Path, number: usize) -> PathBuf {
    data.join(format!("process-{number}.lock"))
}

/// Removes the folders of workers that are gone, so that libraries of a time with more workers do not
/// stay for ever. Each is locked meanwhile, so that no worker that starts takes it; one that cannot be
/// removed is left for the next start.
fn remove_unused(data: &Path, own: usize) {
    for number in (0..MAX_PROCESSES).filter(|number| *number != own) {
        let folder = process_folder(data, number);
        if !folder.exists() {
            continue;
        }
        let Ok(lock) = File::options().write(true).open(lock_file(data, number)) else { continue };
        if lock.try_lock().is_ok()
            && let Err(error) = fs::remove_dir_all(&folder)
        {
            tracing::debug!(folder = %folder.display(), %error, "the folder of an earlier worker stays");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_process_has_its_own_set_and_all_share_the_packages() {
        let data = tempfile::tempdir().unwrap();
        let first = Folders::claim(data.path()).unwrap();
        let second = Folders::claim(data.path()).unwrap();
        assert_eq!(first.packages, second.packages);
        assert_ne!(first.libraries, second.libraries);
        assert_ne!(first.temporary, second.temporary);
        let freed = first.libraries.clone();
        drop(first);
        assert_eq!(Folders::claim(data.path()).unwrap().libraries, freed);
    }

    #[test]
    fn what_was_left_half_written_is_swept_and_so_are_sets_of_the_past() {
        let data = tempfile::tempdir().unwrap();
        let (first, second) = (Folders::claim(data.path()).unwrap(), Folders::claim(data.path()).unwrap());
        fs::write(first.temporary.join("half"), "x").unwrap();
        fs::create_dir_all(&second.libraries).unwrap();
        let of_second = second.libraries.clone();
        drop((first, second));
        let again = Folders::claim(data.path()).unwrap();
        assert_eq!(fs::read_dir(&again.temporary).unwrap().count(), 0);
        assert!(!of_second.exists());
    }

    #[test]
    fn a_set_in_use_is_not_swept() {
        let data = tempfile::tempdir().unwrap();
        let first = Folders::claim(data.path()).unwrap();
        let second = Folders::claim(data.path()).unwrap();
        fs::write(second.temporary.join("half"), "x").unwrap();
        drop(first);
        let _again = Folders::claim(data.path()).unwrap();
        assert!(second.temporary.join("half").exists());
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_named() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let error = Folders::claim(&file.path().join("below")).unwrap_err();
        assert!(error.to_string().contains(file.path().to_str().unwrap()), "{error}");
    }
}
