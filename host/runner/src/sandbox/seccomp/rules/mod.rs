//! The rules, as data: one line a system call, with what it is for.
//!
//! `plain` is what every function may do, `set_up` what only zygote and a child's own set-up need,
//! `refused` what fails with an error that programs expect, `grants` what a function gets that was
//! granted more. What stands in no list is told to init, which kills: it ends as `PolicyViolation`.

mod grants;
mod plain;
mod refused;
mod set_up;

use bulkhead_protocol::limits::Grants;

#[cfg(test)]
use super::arch::Call;
use super::filter::{Action, Entry, Rule};

pub(crate) use set_up::CHILD_FORK;

const ALLOW: Rule<'static> = Rule::Always(Action::Allow);
const EPERM: Rule<'static> = Rule::Always(Action::Errno(libc::EPERM));
const ENOSYS: Rule<'static> = Rule::Always(Action::Errno(libc::ENOSYS));

/// An argument that the kernel takes as an `int`: the upper half does not count.
const INT: u64 = u32::MAX as u64;

/// What a filter depends on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Policy {
    /// What the function was granted.
    pub(super) grants: Grants,
    /// Whether a cgroup counts memory.
    pub(super) memory_cgroup: bool,
    /// Whether Landlock keeps a child's signals within the child's own processes.
    pub(super) scoped_signals: bool,
}

/// The rules that hold from before the plugin is loaded; the first one of a call counts.
pub(super) fn package(policy: Policy) -> Vec<Entry<'static>> {
    let Policy { grants: Grants { network, processes, jit: _ }, memory_cgroup, .. } = policy;
    let chosen = [
        (network, grants::NETWORK),
        (processes, grants::PROCESSES_IN_PACKAGE),
        (!memory_cgroup, plain::WITHOUT_MEMORY_CGROUP),
        (true, set_up::PACKAGE),
        (true, plain::PLAIN),
        (true, refused::REFUSED),
    ];
    chosen.into_iter().filter(|(holds, _)| *holds).flat_map(|(_, rules)| rules).copied().collect()
}

/// The rules that hold in a child on top of the package's, which they take from; what they do not name
/// stays as it is. `own_pid` is the child's, alone.
pub(super) fn child(policy: Policy, own_pid: &[u64; 1]) -> Vec<Entry<'_>> {
    let Policy { grants: Grants { network, processes, jit }, scoped_signals, .. } = policy;
    let chosen = [
        (network, grants::NETWORK_IN_CHILD),
        (processes, grants::PROCESSES_IN_CHILD),
        (!jit, plain::NO_NEW_CODE),
        (true, set_up::TAKEN_FROM_CHILD),
    ];
    let mut rules: Vec<Entry<'_>> = Vec::new();
    if !(processes && scoped_signals) {
        rules.extend(plain::signals_to_only(own_pid));
    }
    rules.extend(chosen.into_iter().filter(|(holds, _)| *holds).flat_map(|(_, rules)| rules));
    rules
}

/// The rules that stand in every package filter and are no part of the set-up.
#[cfg(test)]
pub(super) fn for_all() -> impl Iterator<Item = &'static Entry<'static>> {
    plain::PLAIN.iter().chain(refused::REFUSED)
}

/// Whether some arguments get a call through these rules.
#[cfg(test)]
pub(super) fn allows(rule: Rule<'_>) -> bool {
    match rule {
        Rule::Always(action) => action == Action::Allow,
        Rule::OneOf { values, .. } => !values.is_empty(),
        Rule::Pairs { pairs, .. } => !pairs.is_empty(),
    }
}

/// The first rule of a call, by its number's owner.
#[cfg(test)]
pub(super) fn find<'a>(entries: &[Entry<'a>], call: impl Fn(Call) -> bool) -> Option<Rule<'a>> {
    entries.iter().find(|(candidate, _)| call(*candidate)).map(|(_, rule)| *rule)
}
