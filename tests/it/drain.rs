//! SIGTERM and Ctrl-C: what runs finishes or is requeued, nothing acknowledged is lost, exit code 0.

use bulkhead_tests::{Client, Options, Part, Server, eventually, processes_below};
use nix::sys::signal::Signal;
use reqwest::Method;
use serde_json::{Value, json};

use crate::surroundings::{problem, server_with};

fn submit_sleep(client: &Client, milliseconds: u64) -> String {
    client.submit(&json!({"function": "sleep", "args": [milliseconds]}))
}

fn task(client: &Client, id: &str) -> Value {
    client.get(&format!("/v1/tasks/{id}")).expect(200).json()
}

fn wait_until_running(client: &Client, id: &str) {
    eventually("the task runs", || {
        let task = task(client, id);
        if task["status"] == "RUNNING" { Ok(()) } else { Err(task.to_string()) }
    });
}

/// Sends a signal and checks that the server ends well and leaves no process.
#[track_caller]
fn end_by(mut server: Server, signal: Signal) -> Server {
    let processes = processes_below(server.pid());
    server.signal(signal);
    let status = server.wait();
    assert_eq!(status.code(), Some(0), "{status}:\n{}", server.log());
    for process in processes {
        eventually("processes of the server end with it", || process.is_gone());
    }
    let left = server.folder().join("tmp").read_dir().expect("it is there").count();
    assert_eq!(left, 0, "temporary files are left");
    server.restart()
}

#[test]
fn what_runs_finishes_within_the_grace_and_the_queue_waits_for_the_next_server() {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let server = server_with(Options::config("slots = 1\ngrace = \"60s\"\n"), &["sleep"]);
        let client = server.client();
        let running = submit_sleep(&client, 1500);
        wait_until_running(&client, &running);
        let queued = submit_sleep(&client, 1);
        let server = end_by(server, signal);
        let client = server.client();
        assert_eq!(task(&client, &running)["attempt"], 1, "it finished in its first attempt");
        assert_eq!(client.result(&running)["result"], 1500);
        assert_eq!(client.result(&queued)["result"], 1);
        assert_eq!(task(&client, &queued)["attempt"], 1, "it had not begun before");
        server.stop();
    }
}

#[test]
fn what_does_not_finish_within_the_grace_is_requeued() {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let server = server_with(Options::config("slots = 1\ngrace = \"200ms\"\n"), &["sleep"]);
        let client = server.client();
        let running = submit_sleep(&client, 5000);
        wait_until_running(&client, &running);
        let server = end_by(server, signal);
        let client = server.client();
        assert_eq!(client.result(&running)["result"], 5000);
        assert_eq!(task(&client, &running)["status"], "COMPLETED");
        server.stop();
    }
}

#[test]
fn a_synchronous_call_is_answered_before_the_end() {
    let server = server_with(Options::config("slots = 1\ngrace = \"60s\"\n"), &["sleep"]);
    let client = server.client();
    let caller = client.clone();
    let call = std::thread::spawn(move || caller.invoke("sleep", &json!([2500])));
    // The call is no task, so its process is what there is to see of it.
    eventually(
        "the call runs",
        || if processes_below(server.pid()).len() == 3 { Ok(()) } else { Err("not yet".into()) },
    );
    let server = end_by(server, Signal::SIGTERM);
    assert_eq!(call.join().expect("an answer").expect(200).json(), 2500);
    server.stop();
}

#[test]
fn a_call_that_outlives_its_wait_during_the_grace_is_requeued() {
    let server = server_with(Options::config("slots = 1\ngrace = \"3s\"\n"), &["sleep"]);
    let client = server.client();
    let caller = client.clone();
    let call = std::thread::spawn(move || {
        let call = Part::json(&json!([5000])).header("prefer", "wait=1");
        caller.call(Method::POST, "/v1/functions/sleep/invoke", call)
    });
    eventually(
        "the call runs",
        || if processes_below(server.pid()).len() == 3 { Ok(()) } else { Err("not yet".into()) },
    );
    let server = end_by(server, Signal::SIGTERM);
    let accepted = call.join().expect("an answer").expect(202).json();
    let id = accepted["task_id"].as_str().expect("its id");
    let client = server.client();
    assert_eq!(client.result(id)["result"], 5000, "{}", task(&client, id));
    assert_eq!(task(&client, id)["attempt"], 2);
    server.stop();
}

#[test]
fn a_call_over_the_grace_is_told_that_the_server_shut_down() {
    let server = server_with(Options::config("slots = 1\ngrace = \"300ms\"\n"), &["sleep"]);
    let client = server.client();
    let caller = client.clone();
    let call = std::thread::spawn(move || caller.invoke("sleep", &json!([60_000])));
    eventually(
        "the call runs",
        || if processes_below(server.pid()).len() == 3 { Ok(()) } else { Err("not yet".into()) },
    );
    let server = end_by(server, Signal::SIGTERM);
    let told = problem(call.join().expect("an answer"), 503, "shutting-down");
    assert_eq!(told["detail"], "the server shut down before the call ended; the call was cancelled");
    server.stop();
}

#[test]
fn the_second_signal_ends_at_once() {
    let mut server = server_with(Options::config("slots = 1\ngrace = \"60s\"\n"), &["sleep"]);
    let client = server.client();
    let running = submit_sleep(&client, 60_000);
    wait_until_running(&client, &running);
    let processes = processes_below(server.pid());
    server.signal(Signal::SIGTERM);
    server.wait_for("shutting down; once more ends at once");
    server.signal(Signal::SIGTERM);
    assert_eq!(server.wait().code(), Some(130));
    for process in processes {
        eventually("processes of the server end with it", || process.is_gone());
    }
}
