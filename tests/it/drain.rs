//! SIGTERM and Ctrl-C: what runs finishes or is requeued, nothing acknowledged is lost, exit code 0.

use bulkhead_tests::{Client, Options, Sleepers};
use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::surroundings::server_with;

pub(crate) fn submit_sleep(client: &Client, milliseconds: u64) -> String {
    client.submit(&json!({"function": "sleep", "args": [milliseconds]}))
}

pub(crate) fn task(client: &Client, id: &str) -> Value {
    client.get(&format!("/v1/tasks/{id}")).expect(200).json()
}

#[test]
fn what_runs_finishes_within_the_grace_and_the_queue_waits_for_the_next_server() {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let mut server = server_with(Options::config("slots = 1\ngrace = \"60s\"\n"), &["sleep"]);
        let client = server.client();
        let Sleepers { tasks, milliseconds, .. } = Sleepers::start(&client, 1, 3000);
        let running = &tasks[0];
        let queued = submit_sleep(&client, 1);
        server.end_by(signal);
        let server = server.restart();
        let client = server.client();
        assert_eq!(task(&client, running)["attempt"], 1, "it finished in its first attempt");
        assert_eq!(client.result(running)["result"], milliseconds);
        assert_eq!(client.result(&queued)["result"], 1);
        assert_eq!(task(&client, &queued)["attempt"], 1, "it had not begun before");
        server.stop();
    }
}

#[test]
fn what_does_not_finish_within_the_grace_is_requeued() {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let mut server = server_with(Options::config("slots = 1\ngrace = \"200ms\"\n"), &["sleep"]);
        let client = server.client();
        let Sleepers { tasks, milliseconds, .. } = Sleepers::start(&client, 1, 5000);
        let running = &tasks[0];
        server.end_by(signal);
        let server = server.restart();
        let client = server.client();
        assert_eq!(client.result(running)["result"], milliseconds);
        assert_eq!(task(&client, running)["status"], "COMPLETED");
        server.stop();
    }
}
