//! The table: every act and the one thing that it has to come to.

use bulkhead_protocol::outcome::FOREIGN_ABI;
use bulkhead_protocol::package;
use serde_json::{Value, json};

use super::expected::Expected;
use super::expected::Expected::{
    AllocationFailed, Counted, Differs, Either, Failure, Grabbed, NotRegistered, NothingWentThrough, OutOfMemory,
    Panicked, PolicyViolation, ProtocolViolation, Result,
};
use crate::packages::Packages;

/// What a row's end is called; the rows of a kind are one test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The package is refused.
    LoadFailed,
    /// The process dies, or ends without a word.
    CrashedOrExited,
    /// A panic that is caught.
    Panicked,
    /// The host ends it, for its time is up.
    TimedOut,
    /// The kernel or the function's own allocator ends it.
    OutOfMemory,
    /// One of the other limits ends it.
    LimitExceeded,
    /// The kernel says no, and the function goes on.
    Errno,
    /// A forbidden system call ends it.
    PolicyViolation,
    /// Its answer is none.
    ProtocolViolation,
    /// A call finds nothing of the one before.
    Independence,
}

/// What is done.
#[derive(Clone, Debug)]
pub enum Act {
    /// A function is called.
    Call {
        /// Its name.
        function: &'static str,
        /// Its arguments.
        arguments: Value,
        /// The query that gives the call a wall time of its own; may be empty.
        timeout: &'static str,
        /// How often it is called.
        times: usize,
    },
    /// A package is registered.
    Register(fn(&Packages) -> Vec<u8>),
}

/// An act that has no good in mind.
#[derive(Clone, Debug)]
pub struct Row {
    /// What it is called.
    pub name: &'static str,
    /// What its end is called.
    pub kind: Kind,
    /// What is done.
    pub act: Act,
    /// What it has to come to.
    pub expected: Expected,
}

/// Functions that take long without a deadline or a lack of memory.
const SLOW: [&str; 8] = [
    "huge_result",
    "inode_bomb",
    "secret_left_in_shared_memory",
    "stderr_flood",
    "stdout_flood",
    "thread_bomb",
    "tmp_made_hard_to_clean",
    "too_much_cpu",
];

impl Row {
    /// Whether it is not over at once.
    pub fn is_slow(&self) -> bool {
        matches!(self.kind, Kind::LoadFailed | Kind::TimedOut | Kind::OutOfMemory) || SLOW.contains(&self.name)
    }

    /// The same with arguments.
    fn with(mut self, name: &'static str, given: Value) -> Self {
        self.name = name;
        if let Act::Call { arguments, .. } = &mut self.act {
            *arguments = given;
        }
        self
    }

    /// The same with a wall time.
    fn within(mut self, query: &'static str) -> Self {
        if let Act::Call { timeout, .. } = &mut self.act {
            *timeout = query;
        }
        self
    }
}

/// Linux's error numbers, asm-generic/errno.h.
mod errno {
    pub(super) const EPERM: i64 = 1;
    pub(super) const ENOENT: i64 = 2;
    pub(super) const EAGAIN: i64 = 11;
    pub(super) const EACCES: i64 = 13;
    pub(super) const EMFILE: i64 = 24;
    pub(super) const ENOSPC: i64 = 28;
    pub(super) const ENOSYS: i64 = 38;
    pub(super) const EAFNOSUPPORT: i64 = 97;
}

const MIB: u64 = 1 << 20;

fn call(kind: Kind, function: &'static str, expected: Expected) -> Row {
    let act = Act::Call { function, arguments: json!({}), timeout: "", times: 1 };
    Row { name: function, kind, act, expected }
}

/// Calls that must find nothing of one another.
fn twice(function: &'static str, expected: Expected) -> Row {
    let act = Act::Call { function, arguments: json!({}), timeout: "", times: 3 };
    Row { name: function, kind: Kind::Independence, act, expected }
}

fn load(name: &'static str, package: fn(&Packages) -> Vec<u8>, reason: &'static str) -> Row {
    Row { name, kind: Kind::LoadFailed, act: Act::Register(package), expected: NotRegistered(reason) }
}

/// The library of a crate with the manifest of a good package: `bulkhead build` would refuse to make it.
fn forged(packages: &Packages, name: &str) -> Vec<u8> {
    packages.forge(&packages.library(name), "hello")
}

fn library(packages: &Packages) -> Vec<u8> {
    package::unpack(packages.get("hello")).expect("a package").library
}

fn crashed(function: &'static str, signal: &str) -> Row {
    call(Kind::CrashedOrExited, function, Failure(crash(signal)))
}

fn crash(signal: &str) -> Value {
    json!({"kind": "Crashed", "signal": signal})
}

fn exited(function: &'static str, code: i32) -> Row {
    call(Kind::CrashedOrExited, function, Failure(json!({"kind": "Exited", "code": code})))
}

fn panicked(function: &'static str, message: &'static str) -> Row {
    call(Kind::Panicked, function, Panicked(message))
}

fn stuck(function: &'static str) -> Row {
    let expected = Failure(json!({"kind": "TimedOut", "limit_ms": 300}));
    call(Kind::TimedOut, function, expected).within("?timeout=300ms")
}

fn memory(function: &'static str, expected: Expected) -> Row {
    call(Kind::OutOfMemory, function, expected)
}

fn limit(function: &'static str, limit: &str, value: u64) -> Row {
    let expected = json!({"kind": "LimitExceeded", "limit": limit, "value": value});
    call(Kind::LimitExceeded, function, Failure(expected))
}

fn grabbed(function: &'static str, count: std::ops::RangeInclusive<i64>, errors: &'static [i64]) -> Row {
    call(Kind::LimitExceeded, function, Grabbed(count, errors))
}

fn refused(function: &'static str, attempts: usize, errors: &'static [i64]) -> Row {
    call(Kind::Errno, function, NothingWentThrough(attempts, errors))
}

fn forbidden(function: &'static str) -> Row {
    call(Kind::PolicyViolation, function, PolicyViolation(function))
}

fn broken(function: &'static str, what: &'static str) -> Row {
    call(Kind::ProtocolViolation, function, ProtocolViolation(what))
}

/// All of them. What is said of each stands at its function, in `sample-functions/faulty*`.
pub fn table() -> Vec<Row> {
    let mut rows = vec![
        load("ctor_loops", |packages| forged(packages, "faulty-ctor-loops"), "was not loaded within 10 s"),
        load("ctor_segv", |packages| forged(packages, "faulty-ctor-segv"), "load-time code crashed with SIGSEGV"),
        load("ctor_exits", |packages| forged(packages, "faulty-ctor-exits"), "load-time code exited with code 0"),
        load("ctor_forges_ready", |packages| forged(packages, "faulty-ctor-forges-ready"), "in the runner's name"),
        load("floods_fds", |packages| forged(packages, "faulty-ctor-floods-fds"), "in the runner's name"),
        load("wrong_abi", |packages| forged(packages, "faulty-abi"), "failed to match the plugin's ABI"),
        load("missing_symbol", |packages| forged(packages, "faulty-missing-symbol"), "bulkhead_symbol_that_nobody_has"),
        load("no_root_module", |packages| forged(packages, "faulty-no-root-module"), "exports no root module"),
        load("truncated_library", |packages| packages.forge(&library(packages)[..5000], "hello"), "truncated"),
        load("not_elf", |packages| packages.forge(b"#!/bin/sh\nexit 0\n", "hello"), "not an ELF file"),
        crashed("segv", "SIGSEGV"),
        crashed("abort", "SIGABRT"),
        crashed("double_panic", "SIGABRT"),
        crashed("panic_in_drop", "SIGABRT"),
        crashed("illegal_instruction", "SIGILL"),
        crashed("divide_by_zero", "SIGFPE"),
        call(Kind::CrashedOrExited, "stack_overflow", Either(crash("SIGSEGV"), crash("SIGABRT"))),
        crashed("raises_sigkill", "SIGKILL"),
        crashed("unpublished_then_dies", "SIGKILL"),
        exited("exit_zero_without_result", 0),
        exited("exit_42", 42),
        panicked("panics", "a deliberate panic"),
        panicked("panics_in_thread_joined", "the thread went well: Any { .. }"),
        panicked("panic_with_non_string", "a value that is no text"),
        panicked("panic_with_a_bomb", "a value that is no text"),
        stuck("spins"),
        stuck("spins_blocking_all_signals"),
        stuck("sleeps_forever"),
        stuck("futex_forever"),
        stuck("deadlocks"),
        stuck("stops_itself"),
        stuck("timer_signal_storm"),
        stuck("publishes_then_spins"),
        // Between the kernel's first word, after a second, and its last, a second later.
        call(Kind::TimedOut, "ignores_sigxcpu", Failure(json!({"kind": "TimedOut", "limit_ms": 1500})))
            .within("?timeout=1500ms"),
        memory("anonymous_bomb", OutOfMemory(256 * MIB)),
        memory("memfd_bomb", OutOfMemory(256 * MIB)),
        // Elsewhere the folder's own size is what holds.
        memory("tmpfs_bomb", either_way(OutOfMemory(32 * MIB), Grabbed(60..=64, &[errno::ENOSPC]))),
        memory("sparse_page_tables", OutOfMemory(64 * MIB)),
        memory("many_small_mappings", AllocationFailed(256 * MIB)),
        limit("stdout_flood", "output", 16 * MIB),
        limit("stderr_flood", "output", 16 * MIB),
        call(Kind::LimitExceeded, "stdout_flood", Result(json!(1_000_000)))
            .with("stdout_below_its_limit", json!({"bytes": 1_000_000})),
        limit("huge_result", "result", 64 * MIB),
        call(Kind::LimitExceeded, "huge_result", Result(json!("x".repeat(100))))
            .with("result_below_its_limit", json!({"bytes": 100})),
        limit("file_too_large", "file_size", 64 * MIB),
        limit("too_much_cpu", "cpu_time", 1000),
        // These the kernel refuses, and a function may well go on without.
        grabbed("thread_bomb", 32..=63, &[errno::EAGAIN]),
        grabbed("fd_bomb", 32..=63, &[errno::EMFILE]),
        grabbed("pipe_bomb", 16..=31, &[errno::EMFILE]),
        grabbed("inode_bomb", 16_000..=16_383, &[errno::ENOSPC]),
        call(Kind::Errno, "fork_bomb", Grabbed(0..=0, &[errno::EPERM])),
        call(Kind::Errno, "double_fork", Grabbed(0..=0, &[errno::EPERM])),
        refused("exec_shell", 1, &[errno::EPERM]),
        refused("kill_minus_one", 3, &[errno::EPERM]),
        refused("kill_parent", 2, &[errno::EPERM]),
        refused("kill_sibling", 64, &[errno::EPERM]),
        refused("signals_by_pipe", 2, &[errno::EPERM]),
        refused("abstract_socket", 1, &[errno::EAFNOSUPPORT]),
        refused("tcp_connect", 1, &[errno::EAFNOSUPPORT]),
        refused("vsock", 48, &[errno::EAFNOSUPPORT]),
        refused("reads_proc", 8, &[errno::ENOENT, errno::EACCES]),
        refused("raises_prlimit", 17, &[errno::EPERM]),
        refused("io_uring", 1, &[errno::ENOSYS]),
        refused("memfd_exec", 2, &[errno::ENOSYS, errno::EPERM]),
        forbidden("ptrace"),
        forbidden("process_vm_writev"),
        forbidden("bpf"),
        forbidden("perf_event_open"),
        forbidden("userfaultfd"),
        forbidden("keyctl"),
        forbidden("mount"),
        forbidden("unshare"),
        forbidden("setns"),
        forbidden("open_by_handle_at"),
        broken("length_u64_max", "a response of 18446744073709551615 bytes does not fit in the slot"),
        broken("length_off_by_one", "a response of 67239937 bytes does not fit in the slot"),
        broken("unknown_kind", "the response has the unknown kind 4294967295"),
        broken("rewrites_after_publish", "a response of 18446744073709551611 bytes does not fit in the slot"),
        broken("publishes_twice", "the description of a failure cannot be read"),
        broken("partial_then_dies", "the result is no JSON"),
        // No code of a library ever has the file at hand; that it is sealed as well is tested where it is made.
        call(Kind::ProtocolViolation, "truncates_slot", Result(json!([]))),
        twice("hashmap_keys", Differs),
        twice("rand_values", Differs),
        twice("tmp_leftover", Result(json!([]))),
        twice("tmp_made_hard_to_clean", Result(json!(0o700))),
        twice("global_mutated", Result(json!(1))),
        twice("env_mutated", Result(json!(null))),
        twice("fd_leak", Result(json!(3))),
        twice("inherited_files", Result(json!(["0 character device", "1 pipe", "2 pipe"]))),
        twice("stdout_made_nonblocking", Result(json!(false))),
        twice("secret_left_in_shared_memory", Result(json!(0))),
        twice("thread_left_behind", Result(json!(0))),
    ];
    if cfg!(target_arch = "x86_64") {
        rows.push(forbidden("modify_ldt"));
        rows.extend(["int80", "x32"].map(|way| call(Kind::PolicyViolation, way, PolicyViolation(FOREIGN_ABI))));
    }
    rows
}

fn either_way(counted: Expected, otherwise: Expected) -> Expected {
    Counted(Box::new(counted), Box::new(otherwise))
}
