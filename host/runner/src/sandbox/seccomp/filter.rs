//! Compiles rules to the classic BPF that seccomp(2) runs on every system call.

use super::arch::{Arch, Call};

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
    /// Allowed if both arguments, after their masks, are one of these pairs (each below 2^32); else this.
    Pairs {
        /// 0 to 5.
        arguments: [usize; 2],
        /// The bits that count, of each.
        masks: [u64; 2],
        /// The allowed values of both.
        pairs: &'a [[u64; 2]],
        /// What happens to the others.
        otherwise: Action,
    },
}

/// A system call and its rule.
pub(super) type Entry<'a> = (Call, Rule<'a>);

/// What a filter says beside its rules.
#[derive(Clone, Copy, Debug)]
pub(super) struct Defaults {
    /// To a call without a rule.
    pub(super) unlisted: Action,
    /// To a call that is newer than our tables.
    pub(super) unknown: Action,
}

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

/// `__X32_SYSCALL_BIT`, asm/unistd.h: x86_64's numbers again, with 32-bit pointers.
pub(super) const X32_BIT: u32 = 0x4000_0000;

const LOAD_WORD: u16 = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
const AND: u16 = (libc::BPF_ALU | libc::BPF_AND | libc::BPF_K) as u16;
const JUMP_IF_EQUAL: u16 = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
const JUMP_IF_AT_LEAST: u16 = (libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K) as u16;
const JUMP: u16 = (libc::BPF_JMP | libc::BPF_JA) as u16;
const RETURN: u16 = (libc::BPF_RET | libc::BPF_K) as u16;

/// Compiles a filter; another architecture's calls kill. The first rule of a call counts.
pub(super) fn compile(entries: &[Entry<'_>], defaults: Defaults, arch: Arch) -> Vec<libc::sock_filter> {
    let kill = give(Action::KillProcess);
    let mut program = vec![
        statement(LOAD_WORD, offset::ARCH),
        jump(JUMP_IF_EQUAL, arch.audit_number(), 1, 0),
        kill,
        statement(LOAD_WORD, offset::NUMBER),
        // On aarch64 no call has such a number either.
        jump(JUMP_IF_AT_LEAST, X32_BIT, 0, 1),
        kill,
        jump(JUMP_IF_AT_LEAST, arch.newest() + 1, 0, 1),
        give(defaults.unknown),
    ];
    for (call, rule) in entries {
        let Some(number) = call.number(arch) else { continue };
        let body = compile_rule(*rule);
        match u8::try_from(body.len()) {
            Ok(skip) => program.push(jump(JUMP_IF_EQUAL, number, 0, skip)),
            // A conditional jump reaches 255 instructions; one without a condition reaches all.
            Err(_) => program.extend([
                jump(JUMP_IF_EQUAL, number, 1, 0),
                statement(JUMP, u32::try_from(body.len()).expect("a rule's body is short")),
            ]),
        }
        program.extend(body);
    }
    program.push(give(defaults.unlisted));
    program
}

/// A body that always ends in a return.
fn compile_rule(rule: Rule<'_>) -> Vec<libc::sock_filter> {
    match rule {
        Rule::Always(action) => vec![give(action)],
        Rule::OneOf { argument, mask, values, otherwise } => {
            let mut body = load(argument, mask, give(otherwise));
            for value in values {
                body.extend([jump(JUMP_IF_EQUAL, small(*value), 0, 1), give(Action::Allow)]);
            }
            body.push(give(otherwise));
            body
        }
        Rule::Pairs { arguments: [first, second], masks: [first_mask, second_mask], pairs, otherwise } => {
            let mut body = Vec::new();
            for [one, other] in pairs {
                let mut rest = load(second, second_mask, give(otherwise));
                rest.extend([jump(JUMP_IF_EQUAL, small(*other), 0, 1), give(Action::Allow)]);
                body.extend(load(first, first_mask, give(otherwise)));
                let skip = u8::try_from(rest.len()).expect("a pair is shorter than a jump");
                body.push(jump(JUMP_IF_EQUAL, small(*one), 0, skip));
                body.extend(rest);
            }
            body.push(give(otherwise));
            body
        }
    }
}

/// Loads the lower half of an argument under its mask, if the upper half is zero under it; else does this.
fn load(argument: usize, mask: u64, otherwise: libc::sock_filter) -> Vec<libc::sock_filter> {
    let (low, high) = offset::argument(argument);
    let (mask_low, mask_high) = (mask as u32, (mask >> 32) as u32);
    let mut body = Vec::new();
    if mask_high != 0 {
        body.extend([statement(LOAD_WORD, high), statement(AND, mask_high), jump(JUMP_IF_EQUAL, 0, 1, 0)]);
        body.push(otherwise);
    }
    body.extend([statement(LOAD_WORD, low), statement(AND, mask_low)]);
    body
}

fn small(value: u64) -> u32 {
    u32::try_from(value).expect("allowed values are below 2^32")
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
