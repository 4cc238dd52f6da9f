//! Programs of the system that tests need: installed when missing, never done without.

use std::fs::File;
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use super::command::run_within;
use super::deadline::LONG;
use super::layers::is_root;

/// Where a program is. Installs its Debian package where it is missing and the tests run as root.
///
/// # Panics
/// When it is missing and cannot be installed; the message names the package.
#[track_caller]
pub fn program(name: &str, package: &str) -> PathBuf {
    /// One installation at a time in this process; the lock of the file is for the others.
    static ONE: Mutex<()> = Mutex::new(());
    if let Some(found) = find(name) {
        return found;
    }
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    assert!(is_root(), "{name} is missing: install the package {package} (apt-get install {package})");
    let lock = File::create(std::env::temp_dir().join("bulkhead-test-install.lock")).expect("a file");
    lock.lock().expect("a lock");
    if let Some(found) = find(name) {
        return found;
    }
    for arguments in [&["update", "-qq"][..], &["install", "-y", "-qq", "--no-install-recommends", package]] {
        let mut apt = Command::new("apt-get");
        apt.args(arguments).env("DEBIAN_FRONTEND", "noninteractive");
        let ended = run_within(apt, b"", LONG);
        assert_eq!(ended.code, Some(0), "{name} is missing and {package} cannot be installed: {ended:#?}");
    }
    find(name).unwrap_or_else(|| panic!("{package} is installed, and yet there is no {name}"))
}

/// Looks where a shell would, and where programs for administrators are.
fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/sbin".into()]);
    folders.find_map(|folder| Some(folder.join(name)).filter(|file| file.is_file()))
}
