//! What only the zygote and a child's own set-up need. A child gives it up before its first call.

use super::super::arch::{Call, sys};
use super::super::filter::{Action, Entry, Rule};
use super::plain::THREAD;
use super::{ALLOW, ENOSYS, EPERM};

/// The flags with which the zygote forks a child.
pub(crate) const CHILD_FORK: u64 = (libc::CLONE_PARENT | libc::CLONE_PARENT_SETTID | libc::SIGCHLD) as u64;

/// Stands before the rules for every function.
#[rustfmt::skip]
pub(super) const PACKAGE: &[Entry<'static>] = &[
    (sys!(clone), Rule::OneOf { argument: 0, mask: u64::MAX, values: &[THREAD, CHILD_FORK], otherwise: Action::Errno(libc::EPERM) }), // threads, and the zygote's children
    (sys!(recvmsg), ALLOW), // the zygote's commands
    (sys!(sendmsg), ALLOW), // the zygote's reports
    (sys!(landlock_create_ruleset), ALLOW), // the fence around a slot's folder
    (sys!(landlock_add_rule), ALLOW), // the fence around a slot's folder
    (sys!(landlock_restrict_self), ALLOW), // the fence around a slot's folder
    (sys!(seccomp), ALLOW), // the child filter
    (sys!(setpgid), ALLOW), // a child's own process group
    (sys!(close_range), ALLOW), // the zygote's descriptors, in a child
    (sys!(statfs), ALLOW), // whether the slot's folder is empty
    (sys!(set_tid_address), ALLOW), // load-time code of C libraries
];

/// Stands in the child filter.
#[rustfmt::skip]
pub(super) const TAKEN_FROM_CHILD: &[Entry<'static>] = &[
    (sys!(clone), Rule::OneOf { argument: 0, mask: u64::MAX, values: &[THREAD], otherwise: Action::Errno(libc::EPERM) }), // threads only
    (sys!(prlimit64), Rule::OneOf { argument: 2, mask: u64::MAX, values: &[0], otherwise: Action::Errno(libc::EPERM) }), // reading only
    (sys!(recvmsg), ENOSYS),
    (sys!(sendmsg), ENOSYS),
    (sys!(landlock_create_ruleset), EPERM),
    (sys!(landlock_add_rule), EPERM),
    (sys!(landlock_restrict_self), EPERM),
    (sys!(seccomp), EPERM),
    (sys!(setpgid), EPERM),
    (sys!(close_range), ENOSYS),
    (sys!(statfs), ENOSYS),
    (sys!(set_tid_address), ENOSYS),
];
