//! `POST /v1/workers/{id}:drain` and SIGTERM to a worker: it finishes what it has and leaves, and the rest
//! waits for the next.

use bulkhead_tests::{Options, Part, Sleepers, eventually};
use nix::sys::signal::Signal;
use reqwest::Method;
use serde_json::json;

use crate::drain::{submit_sleep, task};
use crate::surroundings::server_with;

#[test]
fn a_drained_worker_finishes_what_it_has_and_leaves() {
    for by_signal in [false, true] {
        let mut server = server_with(Options::slots(1), &["sleep"]);
        let client = server.client();
        let Sleepers { tasks, milliseconds, .. } = Sleepers::start(&client, 1, 6000);
        let running = &tasks[0];
        let waiting = submit_sleep(&client, 1);
        if by_signal {
            server.worker().signal(Signal::SIGTERM);
        } else {
            let id = client.get("/v1/workers").expect(200).json()["workers"][0]["worker_id"].clone();
            let path = format!("/v1/workers/{}:drain", id.as_str().expect("an id"));
            client.call(Method::POST, &path, Part::none()).expect(202);
        }
        let status = server.worker().wait();
        assert_eq!(status.code(), Some(0), "{status}:\n{}", server.log());
        assert_eq!(client.result(running)["result"], milliseconds);
        assert_eq!(task(&client, running)["attempt"], 1);
        eventually("it is gone from the list", || {
            let listed = client.get("/v1/workers").expect(200).json();
            if listed["workers"] == json!([]) { Ok(()) } else { Err(listed.to_string()) }
        });
        assert_eq!(task(&client, &waiting)["status"], "QUEUED");
        server.worker().restart();
        assert_eq!(client.result(&waiting)["result"], 1);
        server.stop();
    }
}
