//! What each isolation keeps apart, and that failures in each leave nothing behind.

use std::sync::OnceLock;

use bulkhead_tests::hostile::{Ledger, settled};
use bulkhead_tests::{Client, Options, Server, checkout, eventually};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

use crate::surroundings::{executables, packages, server_with, without_usage};

/// The package of `tests/isolated`.
pub(crate) fn isolated() -> &'static [u8] {
    static PACKAGE: OnceLock<Vec<u8>> = OnceLock::new();
    PACKAGE.get_or_init(|| {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let file = folder.path().join("isolated.bhpkg");
        let command_line = bulkhead_tests::CommandLine::new(executables(), &checkout());
        command_line.run(&["build", "tests/isolated", "--out", file.to_str().expect("UTF-8")]).expect(0);
        std::fs::read(file).expect("a package")
    })
}

fn server() -> Server {
    let server = server_with(Options::slots(1), &["hello"]);
    server.client().register(isolated()).expect(201);
    server
}

/// A result, or an outcome without what it used and printed.
fn act(client: &Client, function: &str, what: &str) -> Value {
    let answer = client.post(&format!("/v1/functions/{function}/invoke?timeout=500ms"), &json!([what]));
    if answer.status == 200 {
        return answer.json();
    }
    let mut outcome = without_usage(&answer.json()["outcome"]);
    for part in ["stdout", "stderr", "location"] {
        outcome.as_object_mut().map(|outcome| outcome.remove(part));
    }
    outcome
}

/// How each act ends, in whatever isolation.
fn ends() -> [(&'static str, Value); 6] {
    [
        ("fail", json!({"kind": "FunctionError", "code": "asked", "message": "as asked", "retryable": false})),
        ("panic", json!({"kind": "Panicked", "message": "as asked"})),
        ("abort", json!({"kind": "Crashed", "signal": "SIGABRT"})),
        ("exit", json!({"kind": "Exited", "code": 7})),
        ("spin", json!({"kind": "TimedOut", "limit_ms": 500})),
        ("allocate", json!({"kind": "OutOfMemory", "limit_bytes": 256 << 20, "inferred": true})),
    ]
}

#[test]
fn fresh_and_exec_keep_every_call_apart() {
    let server = server();
    let client = server.client();
    for function in ["act_fresh", "act_exec"] {
        for (what, end) in ends() {
            assert_eq!(act(&client, function, "count"), json!([1, 0]), "{function} before {what}");
            assert_eq!(act(&client, function, what), end, "{function} {what}");
        }
        assert_eq!(act(&client, function, "count"), json!([1, 0]), "{function}");
    }
    server.stop();
}

/// Init, zygote, keeper and child, killed one by one while the function rests.
#[test]
fn whichever_process_of_a_runner_is_killed_its_function_goes_on() {
    let server = server_with(Options::slots(1), &["hello"]);
    let client = server.client();
    let greet = || client.invoke("hello", &json!({"who": "Ada"}));
    greet().expect(200);
    let before = settled(&server);
    assert_eq!(before.processes, 4);
    for number in 0..before.processes {
        let victim = server.processes().swap_remove(number);
        kill(Pid::from_raw(victim.pid.cast_signed()), Signal::SIGKILL).expect("it lives");
        eventually("it is gone", || victim.is_gone());
        // Until its end is noticed a call may meet it, and says so.
        eventually(&format!("a call ends well after the end of process {number}"), || match greet().status {
            200 => Ok(()),
            other => Err(other.to_string()),
        });
        eventually("the runner is whole again", || {
            let now = server.footprint();
            let whole = (now.processes, now.zombies, now.descriptors, now.cgroups.len());
            let expected = (before.processes, 0, before.descriptors, before.cgroups.len());
            if whole == expected { Ok(()) } else { Err(format!("{whole:?} instead of {expected:?}")) }
        });
    }
    server.stop();
}

#[test]
fn a_warm_process_serves_on_until_it_dies() {
    let server = server();
    let client = server.client();
    // Calls of the process, and files that it finds: it keeps both.
    assert_eq!(act(&client, "act_reuse", "count"), json!([1, 0]));
    assert_eq!(act(&client, "act_reuse", "count"), json!([2, 1]));
    for (what, end) in ends() {
        assert_eq!(act(&client, "act_reuse", what), end, "{what}");
        let [calls, found] = [0, 1].map(|index: usize| act(&client, "act_reuse", "count")[index].clone());
        match what {
            // It went on.
            "fail" => assert_eq!((calls, found), (json!(4), json!(4))),
            "panic" => assert!(calls == 1 || calls == 7, "after a panic: {calls}"),
            // Another one came, into a clean folder.
            _ => assert_eq!((calls, found), (json!(1), json!(1)), "after {what}"),
        }
    }
    server.stop();
}

#[test]
fn failures_in_reuse_and_exec_leave_nothing_behind() {
    let server = server();
    let client = server.client();
    let mut ledger = Ledger::open(&server, &client);
    for (what, end) in ends() {
        assert_eq!(act(&client, "act_exec", what), end, "{what}");
        ledger.check_again(&server, &format!("act_exec {what}"));
    }
    assert_eq!(act(&client, "act_fresh", "count"), json!([1, 0]));
    ledger.check(&server, "act_fresh");
    server.stop();

    // A warm process has more descriptors than a fresh one, so it is its own measure.
    let server = server_with(Options::slots(1), &[]);
    server.client().register(packages().get("hello")).expect(201);
    server.client().register(isolated()).expect(201);
    let client = server.client();
    assert_eq!(act(&client, "act_reuse", "count"), json!([1, 0]));
    let before = settled(&server);
    assert_eq!(before.processes, 4);
    for (what, end) in ends() {
        assert_eq!(act(&client, "act_reuse", what), end, "{what}");
        // A process that has served a call is watched by a descriptor, so there has to be one as before.
        act(&client, "act_reuse", "count");
        eventually(&format!("act_reuse {what} leaves nothing behind"), || {
            let now = server.footprint();
            if now == before { Ok(()) } else { Err(format!("{now:#?} instead of {before:#?}")) }
        });
    }
    server.stop();
}
