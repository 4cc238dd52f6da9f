//! What to do about a layer that is missing.

use super::machine::Machine;
use super::report::LayerName;
use crate::executor::cgroup::Missing;

/// The layer that a step of the runner's set-up belongs to, by words of the step.
pub(super) fn layer_of_step(step: &str) -> LayerName {
    const WORDS: &[(&str, LayerName)] = &[
        ("system call filter", LayerName::SystemCalls),
        ("supervisor", LayerName::SystemCalls),
        ("Landlock", LayerName::Child),
        ("cgroup", LayerName::Limits),
        ("resource limit", LayerName::Limits),
        ("capabilit", LayerName::Privileges),
        ("no_new_privs", LayerName::Privileges),
        ("undumpable", LayerName::Privileges),
        ("file descriptors", LayerName::Privileges),
        ("confine", LayerName::Privileges),
        ("user map", LayerName::Ids),
        ("group map", LayerName::Ids),
        ("setgroups", LayerName::Ids),
        ("groups", LayerName::Ids),
        ("free ids", LayerName::Ids),
        ("set the user", LayerName::Ids),
        ("set the group", LayerName::Ids),
        ("mount", LayerName::Files),
        ("root", LayerName::Files),
        ("folder", LayerName::Files),
        ("device", LayerName::Files),
        ("the plugin", LayerName::Files),
    ];
    let found = WORDS.iter().find(|(word, _)| step.contains(word));
    found.map_or(LayerName::Namespaces, |(_, layer)| *layer)
}

/// What to do when no sandbox could be built because of this step.
pub(super) fn for_step(step: &str, errno: i32, machine: &Machine) -> String {
    let switches = &machine.user_namespaces;
    match layer_of_step(step) {
        _ if step.contains("execute the runner") => {
            "make sure that this user may execute bulkhead-runner, and that its folder is not mounted noexec".to_owned()
        }
        LayerName::Namespaces | LayerName::Ids | LayerName::Files
            if switches.apparmor_restrict_unprivileged_userns == Some(1) && machine.user != 0 =>
        {
            "AppArmor leaves ordinary users without rights in user namespaces: sysctl \
             kernel.apparmor_restrict_unprivileged_userns=0, or give bulkhead-runner a profile with `userns,`"
                .to_owned()
        }
        LayerName::Namespaces if switches.max_user_namespaces == Some(0) => {
            "user namespaces are switched off: sysctl user.max_user_namespaces=15000".to_owned()
        }
        LayerName::Namespaces if switches.unprivileged_userns_clone == Some(0) && machine.user != 0 => {
            "ordinary users may make no user namespaces: sysctl kernel.unprivileged_userns_clone=1, or run as root"
                .to_owned()
        }
        LayerName::Namespaces if errno == libc::ENOSPC => {
            "there are too many namespaces: raise the sysctls user.max_*_namespaces, in this namespace and those \
             around it"
                .to_owned()
        }
        LayerName::Namespaces if errno == libc::EINVAL || errno == libc::ENOSYS => {
            "the kernel lacks a kind of namespace: use one with CONFIG_USER_NS, PID_NS, NET_NS, IPC_NS, UTS_NS and \
             CGROUPS"
                .to_owned()
        }
        LayerName::Namespaces if matches!(errno, libc::EPERM | libc::EACCES) => {
            "something around this process forbids new namespaces, as Docker's default seccomp profile does: allow \
             clone with namespace flags (docker run --security-opt seccomp=unconfined), or use a VM"
                .to_owned()
        }
        LayerName::Files if matches!(errno, libc::EPERM | libc::EACCES) => {
            "something around this process forbids mounts in its own namespaces, as a container's seccomp or \
             AppArmor profile does: run with --security-opt seccomp=unconfined --security-opt apparmor=unconfined, or \
             in a VM"
                .to_owned()
        }
        LayerName::Files if errno == libc::ENOSYS => "use a kernel from 5.13 on".to_owned(),
        LayerName::SystemCalls => {
            "use a kernel with CONFIG_SECCOMP_FILTER, and a container profile that allows seccomp(2)".to_owned()
        }
        _ if !machine.kernel_is_new_enough => format!("use a kernel from 5.13 on: this is {}", machine.kernel),
        _ => "report this with the output of `bulkhead doctor --json`".to_owned(),
    }
}

/// What to do when there is no Landlock.
pub(super) fn for_landlock() -> String {
    "use a kernel from 5.13 on with CONFIG_SECURITY_LANDLOCK, add landlock to the boot parameter lsm=, and in a \
     container allow the landlock_* system calls"
        .to_owned()
}

/// What to do about a controller that is not usable.
pub(super) fn for_cgroup(missing: &Missing) -> String {
    match missing {
        Missing::NotMounted | Missing::Hidden { .. } => {
            "mount it: mount -t cgroup2 none /sys/fs/cgroup; in a container, mount /sys/fs/cgroup into it".to_owned()
        }
        Missing::OutOfSight { .. } => {
            "start the server in a group that is below the mount, or give it a cgroup namespace of its own".to_owned()
        }
        Missing::ReadOnly { mount } => {
            format!("mount {} read-write; in a container that takes --privileged or a private mount", mount.display())
        }
        Missing::NotOffered { .. } | Missing::Occupied { .. } => {
            "delegate a group to the server alone: Delegate=yes in its systemd unit, or `systemd-run --user --scope -p \
             Delegate=yes bulkhead up`"
                .to_owned()
        }
        Missing::Refused { errno: nix::errno::Errno::EACCES | nix::errno::Errno::EPERM, .. } => {
            "delegate a group to this user: Delegate=yes in the systemd unit, or chown the group's folder with its \
             cgroup.procs and cgroup.subtree_control"
                .to_owned()
        }
        Missing::Refused { path, .. } if path.ends_with("cgroup.kill") => {
            "use a kernel from 5.14 on; until then processes are killed one by one".to_owned()
        }
        Missing::Refused { .. } => "report this with the output of `bulkhead doctor --json`".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine() -> Machine {
        Machine { user: 1000, kernel: "6.1.0".to_owned(), kernel_is_new_enough: true, ..Machine::read() }
    }

    #[test]
    fn steps_of_the_runner_belong_to_their_layers() {
        for (step, layer) in [
            ("clone into new namespaces", LayerName::Namespaces),
            ("execute the runner", LayerName::Namespaces),
            ("write the user map", LayerName::Ids),
            ("drop supplementary groups", LayerName::Ids),
            ("mount the new root", LayerName::Files),
            ("make mounts private", LayerName::Files),
            ("detach the old root", LayerName::Files),
            ("give up capabilities", LayerName::Privileges),
            ("confine a zygote, seen from outside", LayerName::Privileges),
            ("put up the system call filter", LayerName::SystemCalls),
            ("restrict itself with Landlock", LayerName::Child),
            ("join the slot's cgroup", LayerName::Limits),
            ("set a resource limit", LayerName::Limits),
        ] {
            assert_eq!(layer_of_step(step), layer, "{step}");
        }
    }

    #[test]
    fn the_switch_that_is_off_is_named() {
        let clone = "clone into new namespaces";
        let mut machine = machine();
        machine.user_namespaces = Default::default();
        assert!(for_step(clone, libc::EPERM, &machine).contains("seccomp"));
        assert!(for_step(clone, libc::ENOSPC, &machine).contains("max_*_namespaces"));
        machine.user_namespaces.unprivileged_userns_clone = Some(0);
        assert!(for_step(clone, libc::EPERM, &machine).contains("unprivileged_userns_clone"));
        machine.user = 0;
        assert!(!for_step(clone, libc::EPERM, &machine).contains("unprivileged_userns_clone"));
        machine.user_namespaces.max_user_namespaces = Some(0);
        assert!(for_step(clone, libc::ENOSPC, &machine).contains("user.max_user_namespaces="));
        machine.user = 1000;
        machine.user_namespaces.apparmor_restrict_unprivileged_userns = Some(1);
        assert!(for_step("mount the new root", libc::EACCES, &machine).contains("AppArmor"));
    }
}
