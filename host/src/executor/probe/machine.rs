//! What the kernel offers and what an administrator has switched off: read, not tried. Explains why a
//! trial failed.

#![expect(unsafe_code, reason = "asking for the Landlock ABI and for seccomp's actions has no wrapper")]

use std::fs;

use nix::errno::Errno;
use serde::Serialize;

/// `LANDLOCK_CREATE_RULESET_VERSION`, landlock_create_ruleset(2).
const CREATE_RULESET_VERSION: u32 = 1;
/// The oldest kernel with all that a sandbox needs: Landlock.
const OLDEST_KERNEL: (u32, u32) = (5, 13);

/// What is known of the machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Machine {
    /// The kernel's release, as `uname -r` prints it.
    pub kernel: String,
    /// Whether it is one that can hold every layer of the default floor.
    pub kernel_is_new_enough: bool,
    /// The effective user.
    pub user: u32,
    /// Switches on user namespaces.
    pub user_namespaces: UserNamespaces,
    /// The version of Landlock's interface; absent where there is none.
    pub landlock_abi: Option<u32>,
    /// Why there is no Landlock.
    pub landlock_missing: Option<String>,
    /// Whether seccomp can notify a supervisor.
    pub seccomp_notification: bool,
}

/// The kernel's switches on user namespaces; absent where it has no such switch.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct UserNamespaces {
    /// `user.max_user_namespaces`: how many there may be.
    pub max_user_namespaces: Option<u64>,
    /// `kernel.unprivileged_userns_clone`, of Debian and others: 0 keeps ordinary users from them.
    pub unprivileged_userns_clone: Option<u64>,
    /// `kernel.apparmor_restrict_unprivileged_userns`, of Ubuntu: 1 leaves ordinary users without rights in them.
    pub apparmor_restrict_unprivileged_userns: Option<u64>,
}

impl Machine {
    /// Looks at this machine.
    pub fn read() -> Self {
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default().trim().to_owned();
        let landlock = landlock_abi();
        Self {
            kernel_is_new_enough: version(&kernel).is_some_and(|version| version >= OLDEST_KERNEL),
            kernel,
            user: nix::unistd::geteuid().as_raw(),
            user_namespaces: UserNamespaces {
                max_user_namespaces: switch("user/max_user_namespaces"),
                unprivileged_userns_clone: switch("kernel/unprivileged_userns_clone"),
                apparmor_restrict_unprivileged_userns: switch("kernel/apparmor_restrict_unprivileged_userns"),
            },
            landlock_abi: landlock.ok(),
            landlock_missing: landlock.err().map(|errno| why_no_landlock(errno).to_owned()),
            seccomp_notification: has_notification(),
        }
    }
}

fn switch(name: &str) -> Option<u64> {
    fs::read_to_string(format!("/proc/sys/{name}")).ok()?.trim().parse().ok()
}

/// Major and minor number of a release like `6.1.0-18-amd64`.
fn version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

fn why_no_landlock(errno: Errno) -> &'static str {
    match errno {
        Errno::ENOSYS => "the kernel was built without it, or a system call filter around this process hides it",
        Errno::EOPNOTSUPP => "it is in the kernel but not switched on at boot",
        _ => errno.desc(),
    }
}

fn landlock_abi() -> nix::Result<u32> {
    let nothing = std::ptr::null::<u8>();
    // SAFETY: with this flag the call reads no memory.
    let version = unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, nothing, 0, CREATE_RULESET_VERSION) };
    Errno::result(version).map(|version| u32::try_from(version).unwrap_or(0))
}

fn has_notification() -> bool {
    let action = libc::SECCOMP_RET_USER_NOTIF;
    // SAFETY: the call reads one word, which lives through it.
    let answer = unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_GET_ACTION_AVAIL, 0, &raw const action) };
    answer == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_are_compared_by_number() {
        assert_eq!(version("6.1.0-18-amd64"), Some((6, 1)));
        assert_eq!(version("5.13.0"), Some((5, 13)));
        assert_eq!(version("6.18.44-fc-v669"), Some((6, 18)));
        assert!(version("5.4.0").unwrap() < OLDEST_KERNEL && version("10.0").unwrap() > OLDEST_KERNEL);
        for wrong in ["", "linux", "6"] {
            assert_eq!(version(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn this_machine_has_a_kernel_and_either_landlock_or_a_reason() {
        let machine = Machine::read();
        assert!(version(&machine.kernel).is_some(), "{}", machine.kernel);
        assert_ne!(machine.landlock_abi.is_some(), machine.landlock_missing.is_some());
    }
}
