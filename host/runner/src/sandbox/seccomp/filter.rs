//! Compiles rules to the classic BPF that seccomp(2) runs on every system call.

/// What becomes of a system call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// It is carried out.
    Allow,
    /// It fails with this error number.
    Errno(i32),
    /// The caller waits while init, which holds the filter's listener, is told; it fails with
    /// `ENOSYS` where nobody listens. Init never lets it through.
    Notify,
    /// The whole process dies with SIGSYS.
    KillProcess,
}

/// When a system call is allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rule<'a> {
    /// Always this.
    Always(Action),
    /// Allowed if the argument, after the mask, is one of these (each below 2^32); else this.
    OneOf {
        /// 0 to 5.
        argument: usize,
        /// The bits that count. What the kernel takes as an `int` has the mask `u32::MAX`.
        mask: u64,
        /// The allowed values.
        values: &'a [u64],
        /// What happens to the others.
        otherwise: Action,
    },
}

/// A system call's number and its rule.
pub(super) type Entry<'a> = (i64, Rule<'a>);

/// `offsetof(struct seccomp_data, …)`, seccomp(2).
mod offset {
    pub(super) const NUMBER: u32 = 0;
    pub(super) const ARCH: u32 = 4;
    const ARGUMENTS: u32 = 16;

    /// Low and high word of an argument; both supported architectures are little-endian.
    pub(super) const fn argument(index: usize) -> (u32, u32) {
        let low = ARGUMENTS + 8 * index as u32;
        (low, low + 4)
    }
}

#[cfg(target_arch = "x86_64")]
const ARCH: u32 = 0xC000_003E; // AUDIT_ARCH_X86_64, linux/audit.h
#[cfg(target_arch = "aarch64")]
const ARCH: u32 = 0xC000_00B7; // AUDIT_ARCH_AARCH64, linux/audit.h

/// `__X32_SYSCALL_BIT`, asm/unistd.h: x86_64's numbers again, with 32-bit pointers.
const X32_BIT: u32 = 0x4000_0000;

const LOAD_WORD: u16 = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
const AND: u16 = (libc::BPF_ALU | libc::BPF_AND | libc::BPF_K) as u16;
const JUMP_IF_EQUAL: u16 = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
const JUMP_IF_AT_LEAST: u16 = (libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K) as u16;
const RETURN: u16 = (libc::BPF_RET | libc::BPF_K) as u16;

/// Compiles a filter. Calls without an entry get `default`; another architecture's calls kill.
pub(super) fn compile(entries: &[Entry<'_>], default: Action) -> Vec<libc::sock_filter> {
    let kill = [give(Action::KillProcess)];
    let mut program = vec![statement(LOAD_WORD, offset::ARCH), jump(JUMP_IF_EQUAL, ARCH, 1, 0)];
    program.extend(kill);
    program.push(statement(LOAD_WORD, offset::NUMBER));
    program.push(jump(JUMP_IF_AT_LEAST, X32_BIT, 0, 1));
    program.extend(kill);
    for (number, rule) in entries {
        let body = compile_rule(*rule);
        let skip = u8::try_from(body.len()).expect("a rule's body is shorter than a jump");
        let number = u32::try_from(*number).expect("system call numbers are small");
        program.push(jump(JUMP_IF_EQUAL, number, 0, skip));
        program.extend(body);
    }
    program.push(give(default));
    program
}

/// A body that always ends in a return.
fn compile_rule(rule: Rule<'_>) -> Vec<libc::sock_filter> {
    let Rule::OneOf { argument, mask, values, otherwise } = rule else {
        let Rule::Always(action) = rule else { unreachable!("only two kinds") };
        return vec![give(action)];
    };
    let (low, high) = offset::argument(argument);
    let (mask_low, mask_high) = (mask as u32, (mask >> 32) as u32);
    let mut body = Vec::new();
    if mask_high != 0 {
        body.extend([
            statement(LOAD_WORD, high),
            statement(AND, mask_high),
            jump(JUMP_IF_EQUAL, 0, 1, 0),
            give(otherwise),
        ]);
    }
    body.extend([statement(LOAD_WORD, low), statement(AND, mask_low)]);
    for value in values {
        let value = u32::try_from(*value).expect("allowed values are below 2^32");
        body.extend([jump(JUMP_IF_EQUAL, value, 0, 1), give(Action::Allow)]);
    }
    body.push(give(otherwise));
    body
}

fn give(action: Action) -> libc::sock_filter {
    let value = match action {
        Action::Allow => libc::SECCOMP_RET_ALLOW,
        Action::Errno(errno) => libc::SECCOMP_RET_ERRNO | (errno.unsigned_abs() & libc::SECCOMP_RET_DATA),
        Action::Notify => libc::SECCOMP_RET_USER_NOTIF,
        Action::KillProcess => libc::SECCOMP_RET_KILL_PROCESS,
    };
    statement(RETURN, value)
}

fn statement(code: u16, k: u32) -> libc::sock_filter {
    libc::sock_filter { code, jt: 0, jf: 0, k }
}

fn jump(code: u16, k: u32, jt: u8, jf: u8) -> libc::sock_filter {
    libc::sock_filter { code, jt, jf, k }
}

#[cfg(test)]
mod tests {
    use super::super::rules;
    use super::*;

    /// A system call as a filter sees it.
    #[derive(Clone, Copy, Debug)]
    struct Call {
        number: u32,
        arch: u32,
        arguments: [u64; 6],
    }

    /// What the rules mean, without BPF.
    fn model(entries: &[Entry<'_>], default: Action, call: Call) -> Action {
        if call.arch != ARCH || call.number >= X32_BIT {
            return Action::KillProcess;
        }
        let Some((_, rule)) = entries.iter().find(|(number, _)| *number == i64::from(call.number)) else {
            return default;
        };
        match *rule {
            Rule::Always(action) => action,
            Rule::OneOf { argument, mask, values, otherwise } => {
                if values.contains(&(call.arguments[argument] & mask)) { Action::Allow } else { otherwise }
            }
        }
    }

    /// Runs a program as the kernel does, for the instructions that the compiler emits.
    fn interpret(program: &[libc::sock_filter], call: Call) -> Action {
        let (mut at, mut accumulator) = (0, 0u32);
        loop {
            let instruction = program[at];
            at += 1;
            let taken = match instruction.code {
                LOAD_WORD => {
                    accumulator = match instruction.k {
                        offset::NUMBER => call.number,
                        offset::ARCH => call.arch,
                        k => {
                            let argument = call.arguments[(k as usize - 16) / 8];
                            if k % 8 == 0 { argument as u32 } else { (argument >> 32) as u32 }
                        }
                    };
                    continue;
                }
                AND => {
                    accumulator &= instruction.k;
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

    fn boundary_arguments(rule: Option<Rule<'_>>) -> Vec<[u64; 6]> {
        let mut all = vec![[0; 6], [u64::MAX; 6], [1 << 32; 6]];
        if let Some(Rule::OneOf { argument, values, .. }) = rule {
            for value in values {
                for changed in [*value, value.wrapping_sub(1), value + 1, value | 1 << 32, value | 1 << 63] {
                    let mut arguments = [0; 6];
                    arguments[argument] = changed;
                    all.push(arguments);
                }
            }
        }
        all
    }

    fn agrees_with_model(entries: &[Entry<'_>], default: Action) {
        let program = compile(entries, default);
        for number in (0..=600).chain([X32_BIT, X32_BIT + 1, X32_BIT + 520, u32::MAX]) {
            let rule = entries.iter().find(|(n, _)| *n == i64::from(number)).map(|(_, rule)| *rule);
            for arguments in boundary_arguments(rule) {
                for arch in [ARCH, 0x4000_0003, 0] {
                    let call = Call { number, arch, arguments };
                    assert_eq!(interpret(&program, call), model(entries, default, call), "{call:?}");
                }
            }
        }
    }

    #[test]
    fn the_package_filter_does_what_its_rules_say() {
        agrees_with_model(rules::PACKAGE, Action::KillProcess);
    }

    #[test]
    fn without_a_memory_cgroup_memory_is_anonymous_or_shared() {
        let entries: Vec<_> = rules::WITHOUT_MEMORY_CGROUP.iter().chain(rules::PACKAGE).copied().collect();
        agrees_with_model(&entries, Action::KillProcess);
        let program = compile(&entries, Action::KillProcess);
        let mmap = |flags: i32| {
            let call = Call { number: libc::SYS_mmap as u32, arch: ARCH, arguments: [0, 0, 0, flags as u64, 0, 0] };
            interpret(&program, call)
        };
        for allowed in [libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, libc::MAP_SHARED, libc::MAP_PRIVATE] {
            assert_eq!(mmap(allowed), Action::Allow, "{allowed:#x}");
        }
        for refused in [libc::MAP_SHARED, libc::MAP_SHARED_VALIDATE] {
            assert_eq!(mmap(refused | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE), Action::Errno(libc::ENOMEM));
        }
    }

    #[test]
    fn the_child_filter_does_what_its_rules_say() {
        let pid = [7];
        let entries: Vec<_> = rules::CHILD.iter().copied().chain(rules::signals_to_only(&pid)).collect();
        agrees_with_model(&entries, Action::Allow);
    }

    #[test]
    fn no_call_has_two_rules() {
        let mut numbers: Vec<_> = rules::PACKAGE.iter().map(|(number, _)| number).collect();
        numbers.sort();
        let count = numbers.len();
        numbers.dedup();
        assert_eq!(numbers.len(), count);
    }
}
