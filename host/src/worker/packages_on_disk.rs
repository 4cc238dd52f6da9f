//! Packages as files, bounded in size by removing what was not used for longest. Nothing in the folder
//! is believed: a file is a package only if its digest is its name. So files need no sync, and any
//! number of processes may share the folder.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::SystemTime;

use bulkhead_protocol::id::PackageId;
use bulkhead_protocol::limits::MAX_PACKAGE_BYTES;
use bulkhead_protocol::package::id_of;
use bytes::Bytes;

use crate::full_disk::is_full;

/// How the names of packages end.
const EXTENSION: &str = "bhpkg";

/// The folder of packages. All of its functions wait for the disk.
pub(super) struct PackagesOnDisk {
    /// The folder.
    folder: PathBuf,
    /// Where packages are written before they get their name; nobody else's.
    temporary: PathBuf,
    /// Bytes that all of them may have together.
    max_bytes: u64,
    /// Whether the log has the last failure to write already.
    is_warned: AtomicBool,
}

/// A package that is there.
struct Kept {
    path: PathBuf,
    bytes: u64,
    used: SystemTime,
}

impl PackagesOnDisk {
    /// Uses `folder`, removing what is over the bound.
    pub(super) fn open(folder: PathBuf, temporary: PathBuf, max_bytes: u64) -> Self {
        let packages = Self { folder, temporary, max_bytes, is_warned: AtomicBool::new(false) };
        packages.make_room(0);
        packages
    }

    /// A package, if it is there whole.
    pub(super) fn read(&self, package: PackageId) -> Option<Bytes> {
        let path = self.path(package);
        let bytes = match read_bounded(&path) {
            Ok(Some(bytes)) if id_of(&bytes) == package => bytes,
            Ok(_) => {
                tracing::warn!(file = %path.display(), "a kept package is damaged; it is fetched again");
                remove(&path);
                return None;
            }
            Err(error) if error.kind() == ErrorKind::NotFound => return None,
            Err(error) => {
                tracing::warn!(file = %path.display(), %error, "a kept package cannot be read; it is fetched again");
                return None;
            }
        };
        // The time of its last use, for whoever needs room. Best effort: where it cannot be set, it goes
        // earlier than it should.
        let _ = File::options().write(true).open(&path).and_then(|file| file.set_modified(SystemTime::now()));
        Some(bytes.into())
    }

    /// Keeps a package if that is possible. A disk that is full, or cannot be written, costs a fetch
    /// later and nothing else.
    pub(super) fn keep(&self, package: PackageId, bytes: &[u8]) {
        let size = bytes.len() as u64;
        if size > self.max_bytes {
            tracing::debug!(%package, size, "a package is larger than the cache");
            return;
        }
        self.make_room(size);
        let mut kept = self.write(package, bytes);
        // The disk may be smaller than the bound, or full of other things.
        while matches!(&kept, Err(error) if is_full(error)) && self.remove_oldest() {
            kept = self.write(package, bytes);
        }
        match kept {
            Ok(()) => self.is_warned.store(false, Ordering::Relaxed),
            Err(error) if !self.is_warned.swap(true, Ordering::Relaxed) => tracing::warn!(
                folder = %self.folder.display(), %error,
                "packages cannot be kept on disk; they are used from memory and fetched again when needed"
            ),
            Err(_) => {}
        }
    }

    fn write(&self, package: PackageId, bytes: &[u8]) -> io::Result<()> {
        let mut file = tempfile::NamedTempFile::new_in(&self.temporary)?;
        file.write_all(bytes)?;
        file.persist(self.path(package)).map(drop).map_err(|error| error.error)
    }

    /// Removes packages, those first that were not used for longest, until there is room for `more`
    /// bytes within the bound.
    fn make_room(&self, more: u64) {
        let mut kept = self.list();
        let mut bytes: u64 = kept.iter().map(|kept| kept.bytes).sum();
        while bytes.saturating_add(more) > self.max_bytes
            && let Some(oldest) = kept.pop()
        {
            remove(&oldest.path);
            bytes -= oldest.bytes;
        }
    }

    /// Removes the package that was not used for longest; says whether there was one.
    pub(super) fn remove_oldest(&self) -> bool {
        self.list().pop().is_some_and(|oldest| remove(&oldest.path))
    }

    /// What is there, the one that was not used for longest at the end.
    fn list(&self) -> Vec<Kept> {
        let entries = match fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            Err(error) => {
                tracing::warn!(folder = %self.folder.display(), %error, "the kept packages cannot be listed");
                return Vec::new();
            }
        };
        let kept = entries.flatten().filter_map(|entry| {
            let path = entry.path();
            // Gone meanwhile by the hand of another process, or not ours.
            let metadata = entry.metadata().ok().filter(fs::Metadata::is_file)?;
            path.extension().is_some_and(|extension| extension == EXTENSION).then_some(())?;
            Some(Kept { path, bytes: metadata.len(), used: metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH) })
        });
        let mut kept: Vec<Kept> = kept.collect();
        kept.sort_by(|one, other| other.used.cmp(&one.used).then_with(|| one.path.cmp(&other.path)));
        kept
    }

    fn path(&self, package: PackageId) -> PathBuf {
        self.folder.join(format!("{package}.{EXTENSION}"))
    }
}

/// The bytes of a file; none if they are more than a package can have.
fn read_bounded(path: &Path) -> io::Result<Option<Vec<u8>>> {
    let file = File::open(path)?;
    let size = file.metadata()?.len();
    if size > MAX_PACKAGE_BYTES {
        return Ok(None);
    }
    let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or(0));
    file.take(MAX_PACKAGE_BYTES).read_to_end(&mut bytes)?;
    Ok(Some(bytes))
}

/// Whether it is gone.
fn remove(path: &Path) -> bool {
    match fs::remove_file(path) {
        Ok(()) => true,
        Err(error) if error.kind() == ErrorKind::NotFound => true,
        Err(error) => {
            tracing::warn!(file = %path.display(), %error, "a kept package cannot be removed");
            false
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    struct Folder {
        root: tempfile::TempDir,
    }

    impl Folder {
        fn new() -> Self {
            let root = tempfile::tempdir().unwrap();
            for name in ["packages", "temporary"] {
                fs::create_dir(root.path().join(name)).unwrap();
            }
            Self { root }
        }

        fn open(&self, max_bytes: u64) -> PackagesOnDisk {
            PackagesOnDisk::open(self.root.path().join("packages"), self.root.path().join("temporary"), max_bytes)
        }
    }

    /// Keeps `bytes`, last used `age` ago.
    fn keep(packages: &PackagesOnDisk, bytes: &[u8], age: u64) -> PackageId {
        let id = id_of(bytes);
        packages.keep(id, bytes);
        if let Ok(file) = File::options().write(true).open(packages.path(id)) {
            file.set_modified(SystemTime::now() - Duration::from_secs(age)).unwrap();
        }
        id
    }

    #[test]
    fn a_package_is_read_as_it_was_kept() {
        let folder = Folder::new();
        let packages = folder.open(100);
        let id = keep(&packages, b"package", 0);
        assert_eq!(packages.read(id).unwrap(), &b"package"[..]);
        assert_eq!(folder.open(100).read(id).unwrap(), &b"package"[..]);
        assert!(packages.read(PackageId([0; 32])).is_none());
        assert_eq!(fs::read_dir(&packages.temporary).unwrap().count(), 0);
    }

    #[test]
    fn a_damaged_package_is_removed() {
        let packages = Folder::new();
        let packages = packages.open(100);
        for damaged in [&b"packagE"[..], b"pack", b"", b"package and more"] {
            let id = keep(&packages, b"package", 0);
            fs::write(packages.path(id), damaged).unwrap();
            assert!(packages.read(id).is_none(), "{damaged:?}");
            assert!(!packages.path(id).exists());
        }
    }

    #[test]
    fn what_was_not_used_for_longest_gives_way() {
        let folder = Folder::new();
        let packages = folder.open(30);
        let [a, b, c] = [(b"aaaaaaaaaa", 3), (b"bbbbbbbbbb", 2), (b"cccccccccc", 1)]
            .map(|(bytes, age)| keep(&packages, bytes, age));
        // A use counts.
        assert!(packages.read(a).is_some());
        let d = keep(&packages, b"dddddddddd", 0);
        let there = [a, b, c, d].map(|id| packages.path(id).exists());
        assert_eq!(there, [true, false, true, true]);
        // A smaller bound at the next start.
        let packages = folder.open(10);
        assert_eq!(packages.list().len(), 1);
    }

    #[test]
    fn the_bound_holds_for_one_package_as_well() {
        let folder = Folder::new();
        let packages = folder.open(10);
        let small = keep(&packages, b"0123456789", 5);
        let large = keep(&packages, b"0123456789+", 0);
        assert!(packages.path(small).exists() && !packages.path(large).exists());
    }

    #[test]
    fn files_that_are_no_packages_are_left_alone() {
        let folder = Folder::new();
        let packages = folder.open(10);
        let notes = packages.folder.join("notes.txt");
        fs::write(&notes, "much more than ten bytes").unwrap();
        keep(&packages, b"0123456789", 0);
        assert!(notes.exists() && packages.list().len() == 1);
    }

    #[test]
    fn a_folder_that_cannot_be_written_costs_nothing_but_the_file() {
        let folder = Folder::new();
        let packages = folder.open(100);
        fs::remove_dir(&packages.temporary).unwrap();
        let id = keep(&packages, b"package", 0);
        assert!(packages.read(id).is_none() && packages.is_warned.load(Ordering::Relaxed));
        fs::create_dir(&packages.temporary).unwrap();
        keep(&packages, b"package", 0);
        assert!(packages.read(id).is_some() && !packages.is_warned.load(Ordering::Relaxed));
    }
}
