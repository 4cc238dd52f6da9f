//! `/v1/functions`: register, list, describe, versions, aliases, remove.

use bulkhead_protocol::package;
use bulkhead_tests::{Client, Options, Part};
use reqwest::Method;
use serde_json::{Value, json};

use crate::surroundings::{function_id, packages, problem, server_with, start};

fn upload(client: &Client, query: &str, package: &[u8]) -> bulkhead_tests::Answer {
    client.call(Method::POST, &format!("/v1/functions{query}"), Part::typed("application/octet-stream", package))
}

/// The same functions in other bytes: what a new build of a changed crate is to a server.
fn changed(package: &[u8]) -> Vec<u8> {
    let mut unpacked = package::unpack(package).expect("a package");
    unpacked.manifest.version = "0.2.0".to_owned();
    package::pack(unpacked.manifest, &unpacked.library).expect("it can be packed")
}

#[test]
fn a_package_is_registered_whole_and_the_same_bytes_change_nothing() {
    let server = start(Options::default());
    let client = server.client();
    let echo = packages().get("echo");
    let first = client.register(echo).expect(201).json();
    assert_eq!(first["package_id"], package::id_of(echo).to_string());
    let functions = first["functions"].as_array().expect("a list");
    let mut facts: Vec<String> =
        functions.iter().map(|f| json!([f["name"], f["version"], f["created"]]).to_string()).collect();
    // In a package they stand as the linker put them.
    facts.sort();
    assert_eq!(facts, ["[\"echo\",1,true]", "[\"echo_reuse\",1,true]"]);

    let again = client.register(echo).expect(200).json();
    assert_eq!(again["package_id"], first["package_id"]);
    for (before, after) in functions.iter().zip(again["functions"].as_array().expect("a list")) {
        assert_eq!((&after["function_id"], &after["created"]), (&before["function_id"], &json!(false)));
    }
    assert_eq!(server.packages(), 1);
    server.stop();
}

#[test]
fn other_bytes_become_the_next_version_and_references_mean_what_they_say() {
    let server = server_with(Options::default(), &["hello"]);
    let client = server.client();
    let first = function_id(&client, "hello");
    let second = upload(&client, "", &changed(packages().get("hello"))).expect(201).json();
    assert_eq!(second["functions"][0]["version"], 2);
    let second = second["functions"][0]["function_id"].as_str().expect("an id").to_owned();

    let set = client.call(Method::PUT, "/v1/functions/hello/aliases/prod", Part::json(&json!({"version": 1})));
    assert_eq!(set.expect(200).json(), json!({"name": "hello", "alias": "prod", "version": 1}));
    for (reference, version) in
        [("hello", 2), ("hello@1", 1), ("hello@2", 2), ("hello:prod", 1), (&first, 1), (&second, 2)]
    {
        let described = client.get(&format!("/v1/functions/{reference}")).expect(200).json();
        assert_eq!((&described["name"], &described["version"]), (&json!("hello"), &json!(version)), "{reference}");
        assert_eq!(client.invoke(reference, &json!(["Ada"])).expect(200).json(), "Hello, Ada!", "{reference}");
    }

    let moved = client.call(Method::PUT, "/v1/functions/hello/aliases/prod/", Part::json(&json!({"version": 2})));
    assert_eq!(moved.expect(200).json()["version"], 2);
    assert_eq!(client.get("/v1/functions/hello:prod").expect(200).json()["function_id"], second);
    let versions = client.get("/v1/functions/hello/versions").expect(200).json();
    let versions: Vec<Value> =
        versions["versions"].as_array().expect("a list").iter().map(|v| json!([v["version"], v["aliases"]])).collect();
    assert_eq!(versions, [json!([2, ["prod"]]), json!([1, null])]);
}

#[test]
fn a_function_is_described_with_documentation_schemas_and_limits() {
    let server = server_with(Options::default(), &["thumbnail", "noop"]);
    let client = server.client();
    let described = client.get("/v1/functions/thumbnail").expect(200).json();
    assert!(described["doc"].as_str().expect("text").starts_with("Scales a PNG or JPEG"), "{described}");
    let parameters = described["parameters"].as_array().expect("a list");
    let facts: Vec<Value> = parameters.iter().map(|p| json!([p["name"], p["required"]])).collect();
    assert_eq!(facts, [json!(["picture", true]), json!(["max_side", false])]);
    assert_eq!(described["input_schema"]["required"], json!(["picture"]));
    let output = &described["output_schema"];
    let output = output["$ref"].as_str().map_or(output, |place| output.pointer(&place[1..]).expect("a place in it"));
    assert_eq!(output["properties"]["width"]["type"], "integer", "{described}");
    assert_eq!(described["limits"]["memory_bytes"], 512 << 20);
    assert_eq!(described["limits"]["timeout_ms"], 30_000);
    assert_eq!(described["limits"]["open_files"], 64);
    assert_eq!((&described["isolation"], &described["versions"]), (&json!("fresh"), &json!([1])));
    assert_eq!(client.get("/v1/functions/noop_reuse").expect(200).json()["isolation"], "reuse");
}

#[test]
fn the_list_has_pages() {
    let server = server_with(Options::default(), &["hello", "noop", "echo"]);
    let client = server.client();
    let mut names = Vec::new();
    let mut path = "/v1/functions?limit=2".to_owned();
    loop {
        let page = client.get(&path).expect(200).json();
        let functions = page["functions"].as_array().expect("a list");
        assert!(functions.len() <= 2, "{page}");
        names.extend(functions.iter().map(|function| function["name"].as_str().expect("a name").to_owned()));
        let Some(cursor) = page["cursor"].as_str() else { break };
        path = format!("/v1/functions?limit=2&cursor={cursor}");
    }
    assert_eq!(names, ["echo", "echo_reuse", "hello", "noop", "noop_reuse"]);
}

#[test]
fn a_selection_of_a_package_and_an_alias_at_once() {
    let server = start(Options::default());
    let client = server.client();
    let registered = upload(&client, "?name=noop_reuse&alias=stable", packages().get("noop")).expect(201).json();
    let functions = registered["functions"].as_array().expect("a list");
    assert_eq!(functions.len(), 1);
    assert_eq!((&functions[0]["name"], &functions[0]["alias"]), (&json!("noop_reuse"), &json!("stable")));
    assert_eq!(client.invoke("noop_reuse:stable", &json!({})).expect(200).json(), Value::Null);
    problem(client.get("/v1/functions/noop"), 404, "unknown-function");
}

#[test]
fn what_is_removed_is_gone_and_its_number_is_never_given_again() {
    let server = server_with(Options::default(), &["hello"]);
    let client = server.client();
    let first = function_id(&client, "hello");
    let removed = client.delete("/v1/functions/hello@1").expect(200).json();
    assert_eq!(removed, json!({"removed": [{"function_id": first, "name": "hello", "version": 1}]}));
    for reference in ["hello", "hello@1", &first] {
        problem(client.get(&format!("/v1/functions/{reference}")), 404, "unknown-function");
        problem(client.invoke(reference, &json!(["Ada"])), 404, "unknown-function");
        problem(client.delete(&format!("/v1/functions/{reference}")), 404, "unknown-function");
    }
    let again = client.register(packages().get("hello")).expect(201).json();
    assert_eq!(again["functions"][0]["version"], 2);
    upload(&client, "", &changed(packages().get("hello"))).expect(201);
    let removed = client.delete("/v1/functions/hello").expect(200).json();
    let versions: Vec<&Value> = removed["removed"].as_array().expect("a list").iter().map(|v| &v["version"]).collect();
    assert_eq!(versions, [3, 2]);
    assert_eq!(client.get("/v1/functions").expect(200).json(), json!({"functions": [], "cursor": null}));
    server.stop();
}

#[test]
fn functions_are_there_after_a_restart() {
    let server = server_with(Options::default(), &["hello"]);
    let before = server.client().get("/v1/functions/hello").expect(200).json();
    let server = server.restart();
    let client = server.client();
    assert_eq!(client.get("/v1/functions/hello").expect(200).json(), before);
    assert_eq!(client.invoke("hello", &json!(["Ada"])).expect(200).json(), "Hello, Ada!");
    server.stop();
}
