//! The same walls for a server that an ordinary user runs.

use std::path::Path;
use std::process::Command;

use bulkhead_tests::{Options, User, is_root, require_or_skip, run_within};
use serde_json::json;

use crate::faulty::run_table;
use crate::surroundings::{executables, server_with};

/// A user to run a server as; none where there cannot be one.
fn user() -> Option<User> {
    // Everybody else runs all other tests as an ordinary user already.
    if !require_or_skip(is_root(), "the tests do not run as root, so they cannot change the user") {
        return None;
    }
    let user = User::unused();
    let can_start = |program: &Path| {
        let id = user.id.to_string();
        let mut command = Command::new("setpriv");
        command.args(["--reuid", &id, "--regid", &id, "--clear-groups", "--", "test", "-x"]).arg(program);
        run_within(command, b"", bulkhead_tests::SHORT).code == Some(0)
    };
    let executables = executables();
    let reachable = can_start(&executables.bulkhead) && can_start(&executables.runner);
    require_or_skip(reachable, "an ordinary user cannot reach the executables").then_some(user)
}

#[test]
fn every_faulty_function_has_its_outcome_and_leaves_nothing_behind() {
    let Some(user) = user() else { return };
    run_table(Options::slots(1).user(Some(user)));
}

#[test]
fn refused_calls_are_named() {
    let Some(user) = user() else { return };
    crate::policy::refused_calls_are_named(Options::slots(1).user(Some(user)));
}

#[test]
fn grants_are_held_to_their_bounds() {
    let Some(user) = user() else { return };
    crate::grants::network(Options::default().user(Some(user)));
    crate::grants::processes(Options::default().user(Some(user)));
}

#[test]
fn the_server_runs_as_that_user_and_its_data_outlive_it() {
    let Some(user) = user() else { return };
    let server = server_with(Options::slots(2).user(Some(user)), &["hello", "tmp-scratch"]);
    for pid in server.pids() {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
        let ids = format!("Uid:\t{0}\t{0}\t{0}\t{0}", user.id);
        assert!(status.contains(&ids), "{status}");
        assert!(status.contains("CapEff:\t0000000000000000"), "{status}");
    }
    let client = server.client();
    let sorted = client.invoke("external_sort", &json!({"numbers": [3, 1, 2], "run_length": 1})).expect(200).json();
    assert_eq!(sorted["numbers"], json!([1, 2, 3]));
    let task = client.submit(&json!({"function": "hello", "args": ["Ada"]}));
    assert_eq!(client.result(&task)["result"], "Hello, Ada!");
    let server = server.restart();
    assert_eq!(server.client().result(&task)["result"], "Hello, Ada!");
    server.stop();
}
