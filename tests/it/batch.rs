//! `/v1/tasks:batch`: many tasks in one request.

use bulkhead_tests::{Answer, Client, Options, Part};
use reqwest::Method;
use serde_json::{Value, json};

use crate::surroundings::{problem, server_with, task_ids};

fn submit(client: &Client, body: &str) -> Answer {
    client.call(Method::POST, "/v1/tasks:batch", Part::typed("application/x-ndjson", body))
}

fn lines(answer: &Answer) -> Vec<Value> {
    answer.text().lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

#[test]
fn every_line_has_an_answer_and_the_good_ones_run() {
    let server = server_with(Options::default(), &["hello"]);
    let client = server.client();
    let body = concat!(
        "{\"function\": \"hello\", \"args\": [\"Ada\"]}\n",
        "\n",
        "{\"function\": \"nobody\", \"args\": []}\n",
        "{\"function\": \"hello\", \"args\": [\"Bob\"], \"timeut\": \"1s\"}\n",
        "nonsense\n",
        "{\"function\": \"hello\", \"args\": {\"who\": \"Eve\"}, \"labels\": {\"a\": \"b\"}}",
    );
    let answer = submit(&client, body).expect(200);
    assert_eq!(answer.header("content-type"), "application/x-ndjson");
    let group = answer.header("bulkhead-group-id").to_owned();
    let lines = lines(&answer);
    assert_eq!(lines.len(), 5);
    for (index, line) in lines.iter().enumerate() {
        assert_eq!((&line["index"], &line["group_id"]), (&json!(index), &json!(group)), "{line}");
    }
    let kinds: Vec<&Value> = lines.iter().map(|line| &line["problem"]["type"]).collect();
    let (unknown, invalid) = (json!("/errors/unknown-function"), json!("/errors/invalid-request"));
    assert_eq!(kinds, [&Value::Null, &unknown, &invalid, &json!("/errors/malformed-request"), &Value::Null]);
    assert_eq!(lines[2]["problem"]["field"], "timeut");

    let good: Vec<&str> = [0, 4].map(|index: usize| lines[index]["task_id"].as_str().expect("an id")).into();
    assert_eq!(client.result(good[0])["result"], "Hello, Ada!");
    assert_eq!(client.result(good[1])["result"], "Hello, Eve!");
    let listed = client.get(&format!("/v1/tasks?label.bulkhead.group={group}")).expect(200).json();
    assert_eq!(listed["tasks"].as_array().map(Vec::len), Some(2));
    assert_eq!(task_ids(&client), [good[1], good[0]]);
    server.stop();
}

#[test]
fn a_batch_at_its_bound_is_taken_and_one_above_is_not() {
    let server = server_with(Options::config("gateway.batch_tasks = 100\ngateway.batch_bytes = \"8KiB\"\n"), &["noop"]);
    let client = server.client();
    let line = "{\"function\": \"noop\", \"args\": []}\n";
    let at = submit(&client, &line.repeat(100)).expect(200);
    let tasks: Vec<String> =
        lines(&at).iter().map(|line| line["task_id"].as_str().expect("an id").to_owned()).collect();
    assert_eq!(tasks.len(), 100);
    tasks.iter().for_each(|task| assert_eq!(client.result(task)["status"], "COMPLETED"));

    let above = problem(submit(&client, &line.repeat(101)), 422, "invalid-request");
    assert_eq!(above["detail"], "101 lines are not between 1 and 100, the bound batch_tasks");
    problem(submit(&client, "\n \n"), 422, "invalid-request");
    let long = problem(submit(&client, &" ".repeat(8193)), 413, "too-large");
    assert_eq!(long["detail"], "8193 bytes are more than batch_bytes allows: 8192 bytes");
    assert_eq!((&long["limit"], &long["limit_value"]), (&json!("batch_bytes"), &json!(8192)));
    problem(submit(&client, &" ".repeat(8192)), 422, "invalid-request");
    assert_eq!(task_ids(&client).len(), 100);
}
