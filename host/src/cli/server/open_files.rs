//! The limit on open files.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Open files that a server wants to be allowed.
pub(in crate::cli) const OPEN_FILES: u64 = 65_536;

/// Raises the soft limit on open files: every connection and every running call takes some, and the
/// usual 1024 are fewer than the bounds allow. Runners set limits of their own.
pub(super) fn raise() {
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else { return };
    let wanted = hard.min(OPEN_FILES);
    if soft < wanted
        && let Err(error) = setrlimit(Resource::RLIMIT_NOFILE, wanted, hard)
    {
        tracing::warn!(soft, wanted, %error, "the limit on open files stays low");
    }
}
