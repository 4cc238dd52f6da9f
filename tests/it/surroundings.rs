//! What nearly every test begins with.

use bulkhead_tests::{Answer, Client, Options, Server};
use serde_json::Value;

pub(crate) use bulkhead_tests::hostile::without_usage;

pub(crate) use super::built::{executables, packages};

/// A server in the setting of this test binary.
#[track_caller]
pub(crate) fn start(options: Options) -> Server {
    Server::start(executables(), crate::SETTING, options)
}

/// A server with the functions of these crates.
#[track_caller]
pub(crate) fn server_with(options: Options, crates: &[&str]) -> Server {
    let packages = packages();
    let server = start(options);
    for name in crates {
        server.client().register(packages.get(name)).expect(201);
    }
    server
}

/// The id of the newest version of a function.
#[track_caller]
pub(crate) fn function_id(client: &Client, name: &str) -> String {
    let described = client.get(&format!("/v1/functions/{name}")).expect(200).json();
    described["function_id"].as_str().expect("an id").to_owned()
}

/// Checks an error answer: its status, the kind of problem, and that it is whole.
#[track_caller]
pub(crate) fn problem(answer: Answer, status: u16, kind: &str) -> Value {
    let answer = answer.expect(status);
    assert_eq!(answer.header("content-type"), "application/problem+json", "{}", answer.text());
    let problem = answer.json();
    assert_eq!(problem["type"], format!("/errors/{kind}"), "{problem}");
    assert_eq!(problem["status"], status, "{problem}");
    assert_eq!(problem["request_id"], answer.header("x-request-id"), "{problem}");
    for member in ["title", "detail", "request_id"] {
        assert!(problem[member].as_str().is_some_and(|text| !text.is_empty()), "{member} of {problem}");
    }
    assert!(problem["retryable"].is_boolean(), "{problem}");
    problem
}

/// The ids of all tasks that a server knows.
#[track_caller]
pub(crate) fn task_ids(client: &Client) -> Vec<String> {
    let page = client.get("/v1/tasks?limit=1000").expect(200).json();
    assert!(page["cursor"].is_null(), "there are more than one page holds");
    let tasks = page["tasks"].as_array().expect("a list");
    tasks.iter().map(|task| task["task_id"].as_str().expect("an id").to_owned()).collect()
}
