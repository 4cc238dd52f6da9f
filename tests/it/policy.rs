//! What a function's policy refuses, made as real system calls in the real sandbox.

use std::sync::OnceLock;

use bulkhead_tests::hostile::settled;
use bulkhead_tests::{Answer, Client, Options, Server, checkout, eventually};
use nix::libc;
use serde_json::{Value, json};

use crate::surroundings::{executables, problem, server_with, without_usage};

/// The package of `tests/policies`.
fn policies() -> &'static [u8] {
    static PACKAGE: OnceLock<Vec<u8>> = OnceLock::new();
    PACKAGE.get_or_init(|| {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let file = folder.path().join("policies.bhpkg");
        let command_line = bulkhead_tests::CommandLine::new(executables(), &checkout());
        command_line.run(&["build", "tests/policies", "--out", file.to_str().expect("UTF-8")]).expect(0);
        std::fs::read(file).expect("a package")
    })
}

/// A server with one slot.
#[track_caller]
pub(crate) fn server(options: Options) -> Server {
    let server = server_with(options, &["hello"]);
    server.client().register(policies()).expect(201);
    server
}

/// Has a function make a system call.
fn make(client: &Client, function: &str, number: i64, arguments: [i64; 6]) -> Answer {
    client.invoke(function, &json!({"number": number, "arguments": arguments}))
}

/// Checks that a call ended for a system call that was refused.
#[track_caller]
fn refused(answer: Answer, name: &str, arguments: &[&str]) {
    let problem = problem(answer, 500, "policy-violation");
    let mut outcome = without_usage(&problem["outcome"]);
    outcome.as_object_mut().map(|outcome| outcome.remove("stderr"));
    assert_eq!(outcome, json!({"kind": "PolicyViolation", "syscall": name, "args": arguments}), "{problem}");
    assert!(problem["detail"].as_str().is_some_and(|detail| detail.contains(name)), "{problem}");
}

/// System calls that no function has a use for, by name.
const REFUSED: [(&str, i64); 14] = [
    ("ptrace", libc::SYS_ptrace),
    ("process_vm_writev", libc::SYS_process_vm_writev),
    ("bpf", libc::SYS_bpf),
    ("perf_event_open", libc::SYS_perf_event_open),
    ("userfaultfd", libc::SYS_userfaultfd),
    ("keyctl", libc::SYS_keyctl),
    ("mount", libc::SYS_mount),
    ("unshare", libc::SYS_unshare),
    ("setns", libc::SYS_setns),
    ("open_by_handle_at", libc::SYS_open_by_handle_at),
    ("kexec_load", libc::SYS_kexec_load),
    ("init_module", libc::SYS_init_module),
    ("reboot", libc::SYS_reboot),
    ("swapon", libc::SYS_swapon),
];

/// The same calls for a server with `options`.
#[track_caller]
pub(crate) fn refused_calls_are_named(options: Options) {
    let server = server(options);
    let client = server.client();
    for (name, number) in REFUSED {
        for function in ["plain", "on_a_thread", "warm"] {
            let answer = make(&client, function, number, [1, -1, 3, 4, 5, 6]);
            refused(answer, name, &["0x1", "0xffffffffffffffff", "0x3", "0x4", "0x5", "0x6"]);
        }
        // The next call has a process of its own.
        assert_eq!(make(&client, "plain", libc::SYS_getuid, [0; 6]).expect(200).json(), 1000);
    }
    server.stop();
}

#[test]
fn a_refused_call_is_an_outcome_with_its_name_and_arguments() {
    refused_calls_are_named(Options::slots(1));
}

#[test]
fn the_first_of_many_refused_calls_ends_them_all_and_holds_nobody_up() {
    let server = server(Options::slots(2));
    let client = server.client();
    let flood = |client: Client| {
        let arguments = json!({"number": libc::SYS_ptrace, "threads": 32});
        std::thread::spawn(move || client.invoke("floods_with_refused_calls", &arguments))
    };
    for _ in 0..10 {
        let flood = flood(client.clone());
        assert_eq!(client.invoke("hello", &json!({"who": "canary"})).expect(200).json(), "Hello, canary!");
        refused(flood.join().expect("it is answered"), "ptrace", &["0x0"; 6]);
    }
    server.stop();
}

#[test]
#[cfg(target_arch = "x86_64")]
fn calls_by_the_ways_of_other_architectures_are_refused() {
    let server = server(Options::slots(1));
    let client = server.client();
    let foreign = json!({"kind": "PolicyViolation", "syscall": "foreign-abi"});
    let ended = |answer: Answer| {
        let mut outcome = without_usage(&answer.json()["outcome"]);
        outcome.as_object_mut().map(|outcome| outcome.remove("stderr"));
        outcome
    };
    // getpid, once with x32's bit and once by the interrupt.
    let x32 = make(&client, "plain", 0x4000_0000 | libc::SYS_getpid, [0; 6]);
    assert_eq!(ended(x32), foreign);
    let int80 = ended(client.invoke("int80", &json!({"number": 20})));
    // A kernel without 32-bit programs refuses the interrupt itself.
    let without: Value = json!({"kind": "Crashed", "signal": "SIGSEGV"});
    assert!(int80 == foreign || int80 == without, "{int80}");
    server.stop();
}

#[test]
fn a_function_cannot_say_that_its_set_up_failed() {
    let server = server(Options::slots(1));
    let client = server.client();
    // The code with which the runner's own set-up fails.
    for function in ["plain", "on_a_thread"] {
        let problem = problem(make(&client, function, libc::SYS_exit_group, [251, 0, 0, 0, 0, 0]), 500, "exited");
        assert_eq!(without_usage(&problem["outcome"]), json!({"kind": "Exited", "code": 251}));
    }
    server.stop();
}

#[test]
fn a_refused_call_is_told_on_the_command_line() {
    let server = server(Options::slots(1));
    let data = json!({"number": libc::SYS_bpf, "arguments": [7, 0, 0, 0, 0, 0]}).to_string();
    let ended = server.cli(&["invoke", "plain", "--data", &data]);
    assert_ne!(ended.code, Some(0));
    assert!(ended.stderr.contains("bpf(0x7, 0x0, 0x0, 0x0, 0x0, 0x0)"), "{ended:#?}");
    server.stop();
}

#[test]
fn a_process_that_waits_in_a_refused_call_leaves_nothing_behind() {
    let server = server(Options::slots(1));
    let client = server.client();
    assert_eq!(make(&client, "plain", libc::SYS_getuid, [0; 6]).expect(200).json(), 1000);
    let before = settled(&server);
    for (name, number) in REFUSED {
        refused(make(&client, "plain", number, [0; 6]), name, &["0x0"; 6]);
    }
    eventually("refused calls leave nothing behind", || {
        let now = server.footprint();
        if now == before { Ok(()) } else { Err(format!("{now:#?} instead of {before:#?}")) }
    });
    server.stop();
}

#[test]
fn a_warm_process_that_left_a_thread_serves_no_other_call() {
    let server = server(Options::slots(1));
    let client = server.client();
    let count = |leave: &str| client.invoke("warm_count", &json!([leave])).expect(200).json();
    assert_eq!([count(""), count(""), count("joined thread"), count("")].map(|n| n.as_u64()), [1, 2, 3, 4].map(Some));
    assert_eq!([count("thread"), count(""), count("")].map(|n| n.as_u64()), [5, 1, 2].map(Some));
    server.stop();
}

#[test]
fn a_warm_process_that_works_between_calls_is_replaced() {
    let server = server(Options::slots(1));
    let client = server.client();
    let count = |leave: &str| client.invoke("warm_count", &json!([leave])).expect(200).json();
    assert_eq!(count("timer"), 1);
    let mut expected = 2;
    eventually("the process is replaced", || {
        let calls = count("").as_u64().expect("a number");
        // Either the same process once more, or the first call of another.
        assert!([1, expected].contains(&calls), "{calls} where {expected} was the next");
        expected = calls + 1;
        if calls == 1 { Ok(()) } else { Err(format!("{calls}")) }
    });
    server.stop();
}
