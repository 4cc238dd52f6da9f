//! SIGTERM and Ctrl-C where calls run in the process that answers requests: whoever waits for a call
//! has an answer before the end.

use bulkhead_tests::{Options, Part, Sleepers, eventually};
use nix::sys::signal::Signal;
use reqwest::Method;
use serde_json::json;

use crate::drain::task;
use crate::surroundings::{problem, server_with};

#[test]
fn a_synchronous_call_is_answered_before_the_end() {
    let mut server = server_with(Options::config("slots = 1\ngrace = \"60s\"\n"), &["sleep"]);
    let client = server.client();
    let caller = client.clone();
    let call = std::thread::spawn(move || caller.invoke("sleep", &json!([6000])));
    // The call is no task, so its process is what there is to see of it.
    eventually("the call runs", || if server.processes().len() == 4 { Ok(()) } else { Err("not yet".into()) });
    server.end_by(Signal::SIGTERM);
    let server = server.restart();
    assert_eq!(call.join().expect("an answer").expect(200).json(), 6000);
    server.stop();
}

#[test]
fn a_call_that_outlives_its_wait_during_the_grace_is_requeued() {
    let mut server = server_with(Options::config("slots = 1\ngrace = \"3s\"\n"), &["sleep"]);
    let client = server.client();
    let caller = client.clone();
    let call = std::thread::spawn(move || {
        let call = Part::json(&json!([10_000])).header("prefer", "wait=1");
        caller.call(Method::POST, "/v1/functions/sleep/invoke", call)
    });
    eventually("the call runs", || if server.processes().len() == 4 { Ok(()) } else { Err("not yet".into()) });
    server.end_by(Signal::SIGTERM);
    let server = server.restart();
    let accepted = call.join().expect("an answer").expect(202).json();
    let id = accepted["task_id"].as_str().expect("its id");
    let client = server.client();
    assert_eq!(client.result(id)["result"], 10_000, "{}", task(&client, id));
    assert_eq!(task(&client, id)["attempt"], 2);
    server.stop();
}

#[test]
fn a_call_over_the_grace_is_told_that_the_server_shut_down() {
    let mut server = server_with(Options::config("slots = 1\ngrace = \"300ms\"\n"), &["sleep"]);
    let client = server.client();
    let caller = client.clone();
    let call = std::thread::spawn(move || caller.invoke("sleep", &json!([60_000])));
    eventually("the call runs", || if server.processes().len() == 4 { Ok(()) } else { Err("not yet".into()) });
    server.end_by(Signal::SIGTERM);
    let server = server.restart();
    let told = problem(call.join().expect("an answer"), 503, "shutting-down");
    assert_eq!(told["detail"], "the server shut down before the call ended; the call was cancelled");
    server.stop();
}

#[test]
fn the_second_signal_ends_at_once() {
    let mut server = server_with(Options::config("slots = 1\ngrace = \"60s\"\n"), &["sleep"]);
    let client = server.client();
    Sleepers::start(&client, 1, 60_000);
    let processes = server.processes();
    server.front().signal(Signal::SIGTERM);
    server.wait_for("shutting down; once more ends at once");
    server.front().signal(Signal::SIGTERM);
    assert_eq!(server.front().wait().code(), Some(130));
    for process in processes {
        eventually("processes of the server end with it", || process.is_gone());
    }
}
