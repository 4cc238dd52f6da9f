//! Runs a command without something that the kernel offers: `without landlock bulkhead doctor`. A
//! filter of system calls stands between, as that of a container does.

#![expect(unsafe_code, reason = "seccomp(2) has no safe wrapper")]

use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

use nix::errno::Errno;
use nix::libc::{self, sock_filter};

/// All kinds of namespaces, in the flags of clone(2).
const NAMESPACES: u32 = (libc::CLONE_NEWUSER | libc::CLONE_NEWPID | libc::CLONE_NEWNS | libc::CLONE_NEWNET) as u32;
/// `offsetof(struct seccomp_data, args[0])`, seccomp(2).
const FIRST_ARGUMENT: u32 = 16;

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let (Some(what), Some(program)) = (arguments.next(), arguments.next()) else {
        eprintln!("usage: without landlock|seccomp|namespaces|clone3|mounts COMMAND [ARGUMENT…]");
        return ExitCode::from(125);
    };
    let filter = match what.as_str() {
        "landlock" => refuse(
            &[libc::SYS_landlock_create_ruleset, libc::SYS_landlock_add_rule, libc::SYS_landlock_restrict_self],
            Errno::ENOSYS,
        ),
        // What remains is asking which actions there are.
        "seccomp" => refuse_if(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, u32::MAX, Errno::EINVAL),
        // As Docker's default profile has both: the flags of clone3 are in memory, where no filter sees them.
        "namespaces" => [clone3(), refuse_flags(libc::SYS_clone, NAMESPACES, Errno::EPERM)].concat(),
        "clone3" => [clone3(), vec![give(libc::SECCOMP_RET_ALLOW)]].concat(),
        "mounts" => refuse(&[libc::SYS_mount], Errno::EACCES),
        other => {
            eprintln!("cannot take {other} away");
            return ExitCode::from(125);
        }
    };
    if let Err(errno) = install(&filter) {
        eprintln!("failed to put up a filter: {errno}");
        return ExitCode::from(126);
    }
    let error = Command::new(&program).args(arguments).exec();
    eprintln!("failed to execute {program}: {error}");
    ExitCode::from(127)
}

fn statement(code: u32, k: u32) -> sock_filter {
    sock_filter { code: code as u16, jt: 0, jf: 0, k }
}

fn load(offset: u32) -> sock_filter {
    statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, offset)
}

fn jump(code: u32, k: u32, jt: u8, jf: u8) -> sock_filter {
    sock_filter { jt, jf, ..statement(libc::BPF_JMP | code | libc::BPF_K, k) }
}

fn give(action: u32) -> sock_filter {
    statement(libc::BPF_RET | libc::BPF_K, action)
}

fn refusal(errno: Errno) -> sock_filter {
    give(libc::SECCOMP_RET_ERRNO | errno as u32)
}

fn number(call: libc::c_long) -> u32 {
    u32::try_from(call).expect("system call numbers are small")
}

fn refuse(calls: &[libc::c_long], errno: Errno) -> Vec<sock_filter> {
    let mut filter = begin_to_refuse(calls, errno);
    filter.push(give(libc::SECCOMP_RET_ALLOW));
    filter
}

fn clone3() -> Vec<sock_filter> {
    begin_to_refuse(&[libc::SYS_clone3], Errno::ENOSYS)
}

/// Refuses these; what becomes of others is for what follows.
fn begin_to_refuse(calls: &[libc::c_long], errno: Errno) -> Vec<sock_filter> {
    let mut filter = vec![load(0)];
    for call in calls {
        filter.extend([jump(libc::BPF_JEQ, number(*call), 0, 1), refusal(errno)]);
    }
    filter
}

/// Refuses a call whose first argument, after the mask, has this value.
fn refuse_if(call: libc::c_long, value: u32, mask: u32, errno: Errno) -> Vec<sock_filter> {
    vec![
        load(0),
        jump(libc::BPF_JEQ, number(call), 0, 4),
        load(FIRST_ARGUMENT),
        statement(libc::BPF_ALU | libc::BPF_AND | libc::BPF_K, mask),
        jump(libc::BPF_JEQ, value, 0, 1),
        refusal(errno),
        give(libc::SECCOMP_RET_ALLOW),
    ]
}

/// Refuses a call whose first argument has any of these bits.
fn refuse_flags(call: libc::c_long, flags: u32, errno: Errno) -> Vec<sock_filter> {
    vec![
        load(0),
        jump(libc::BPF_JEQ, number(call), 0, 3),
        load(FIRST_ARGUMENT),
        jump(libc::BPF_JSET, flags, 0, 1),
        refusal(errno),
        give(libc::SECCOMP_RET_ALLOW),
    ]
}

fn install(filter: &[sock_filter]) -> nix::Result<()> {
    nix::sys::prctl::set_no_new_privs()?;
    let program = libc::sock_fprog {
        len: u16::try_from(filter.len()).map_err(|_| Errno::E2BIG)?,
        // The kernel only reads it; the field is not const in C.
        filter: filter.as_ptr().cast_mut(),
    };
    // SAFETY: the program and the instructions it points to live through the call.
    let result = unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, 0, &raw const program) };
    Errno::result(result).map(drop)
}
