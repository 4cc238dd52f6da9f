//! Emptying a slot's folder of what an earlier call left there. That call chose names, depths and
//! modes; whatever it chose must not keep the next one from starting.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::AT_FDCWD;
use nix::sys::stat::{UtimensatFlags, utimensat};
use nix::sys::statvfs::statvfs;
use nix::sys::time::TimeSpec;

/// Mode of the folder itself, as it was mounted.
const MODE: u32 = 0o700;

/// Empties the folder, which is a tmpfs of its own, and undoes what can be done to the folder itself.
pub(crate) fn clean(folder: &str) -> nix::Result<()> {
    let errno = |error: io::Error| Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO));
    fs::set_permissions(folder, fs::Permissions::from_mode(MODE)).map_err(errno)?;
    let usage = statvfs(folder)?;
    // The folder itself is the one file of an empty tmpfs.
    if usage.files() - usage.files_free() > 1 {
        empty(Path::new(folder)).map_err(errno)?;
    }
    // The times are all that is left to tell one call of another.
    utimensat(AT_FDCWD, folder, &TimeSpec::UTIME_NOW, &TimeSpec::UTIME_NOW, UtimensatFlags::FollowSymlink)
}

/// Removes everything in a folder. What is in a sub-folder is moved up instead of being descended
/// to, so that neither the length of a path nor the depth of the tree matters.
fn empty(top: &Path) -> io::Result<()> {
    // A name that is taken is left out, and there are no more of those than files.
    let mut moved = 0u64;
    loop {
        let mut entries = fs::read_dir(top)?.peekable();
        if entries.peek().is_none() {
            return Ok(());
        }
        for entry in entries {
            let path = entry?.path();
            if !is_folder(&path)? {
                fs::remove_file(&path)?;
                continue;
            }
            fs::set_permissions(&path, fs::Permissions::from_mode(MODE))?;
            for inner in fs::read_dir(&path)? {
                let inner = inner?.path();
                if is_folder(&inner)? {
                    // Moving a folder to another one writes to the folder itself.
                    fs::set_permissions(&inner, fs::Permissions::from_mode(MODE))?;
                    move_up(&inner, top, &mut moved)?;
                } else {
                    fs::remove_file(&inner)?;
                }
            }
            fs::remove_dir(&path)?;
        }
    }
}

fn is_folder(path: &Path) -> io::Result<bool> {
    Ok(fs::symlink_metadata(path)?.is_dir())
}

fn move_up(folder: &Path, top: &Path, moved: &mut u64) -> io::Result<()> {
    loop {
        let place: PathBuf = top.join(moved.to_string());
        *moved += 1;
        if fs::symlink_metadata(&place).is_err() {
            return fs::rename(folder, place);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A tree that is deeper than a path may be long, or a process may have files open.
    #[test]
    fn what_is_deep_closed_or_oddly_named_is_removed_all_the_same() {
        let top = std::env::temp_dir().join(format!("bulkhead-clean-{}", std::process::id()));
        fs::create_dir(&top).unwrap();
        let mut depth = nix::fcntl::open(&top, nix::fcntl::OFlag::O_PATH, nix::sys::stat::Mode::empty()).unwrap();
        let name = "d".repeat(200);
        for _ in 0..300 {
            nix::sys::stat::mkdirat(&depth, name.as_str(), nix::sys::stat::Mode::S_IRWXU).unwrap();
            let flags = nix::fcntl::OFlag::O_PATH;
            depth = nix::fcntl::openat(&depth, name.as_str(), flags, nix::sys::stat::Mode::empty()).unwrap();
        }
        fs::create_dir_all(top.join("0/1/2")).unwrap();
        fs::write(top.join("0/1/file"), "left over").unwrap();
        fs::write(top.join("1"), "in the way").unwrap();
        std::os::unix::fs::symlink("/", top.join("0/link")).unwrap();
        fs::set_permissions(top.join("0/1"), fs::Permissions::from_mode(0o000)).unwrap();
        empty(&top).unwrap();
        fs::remove_dir(&top).unwrap();
    }
}
