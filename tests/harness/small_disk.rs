//! Disks that are full.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::command::run_within;
use super::deadline::SHORT;

/// A file system of a few pages over a folder, until dropped. Only root can mount one.
pub struct SmallDisk(PathBuf);

impl SmallDisk {
    /// Mounts one over `folder`, which hides what is there.
    ///
    /// # Panics
    /// When it cannot be mounted.
    #[track_caller]
    pub fn mount(folder: &Path) -> Self {
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=64k", "tmpfs"]).arg(folder);
        run_within(mount, b"", SHORT).expect(0);
        Self(folder.to_owned())
    }

    /// Makes room.
    #[track_caller]
    pub fn grow(&self) {
        let mut mount = Command::new("mount");
        mount.args(["-o", "remount,size=256m"]).arg(&self.0);
        run_within(mount, b"", SHORT).expect(0);
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let mut unmount = Command::new("umount");
        // Somebody may still have files open there.
        unmount.arg("--lazy").arg(&self.0);
        run_within(unmount, b"", SHORT);
    }
}
