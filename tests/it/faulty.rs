//! A hostile function of each kind in this setting: its exact outcome comes all the way, and nothing is left
//! of it. All of them, on every ground that a server can stand on, are in `tests/hostile`.

use bulkhead_tests::{Options, hostile};
use serde_json::json;

use crate::surroundings::{packages, server_with};

/// Rows of the table, of each kind of outcome one.
const ROWS: [&str; 14] = [
    "ctor_segv",
    "segv",
    "exit_42",
    "panics",
    "spins",
    "anonymous_bomb",
    "stdout_flood",
    "huge_result",
    "file_too_large",
    "exec_shell",
    "kill_parent",
    "ptrace",
    "length_u64_max",
    "global_mutated",
];

#[test]
fn a_function_of_each_kind_has_its_outcome_and_leaves_nothing_behind() {
    let server = server_with(Options::slots(1), &["hello", "faulty"]);
    let table = hostile::table();
    let rows: Vec<_> = table.iter().filter(|row| ROWS.contains(&row.name)).collect();
    assert_eq!(rows.len(), ROWS.len());
    hostile::run(&server, packages(), rows);
    server.stop();
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
