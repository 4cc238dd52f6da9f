//! Looks at a runner from outside: whatever the runner says of itself, the kernel's own record of
//! the process that will hold the plugin must show that it is confined.

use std::fs;

use super::slot::StepError;
use nix::errno::Errno;

/// What `/proc/PID/status` of a zygote must say, proc(5): filters in force, no way to new
/// privileges, no capability.
const CONFINED: [(&str, &str); 3] = [("Seccomp:", "2"), ("NoNewPrivs:", "1"), ("CapEff:", "0000000000000000")];

/// Checks the zygote of the runner whose init has this pidfd.
///
/// # Errors
/// The fact that does not hold, or that could not be read.
pub(super) fn check_zygote(init: i32) -> Result<(), StepError> {
    let status = zygote_status(init)?;
    if is_confined(&status) { Ok(()) } else { Err(("confine a zygote, seen from outside", Errno::EPERM)) }
}

/// `/proc/PID/status` of the zygote of the runner whose init has this pidfd.
///
/// # Errors
/// What could not be read.
pub(super) fn zygote_status(init: i32) -> Result<String, StepError> {
    let unread = |_| ("read a runner's state from /proc", Errno::EIO);
    let info = fs::read_to_string(format!("/proc/self/fdinfo/{init}")).map_err(unread)?;
    let pid = info.lines().find_map(|line| line.strip_prefix("Pid:")).map(str::trim);
    let pid = pid.ok_or(("find a runner's pid", Errno::ESRCH))?;
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).map_err(unread)?;
    // So far init has one child.
    let zygote = children.split_whitespace().next().ok_or(("find a runner's zygote", Errno::ESRCH))?;
    fs::read_to_string(format!("/proc/{zygote}/status")).map_err(unread)
}

fn is_confined(status: &str) -> bool {
    CONFINED.iter().all(|(name, expected)| {
        status.lines().any(|line| line.strip_prefix(name).is_some_and(|value| value.trim() == *expected))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_missing_fact_is_enough_to_refuse() {
        let confined = "Name:\tx\nCapEff:\t0000000000000000\nNoNewPrivs:\t1\nSeccomp:\t2\nSeccomp_filters:\t1\n";
        assert!(is_confined(confined));
        for (from, to) in [("Seccomp:\t2", "Seccomp:\t0"), ("Privs:\t1", "Privs:\t0"), ("000\nNo", "020\nNo")] {
            assert!(!is_confined(&confined.replace(from, to)), "{to}");
        }
    }
}
