//! The hostile suite: every function of `sample-functions/faulty` has its exact outcome, and after every
//! one a canary still answers and nothing more is held of the machine than before.

use std::os::unix::fs::MetadataExt;

use bulkhead_tests::{Answer, Client, Footprint, Options, Server, eventually, require_or_skip};
use serde_json::{Value, json};

use crate::surroundings::{server_with, without_usage};

/// What a call has to come to.
pub(crate) enum Expected {
    /// A failure with exactly these facts.
    Failure(Value),
    /// A failure for which several facts are right.
    OneOf(Vec<Value>),
    /// `OutOfMemory` at this limit, told by the kernel where it counts and concluded elsewhere.
    OutOfMemory(u64),
    /// A failure or a result that a closure looks at.
    Checked(fn(&Answer)),
}

use Expected::{Checked, Failure, OneOf, OutOfMemory};

/// A call of a function that has no good in mind.
pub(crate) struct Row {
    function: &'static str,
    arguments: Value,
    /// The wall time of the call; the function's own when empty.
    timeout: &'static str,
    expected: Expected,
}

fn row(function: &'static str, expected: Expected) -> Row {
    Row { function, arguments: json!({}), timeout: "", expected }
}

fn crashed(signal: &str) -> Value {
    json!({"kind": "Crashed", "signal": signal})
}

fn stuck(function: &'static str) -> Row {
    Row { timeout: "?timeout=300ms", ..row(function, Failure(json!({"kind": "TimedOut", "limit_ms": 300}))) }
}

fn limit(limit: &str, value: u64) -> Expected {
    Failure(json!({"kind": "LimitExceeded", "limit": limit, "value": value}))
}

/// All functions of the crate.
fn table() -> Vec<Row> {
    let bytes =
        |function, bytes: u64, expected| Row { arguments: json!({ "bytes": bytes }), ..row(function, expected) };
    vec![
        row("panics", Checked(|answer| panicked(answer, "a deliberate panic"))),
        row("panics_in_thread_joined", Checked(|answer| panicked(answer, "the thread went well: Any { .. }"))),
        row("panic_with_non_string", Checked(|answer| panicked(answer, "a value that is no text"))),
        row("double_panic", Failure(crashed("SIGABRT"))),
        row("segv", Failure(crashed("SIGSEGV"))),
        row("abort", Failure(crashed("SIGABRT"))),
        row("illegal_instruction", Failure(crashed("SIGILL"))),
        row("stack_overflow", OneOf(vec![crashed("SIGSEGV"), crashed("SIGABRT")])),
        row("raises_sigkill", Failure(crashed("SIGKILL"))),
        row("exit_zero_without_result", Failure(json!({"kind": "Exited", "code": 0}))),
        row("exit_42", Failure(json!({"kind": "Exited", "code": 42}))),
        stuck("spins"),
        stuck("spins_blocking_all_signals"),
        stuck("sleeps_forever"),
        row("anonymous_bomb", OutOfMemory(256 << 20)),
        row("thread_bomb", Checked(|answer| grabbed(answer, 32..=63, &[libc_errno::EAGAIN]))),
        row("fd_bomb", Checked(|answer| grabbed(answer, 32..=63, &[libc_errno::EMFILE]))),
        row("stdout_flood", limit("output", 16 << 20)),
        row("stderr_flood", limit("output", 16 << 20)),
        bytes("stdout_flood", 1_000_000, Checked(|answer| succeeded(answer, &json!(1_000_000)))),
        row("huge_result", limit("result", 64 << 20)),
        bytes("huge_result", 100, Checked(|answer| succeeded(answer, &json!("x".repeat(100))))),
        row("fork_bomb", Checked(|answer| grabbed(answer, 0..=0, &[libc_errno::EPERM, libc_errno::EAGAIN]))),
        row("exec_shell", Checked(|answer| nothing_went_through(answer, 1))),
        row("tcp_connect", Checked(|answer| nothing_went_through(answer, 1))),
        row("reads_proc", Checked(|answer| nothing_went_through(answer, 8))),
        row("kill_parent", Checked(|answer| nothing_went_through(answer, 2))),
        row("tmp_leftover", Checked(|answer| succeeded(answer, &json!([])))),
        row("hashmap_keys", Checked(|answer| assert!(answer.clone().expect(200).json().is_u64(), "{}", answer.text()))),
        row("global_mutated", Checked(|answer| succeeded(answer, &json!(1)))),
        row("env_mutated", Checked(|answer| succeeded(answer, &json!(null)))),
        row("tmp_made_hard_to_clean", Checked(|answer| succeeded(answer, &json!(0o700)))),
        // The slot's next call finds it as the first one did.
        row("tmp_made_hard_to_clean", Checked(|answer| succeeded(answer, &json!(0o700)))),
        row("stdout_made_nonblocking", Checked(|answer| succeeded(answer, &json!(false)))),
        row("stdout_made_nonblocking", Checked(|answer| succeeded(answer, &json!(false)))),
        row("inherited_files", Checked(|answer| succeeded(answer, &json!(["0 character device", "1 pipe", "2 pipe"])))),
        row("signals_by_pipe", Checked(|answer| nothing_went_through(answer, 2))),
    ]
}

/// Linux's error numbers, asm-generic/errno-base.h.
mod libc_errno {
    pub(super) const EPERM: i64 = 1;
    pub(super) const EAGAIN: i64 = 11;
    pub(super) const EMFILE: i64 = 24;
}

fn outcome(answer: &Answer) -> Value {
    without_usage(&answer.json()["outcome"])
}

fn panicked(answer: &Answer, message: &str) {
    let outcome = outcome(answer);
    assert_eq!((&outcome["kind"], &outcome["message"]), (&json!("Panicked"), &json!(message)), "{outcome}");
    let location = outcome["location"].as_str().unwrap_or_default();
    assert!(location.contains("faulty/src/panics.rs:"), "{outcome}");
}

fn succeeded(answer: &Answer, expected: &Value) {
    assert_eq!(answer.clone().expect(200).json(), *expected);
}

fn grabbed(answer: &Answer, count: std::ops::RangeInclusive<i64>, errors: &[i64]) {
    let result = answer.clone().expect(200).json();
    assert!(result["count"].as_i64().is_some_and(|got| count.contains(&got)), "not within {count:?}: {result}");
    assert!(result["errno"].as_i64().is_some_and(|errno| errors.contains(&errno)), "none of {errors:?}: {result}");
}

fn nothing_went_through(answer: &Answer, attempts: usize) {
    let result = answer.clone().expect(200).json();
    let all = result.as_array().cloned().unwrap_or_else(|| vec![result]);
    assert_eq!(all.len(), attempts, "{all:?}");
    for attempt in all {
        assert_eq!(attempt["succeeded"], false, "{attempt}");
        assert!(attempt["errno"].as_i64().is_some_and(|errno| errno > 0), "{attempt}");
    }
}

/// Calls every function of the table on a server with `options`, which has one slot.
#[track_caller]
pub(crate) fn run_table(options: Options) {
    let server = server_with(options, &["hello", "faulty"]);
    let client = server.client();
    let mut ledger = Ledger::open(&server, &client);
    let table = table();
    let offered = client.get("/v1/functions").expect(200).json();
    for function in offered["functions"].as_array().expect("a list") {
        let name = function["name"].as_str().expect("a name");
        assert!(name == "hello" || table.iter().any(|row| row.function == name), "no test knows {name}");
    }
    for Row { function, arguments, timeout, expected } in table {
        println!("{function} {arguments}");
        let answer = client.post(&format!("/v1/functions/{function}/invoke{timeout}"), &arguments);
        match expected {
            Failure(expected) => assert_eq!(facts(&outcome(&answer)), expected, "{}", answer.text()),
            OutOfMemory(bytes) => {
                // Without a group for memory there is but the failed allocation.
                let inferred = !ledger
                    .first
                    .cgroups
                    .iter()
                    .any(|group| group.join("memory.limit_in_bytes").exists() || group.join("memory.max").exists());
                let expected = json!({"kind": "OutOfMemory", "limit_bytes": bytes, "inferred": inferred});
                assert_eq!(facts(&outcome(&answer)), expected, "{}", answer.text());
            }
            OneOf(all) => assert!(all.contains(&facts(&outcome(&answer))), "{}", answer.text()),
            Checked(check) => check(&answer),
        }
        ledger.check(&server, &client, function);
    }
    server.stop();
}

/// An outcome without what the function printed.
fn facts(outcome: &Value) -> Value {
    let mut facts = outcome.clone();
    for printed in ["stdout", "stderr"] {
        facts.as_object_mut().map(|facts| facts.remove(printed));
    }
    facts
}

/// What a server with one slot must hold: the same for each function that has a runner.
pub(crate) struct Ledger {
    /// Before any call.
    idle: Footprint,
    /// With one runner.
    first: Footprint,
    /// Functions that were called.
    called: Vec<String>,
}

impl Ledger {
    /// Begins with a call of `hello`.
    #[track_caller]
    pub(crate) fn open(server: &Server, client: &Client) -> Self {
        let idle = settled(server);
        assert_eq!(idle.processes, 0, "an idle server has no process");
        canary(client);
        let first = settled(server);
        // Init, zygote, and the child that waits for the next call.
        assert_eq!(first.processes, 3, "a runner of one slot is three processes");
        assert!(first.descriptors > idle.descriptors);
        let is_root = |pid: &u32| std::fs::metadata(format!("/proc/{pid}")).is_ok_and(|process| process.uid() == 0);
        let as_root = server.pids().iter().all(is_root);
        let counts_groups = first.cgroups.len() > idle.cgroups.len();
        // An ordinary user has none unless somebody delegates one.
        let _ = !as_root || require_or_skip(counts_groups, "there are no control groups whose leaks could be seen");
        Self { idle, first, called: vec!["hello".to_owned()] }
    }

    /// Checks that the canary answers and that the server holds what its runners need and nothing else.
    #[track_caller]
    pub(crate) fn check(&mut self, server: &Server, client: &Client, function: &str) {
        canary(client);
        if !self.called.iter().any(|called| called == function) {
            self.called.push(function.to_owned());
        }
        self.check_again(server, function);
    }

    /// The same after a call of a function that keeps no runner.
    #[track_caller]
    pub(crate) fn check_again(&self, server: &Server, function: &str) {
        let runners = self.called.len();
        let each = |first: usize, idle: usize| idle + runners * (first - idle);
        eventually(&format!("{function} leaves nothing behind"), || {
            let now = server.footprint();
            let expected = [
                each(self.first.processes, 0),
                each(self.first.descriptors, self.idle.descriptors),
                each(self.first.cgroups.len(), self.idle.cgroups.len()),
            ];
            let counts = [now.processes, now.descriptors, now.cgroups.len()];
            if counts != expected {
                return Err(format!("processes, descriptors, cgroups: {counts:?} instead of {expected:?}"));
            }
            if now.temporary.is_empty() && now.mounts == self.idle.mounts && now.kept == self.first.kept {
                return Ok(());
            }
            Err(format!("{now:#?} instead of {:#?}", self.first))
        });
    }
}

#[track_caller]
fn canary(client: &Client) {
    assert_eq!(client.invoke("hello", &json!({"who": "canary"})).expect(200).json(), "Hello, canary!");
}

/// What a server holds once it holds the same for a while: connections close when they like.
#[track_caller]
pub(crate) fn settled(server: &Server) -> Footprint {
    let mut last = server.footprint();
    let mut same = 0;
    eventually("the server comes to rest", || {
        let now = server.footprint();
        same = if now == last { same + 1 } else { 0 };
        last = now;
        if same == 50 { Ok(last.clone()) } else { Err(format!("{last:#?}")) }
    })
}

#[test]
fn every_faulty_function_has_its_outcome_and_leaves_nothing_behind() {
    run_table(Options::slots(1));
}

#[test]
fn a_flood_is_cut_at_its_limit_and_marked() {
    let server = server_with(Options::default(), &["faulty"]);
    let client = server.client();
    for (function, stream) in [("stdout_flood", "stdout"), ("stderr_flood", "stderr")] {
        let task = client.submit(&json!({"function": function, "args": {"bytes": 1_000_000}}));
        assert_eq!(client.result(&task)["result"], 1_000_000);
        let logs = client.get(&format!("/v1/tasks/{task}/logs")).expect(200).json();
        assert_eq!(logs["truncated"], true);
        let length = logs[stream].as_str().expect("text").len();
        // Each stream has half of the bytes that are kept; the mark of the cut comes on top.
        assert!((128 << 10..(128 << 10) + 100).contains(&length), "{length} bytes of {stream}");
    }
    let exact = client.submit(&json!({"function": "stdout_flood", "args": {"bytes": 128 << 10}}));
    client.result(&exact);
    let logs = client.get(&format!("/v1/tasks/{exact}/logs")).expect(200).json();
    assert_eq!((&logs["truncated"], logs["stdout"].as_str().map(str::len)), (&json!(false), Some(128 << 10)));
}

#[test]
fn a_failure_comes_with_the_end_of_what_it_printed() {
    let server = server_with(Options::default(), &["faulty"]);
    let answer = server.client().invoke("panics", &json!({})).expect(500).json();
    let printed = answer["outcome"]["stderr"].as_str().unwrap_or_default();
    assert!(printed.contains("a deliberate panic"), "{answer}");
}
