//! Tests of the compiled filters against what the rules mean, on both architectures and for each policy.

use bulkhead_protocol::limits::Grants;

use super::arch::{Arch, Call};
use super::filter::{Action, Defaults, Entry, Rule, X32_BIT, compile};
use super::rules::{self, Policy};

/// Numbers beyond those of any architecture's table.
const HIGHEST: u32 = 600;
const ARCHES: [Arch; 2] = [Arch::X86_64, Arch::Aarch64];
/// The pid of the child whose filter is tested.
pub(super) const OWN_PID: [u64; 1] = [7];

/// A system call as a filter sees it.
#[derive(Clone, Copy, Debug)]
struct Data {
    number: u32,
    arch: u32,
    arguments: [u64; 6],
}

/// A filter as it is put up.
pub(super) struct Filter<'a> {
    pub(super) entries: Vec<Entry<'a>>,
    pub(super) defaults: Defaults,
}

/// Every policy that there is.
pub(super) fn policies() -> impl Iterator<Item = Policy> {
    (0..32u32).map(|bits| {
        let bit = |index: u32| bits & 1 << index != 0;
        let grants = Grants { network: bit(0), processes: bit(1), jit: bit(2) };
        Policy { grants, memory_cgroup: bit(3), scoped_signals: bit(4) }
    })
}

/// The filters of both stages.
pub(super) fn stages(policy: Policy, unlisted: Action) -> [Filter<'static>; 2] {
    let package = Defaults { unlisted, unknown: super::UNKNOWN };
    let child = Defaults { unlisted: Action::Allow, unknown: Action::Allow };
    [
        Filter { entries: rules::package(policy), defaults: package },
        Filter { entries: rules::child(policy, &OWN_PID), defaults: child },
    ]
}

/// What the rules mean, without BPF.
pub(super) fn decide(filter: &Filter<'_>, arch: Arch, number: u32, arguments: [u64; 6]) -> Action {
    if number >= X32_BIT {
        return Action::KillProcess;
    }
    if number > arch.newest() {
        return filter.defaults.unknown;
    }
    let Some((_, rule)) = filter.entries.iter().find(|(call, _)| call.number(arch) == Some(number)) else {
        return filter.defaults.unlisted;
    };
    match *rule {
        Rule::Always(action) => action,
        Rule::OneOf { argument, mask, values, otherwise } => {
            if values.contains(&(arguments[argument] & mask)) {
                Action::Allow
            } else {
                otherwise
            }
        }
        Rule::Pairs { arguments: [first, second], masks, pairs, otherwise } => {
            let found = [arguments[first] & masks[0], arguments[second] & masks[1]];
            if pairs.contains(&found) { Action::Allow } else { otherwise }
        }
    }
}

/// Runs a program as the kernel does, for the instructions that the compiler emits.
fn interpret(program: &[libc::sock_filter], data: Data) -> Action {
    const LOAD_WORD: u32 = libc::BPF_LD | libc::BPF_W | libc::BPF_ABS;
    const AND: u32 = libc::BPF_ALU | libc::BPF_AND | libc::BPF_K;
    const JUMP: u32 = libc::BPF_JMP | libc::BPF_JA;
    const JUMP_IF_EQUAL: u32 = libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K;
    const JUMP_IF_AT_LEAST: u32 = libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K;
    const RETURN: u32 = libc::BPF_RET | libc::BPF_K;
    let (mut at, mut accumulator) = (0, 0u32);
    loop {
        let instruction = program[at];
        at += 1;
        let taken = match u32::from(instruction.code) {
            LOAD_WORD => {
                // struct seccomp_data, seccomp(2).
                accumulator = match instruction.k {
                    0 => data.number,
                    4 => data.arch,
                    k if k % 8 == 0 => data.arguments[(k as usize - 16) / 8] as u32,
                    k => (data.arguments[(k as usize - 16) / 8] >> 32) as u32,
                };
                continue;
            }
            AND => {
                accumulator &= instruction.k;
                continue;
            }
            JUMP => {
                at += instruction.k as usize;
                continue;
            }
            RETURN => {
                return match instruction.k & 0xFFFF_0000 {
                    libc::SECCOMP_RET_ALLOW => Action::Allow,
                    libc::SECCOMP_RET_ERRNO => Action::Errno((instruction.k & 0xFFFF) as i32),
                    libc::SECCOMP_RET_USER_NOTIF => Action::Notify,
                    libc::SECCOMP_RET_KILL_PROCESS => Action::KillProcess,
                    other => panic!("unknown return {other:#x}"),
                };
            }
            JUMP_IF_EQUAL => accumulator == instruction.k,
            JUMP_IF_AT_LEAST => accumulator >= instruction.k,
            other => panic!("unknown instruction {other:#x}"),
        };
        at += usize::from(if taken { instruction.jt } else { instruction.jf });
    }
}

/// Arguments at and beside the edges of a rule.
pub(super) fn boundary_arguments(rule: Option<Rule<'_>>) -> Vec<[u64; 6]> {
    let around =
        |value: u64| [value, value.wrapping_sub(1), value + 1, value | 1 << 32, value | 1 << 63, 1 << 31 | value];
    let mut all = vec![[0; 6], [u64::MAX; 6], [1 << 32; 6], [u64::from(u32::MAX); 6]];
    match rule {
        None | Some(Rule::Always(_)) => {}
        Some(Rule::OneOf { argument, values, .. }) => {
            for changed in values.iter().flat_map(|value| around(*value)) {
                let mut arguments = [0; 6];
                arguments[argument] = changed;
                all.push(arguments);
            }
        }
        Some(Rule::Pairs { arguments: [first, second], pairs, .. }) => {
            for [one, other] in pairs.iter().flat_map(|[one, _]| pairs.iter().map(move |[_, other]| [*one, *other])) {
                for (one, other) in
                    around(one).map(|one| (one, other)).into_iter().chain(around(other).map(|other| (one, other)))
                {
                    let mut arguments = [0; 6];
                    (arguments[first], arguments[second]) = (one, other);
                    all.push(arguments);
                }
            }
        }
    }
    all
}

fn agrees_with_model(filter: &Filter<'_>, arch: Arch) {
    let program = compile(&filter.entries, filter.defaults, arch);
    // The kernel's own bound, linux/bpf_common.h.
    assert!(program.len() <= 4096, "{} instructions", program.len());
    for number in (0..=HIGHEST).chain([X32_BIT, X32_BIT + 1, X32_BIT + 520, u32::MAX]) {
        let rule = rules::find(&filter.entries, |call| call.number(arch) == Some(number));
        for arguments in boundary_arguments(rule) {
            let data = Data { number, arch: arch.audit_number(), arguments };
            assert_eq!(interpret(&program, data), decide(filter, arch, number, arguments), "{data:x?} on {arch:?}");
        }
        for other in [0x4000_0003, 0, ARCHES[usize::from(arch == ARCHES[0])].audit_number()] {
            let data = Data { number, arch: other, arguments: [0; 6] };
            assert_eq!(interpret(&program, data), Action::KillProcess, "{data:x?} on {arch:?}");
        }
    }
}

#[test]
fn both_stages_of_each_policy_do_what_their_rules_say() {
    for policy in policies() {
        for arch in ARCHES {
            for filter in &stages(policy, Action::Notify) {
                agrees_with_model(filter, arch);
            }
        }
    }
}

/// What the kernel makes of the answers of both stages: the stricter kind, and of two errors that of the
/// filter that was put up last, seccomp(2).
pub(super) fn stricter(package: Action, child: Action) -> Action {
    let strictness = |action| match action {
        Action::Allow => 0,
        Action::Notify => 1,
        Action::Errno(_) => 2,
        Action::KillProcess => 3,
    };
    if strictness(package) > strictness(child) { package } else { child }
}

/// What both stages together say.
fn together(policy: Policy, arch: Arch, number: u32, arguments: [u64; 6]) -> Action {
    let [package, child] = stages(policy, Action::Notify).map(|filter| decide(&filter, arch, number, arguments));
    stricter(package, child)
}

const PLAIN: Policy = Policy {
    grants: Grants { network: false, processes: false, jit: false },
    memory_cgroup: true,
    scoped_signals: true,
};

/// The calls of which a child gets some through.
fn allowed(policy: Policy, arch: Arch) -> Vec<&'static str> {
    let [package, child] = stages(policy, Action::Notify);
    let gets_through = |filter: &Filter<'_>, call: Call| {
        let rule = rules::find(&filter.entries, |candidate| candidate == call);
        rule.map_or(filter.defaults.unlisted == Action::Allow, rules::allows)
    };
    let mut names: Vec<_> = (package.entries.iter().map(|(call, _)| *call))
        .filter(|call| call.number(arch).is_some() && gets_through(&package, *call) && gets_through(&child, *call))
        .map(|call| call.name)
        .collect();
    names.sort_unstable();
    names.dedup();
    names
}

#[test]
fn a_plain_function_may_make_at_most_90_system_calls() {
    /// Newer forms of calls that x86_64 has in two: glibc makes the older, rustix the newer, and neither falls
    /// back. Together they do what one of them does.
    const NEWER: [&str; 8] =
        ["dup3", "faccessat", "fchmodat", "mkdirat", "ppoll", "readlinkat", "renameat", "symlinkat"];
    for arch in ARCHES {
        let mut allowed = allowed(PLAIN, arch);
        if arch == Arch::X86_64 {
            allowed.retain(|name| !NEWER.contains(name));
        }
        assert!((60..=90).contains(&allowed.len()), "{} on {arch:?}: {allowed:?}", allowed.len());
    }
}

#[test]
fn every_call_that_would_reach_beyond_a_process_is_refused_and_told() {
    type X86 = syscalls::x86_64::Sysno;
    type Aarch = syscalls::aarch64::Sysno;
    let told = [
        (X86::ptrace.id(), Aarch::ptrace.id()),
        (X86::process_vm_writev.id(), Aarch::process_vm_writev.id()),
        (X86::bpf.id(), Aarch::bpf.id()),
        (X86::perf_event_open.id(), Aarch::perf_event_open.id()),
        (X86::userfaultfd.id(), Aarch::userfaultfd.id()),
        (X86::keyctl.id(), Aarch::keyctl.id()),
        (X86::add_key.id(), Aarch::add_key.id()),
        (X86::mount.id(), Aarch::mount.id()),
        (X86::move_mount.id(), Aarch::move_mount.id()),
        (X86::pivot_root.id(), Aarch::pivot_root.id()),
        (X86::unshare.id(), Aarch::unshare.id()),
        (X86::setns.id(), Aarch::setns.id()),
        (X86::modify_ldt.id(), Aarch::setns.id()),
        (X86::open_by_handle_at.id(), Aarch::open_by_handle_at.id()),
        (X86::init_module.id(), Aarch::init_module.id()),
        (X86::kexec_load.id(), Aarch::kexec_load.id()),
        (X86::shmget.id(), Aarch::shmget.id()),
        (X86::mq_open.id(), Aarch::mq_open.id()),
    ];
    for policy in policies() {
        for (x86_64, aarch64) in told {
            for (arch, number) in [(Arch::X86_64, x86_64), (Arch::Aarch64, aarch64)] {
                for arguments in boundary_arguments(None) {
                    let answer = together(policy, arch, number.unsigned_abs(), arguments);
                    assert_eq!(answer, Action::Notify, "{number} on {arch:?} under {policy:?}");
                }
            }
        }
    }
}

#[test]
fn what_a_function_was_not_granted_fails_with_an_error_that_programs_expect() {
    type Call = syscalls::x86_64::Sysno;
    let answers = |policy: Policy, call: Call, arguments: [u64; 3]| {
        let [a, b, c] = arguments;
        together(policy, Arch::X86_64, call.id().unsigned_abs(), [a, b, c, 0, 0, 0])
    };
    let eperm = Action::Errno(libc::EPERM);
    let granted = |network, processes, jit| Policy { grants: Grants { network, processes, jit }, ..PLAIN };
    let (network, processes, jit) =
        (granted(true, false, false), granted(false, true, false), granted(false, false, true));
    let tcp = [libc::AF_INET as u64, (libc::SOCK_STREAM | libc::SOCK_CLOEXEC) as u64, 0];
    let unix = [libc::AF_UNIX as u64, libc::SOCK_STREAM as u64, 0];
    let raw = [libc::AF_INET as u64, libc::SOCK_RAW as u64, 0];
    let fork = [(libc::CLONE_CHILD_SETTID | libc::CLONE_CHILD_CLEARTID | libc::SIGCHLD) as u64, 0, 0];
    let as_the_zygote = [rules::CHILD_FORK, 0, 0];
    let executable = [0, 0, (libc::PROT_READ | libc::PROT_EXEC) as u64];
    let no_family = Action::Errno(libc::EAFNOSUPPORT);
    for (policy, call, arguments, expected) in [
        (PLAIN, Call::socket, tcp, no_family),
        (network, Call::socket, tcp, Action::Allow),
        (network, Call::socket, unix, no_family),
        (network, Call::socket, raw, no_family),
        (network, Call::listen, [0; 3], eperm),
        (PLAIN, Call::clone, fork, eperm),
        (processes, Call::clone, fork, Action::Allow),
        (processes, Call::clone, as_the_zygote, eperm),
        (processes, Call::execve, [0; 3], eperm),
        (PLAIN, Call::mprotect, executable, eperm),
        (PLAIN, Call::mmap, executable, eperm),
        (jit, Call::mprotect, executable, Action::Allow),
        (jit, Call::mmap, executable, Action::Allow),
        (PLAIN, Call::kill, [OWN_PID[0], 9, 0], Action::Allow),
        (PLAIN, Call::kill, [u64::MAX, 9, 0], eperm),
        (Policy { scoped_signals: false, ..processes }, Call::kill, [8, 9, 0], eperm),
        (processes, Call::kill, [8, 9, 0], Action::Allow),
        (PLAIN, Call::socketpair, unix, Action::Allow),
        (PLAIN, Call::socketpair, [libc::AF_UNIX as u64, libc::SOCK_DGRAM as u64, 0], no_family),
        (PLAIN, Call::io_uring_setup, [0; 3], Action::Errno(libc::ENOSYS)),
        (PLAIN, Call::memfd_create, [0; 3], Action::Errno(libc::ENOSYS)),
    ] {
        assert_eq!(answers(policy, call, arguments), expected, "{call:?} {arguments:x?} under {policy:?}");
    }
}

#[test]
fn without_a_memory_cgroup_memory_is_anonymous_or_shared() {
    let policy = Policy { memory_cgroup: false, ..PLAIN };
    let mmap = |flags: i32| together(policy, Arch::NATIVE, libc::SYS_mmap as u32, [0, 0, 0, flags as u64, 0, 0]);
    for allowed in [libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, libc::MAP_SHARED, libc::MAP_PRIVATE] {
        assert_eq!(mmap(allowed), Action::Allow, "{allowed:#x}");
    }
    for refused in [libc::MAP_SHARED, libc::MAP_SHARED_VALIDATE] {
        assert_eq!(mmap(refused | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE), Action::Errno(libc::ENOMEM));
    }
}

#[test]
fn no_call_has_two_rules_but_where_a_grant_or_the_set_up_goes_before() {
    for arch in ARCHES {
        let mut numbers: Vec<_> = rules::for_all().filter_map(|(call, _)| call.number(arch)).collect();
        numbers.sort_unstable();
        let count = numbers.len();
        numbers.dedup();
        assert_eq!(numbers.len(), count, "on {arch:?}");
    }
}
