//! A folder for unpacked libraries that no other process uses: an executor empties its folder when it
//! starts, and its runners map files from it.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use crate::first_free;

/// Most processes that share a data folder.
const MAX_PROCESSES: usize = 64;

/// A folder, this process's own until dropped.
#[derive(Debug)]
pub(super) struct CacheFolder {
    /// The folder; its user makes it.
    pub(super) path: PathBuf,
    /// Held locked.
    _lock: File,
}

/// Why there is no folder.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    /// It cannot be made or locked.
    #[error("failed to use the data folder {path}")]
    Unusable {
        /// Which file or folder.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// More processes use the data folder than may share one.
    #[error("{MAX_PROCESSES} processes use the data folder {path} already; give this one another with --data")]
    Crowded {
        /// The data folder.
        path: PathBuf,
    },
}

impl CacheFolder {
    /// Takes the first folder below `data` that is free: `cache`, `cache-2`, and so on. A process that
    /// starts again gets the one that it had.
    pub(super) fn take(data: &Path) -> Result<Self, Error> {
        let unusable = |path: &Path, source| Error::Unusable { path: path.to_owned(), source };
        fs::create_dir_all(data).map_err(|source| unusable(data, source))?;
        let name = |number| if number == 1 { "cache".to_owned() } else { format!("cache-{number}") };
        let taken = first_free::take(1..=MAX_PROCESSES, |number| data.join(format!("{}.lock", name(number))));
        match taken.map_err(|(path, source)| unusable(&path, source))? {
            Some((number, lock)) => Ok(Self { path: data.join(name(number)), _lock: lock }),
            None => Err(Error::Crowded { path: data.to_owned() }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_process_has_a_folder_of_its_own_and_gets_it_back() {
        let data = tempfile::tempdir().unwrap();
        let first = CacheFolder::take(data.path()).unwrap();
        let second = CacheFolder::take(data.path()).unwrap();
        assert_eq!((&first.path, &second.path), (&data.path().join("cache"), &data.path().join("cache-2")));
        drop(first);
        assert_eq!(CacheFolder::take(data.path()).unwrap().path, data.path().join("cache"));
    }

    #[test]
    fn there_is_a_bound() {
        let data = tempfile::tempdir().unwrap();
        let all: Vec<_> = (0..MAX_PROCESSES).map(|_| CacheFolder::take(data.path()).unwrap()).collect();
        assert!(matches!(CacheFolder::take(data.path()), Err(Error::Crowded { .. })));
        drop(all);
    }
}
