//! Whether the hard limit on open files, which nobody can raise for this process or a sandbox, leaves room for one.

use nix::sys::resource::{Resource, getrlimit};

/// Open files of this process beside those of slots.
const OWN_FILES: u64 = 16;
/// Open files of this process for each slot of a runner: memory, two pipes, an eventfd, the keeper's socket, a pidfd, and up
/// to two cgroups.
const FILES_PER_SLOT: u64 = 8;

/// A hard limit on open files that sandboxes do not fit under. Nobody can raise it for them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the hard limit is {allowed}, a runner with {slots} slots needs {needed} (`ulimit -Hn`, or fewer slots)")]
pub struct TooFewOpenFiles {
    allowed: u64,
    needed: u64,
    slots: u32,
}

/// Checks that runners with so many slots can be allowed the open files that they need.
pub(super) fn check(slots: u32, open_files: u32) -> Result<(), TooFewOpenFiles> {
    // Where it cannot be read it is not checked: the runner says what fails.
    let Ok((_, allowed)) = getrlimit(Resource::RLIMIT_NOFILE) else { return Ok(()) };
    fits(allowed, slots, open_files)
}

fn fits(allowed: u64, slots: u32, open_files: u32) -> Result<(), TooFewOpenFiles> {
    let needed = needed(slots, open_files);
    if needed <= allowed { Ok(()) } else { Err(TooFewOpenFiles { allowed, needed, slots }) }
}

/// With the files of one function's children, which its runner must be allowed: more than that runner needs for itself.
fn needed(slots: u32, open_files: u32) -> u64 {
    OWN_FILES + u64::from(slots) * FILES_PER_SLOT + u64::from(open_files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hard_limit_below_at_and_above_what_is_needed() {
        let needed = needed(10, 64);
        assert_eq!(fits(needed, 10, 64), Ok(()));
        assert_eq!(fits(needed + 1, 10, 64), Ok(()));
        let shortage = fits(needed - 1, 10, 64).unwrap_err();
        assert_eq!(shortage, TooFewOpenFiles { allowed: needed - 1, needed, slots: 10 });
        assert!(shortage.to_string().contains(&format!("needs {needed}")));
    }
}
