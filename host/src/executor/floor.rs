//! The least that the sandbox must hold on this machine, found out by doing: a sandbox is built
//! around a file that is no plugin. Everything but Landlock and cgroups is needed to build one at
//! all; without cgroups rlimits hold memory and threads.

#![expect(unsafe_code, reason = "the landlock calls have no wrappers")]

use std::path::Path;

use bulkhead_protocol::limits::Limits;
use bulkhead_protocol::outcome::Outcome;
use nix::errno::Errno;

use super::Error;
use super::library_cache::Library;
use super::runner::next_name;
use super::start::{Launcher, Purpose};

/// `LANDLOCK_CREATE_RULESET_VERSION`, landlock_create_ruleset(2).
const CREATE_RULESET_VERSION: u32 = 1;

/// Checks that sandboxes can be built and that none of the floor's layers is missing.
///
/// # Errors
/// [`Error::NoSandbox`] when none can be built, [`Error::WeakSandbox`] when a layer is missing and
/// that was not allowed.
pub(super) async fn check(launcher: &Launcher, allow_weaker: bool) -> Result<(), Error> {
    if !launcher.cgroups.has_memory() || !launcher.cgroups.has_pids() {
        tracing::info!(
            memory = launcher.cgroups.has_memory(),
            pids = launcher.cgroups.has_pids(),
            "no usable cgroup for a limit: rlimits take its place"
        );
    }
    if let Err(errno) = landlock_version() {
        let missing = format!("Landlock, which keeps calls out of each other's folders ({})", errno.desc());
        if !allow_weaker {
            return Err(Error::WeakSandbox { missing });
        }
        tracing::warn!(missing, "starting with a weaker sandbox, as allowed");
    }
    build_one(launcher).await
}

/// Builds a sandbox as far as loading, which must fail: the file is no library.
async fn build_one(launcher: &Launcher) -> Result<(), Error> {
    let library = Library { path: Path::new("/dev/null").to_owned(), preload: Vec::new() };
    let limits = Limits::default();
    let purpose = Purpose { library: &library, limits: &limits, reuse: false, slots: 1, name: &next_name() };
    match launcher.start(purpose).await {
        Err(Outcome::SetupFailed { step, errno }) => {
            Err(Error::NoSandbox { step, source: std::io::Error::from_raw_os_error(errno) })
        }
        Err(_) => Ok(()),
        Ok(started) => {
            started.sandbox.end().await;
            Ok(())
        }
    }
}

fn landlock_version() -> nix::Result<i64> {
    let nothing = std::ptr::null::<u8>();
    // SAFETY: with this flag the call reads no memory.
    let version = unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, nothing, 0, CREATE_RULESET_VERSION) };
    Errno::result(version)
}
