//! A server that an ordinary user runs. The hostile suite on this ground is in `tests/hostile`.

use bulkhead_tests::Options;
use bulkhead_tests::hostile::unprivileged;
use serde_json::json;

use crate::surroundings::{executables, server_with};

#[test]
fn refused_calls_are_named() {
    let Some(user) = unprivileged(executables()) else { return };
    crate::policy::refused_calls_are_named(Options::slots(1).user(Some(user)));
}

#[test]
fn grants_are_held_to_their_bounds() {
    let Some(user) = unprivileged(executables()) else { return };
    crate::grants::network(Options::default().user(Some(user)));
    crate::grants::processes(Options::default().user(Some(user)));
}

#[test]
fn the_server_runs_as_that_user_and_its_data_outlive_it() {
    let Some(user) = unprivileged(executables()) else { return };
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
