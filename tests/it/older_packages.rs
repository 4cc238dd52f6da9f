//! A package that was built against an older copy of the ABI: still registered, still run. One whose
//! layout is another under the same version is refused.

use std::path::Path;
use std::process::Command;

use bulkhead_protocol::package::{self, Manifest};
use bulkhead_tests::{LONG, Options, cargo, checkout, run_within};
use serde_json::json;

use crate::surroundings::{problem, start};

/// The library of a fixture, which is no member of the workspace. The folder is the one that the ABI's
/// own tests use, so that nothing is compiled twice.
fn library(fixture: &str) -> Vec<u8> {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("fixtures");
    let manifest = checkout().join("tests/fixtures").join(fixture).join("Cargo.toml");
    let mut cargo = Command::new(cargo());
    cargo.args(["build", "--quiet", "--locked", "--manifest-path"]).arg(manifest).arg("--target-dir").arg(&target);
    run_within(cargo, b"", LONG).expect(0);
    let file = format!("debug/lib{}.so", fixture.replace('-', "_"));
    std::fs::read(target.join(file)).expect("the library is where cargo puts it")
}

/// What `bulkhead build` of that time wrote.
fn package(library: &[u8]) -> Vec<u8> {
    let description = json!({"abi_version": 1, "sdk_version": "0.0.1", "functions": [{"name": "shout"}]});
    let manifest = Manifest {
        name: "older".to_owned(),
        version: "0.1.0".to_owned(),
        arch: std::env::consts::ARCH.to_owned(),
        abi_version: 1,
        sdk_version: "0.0.1".to_owned(),
        glibc: None,
        needed: Vec::new(),
        description: description.to_string(),
        library_sha256: [0; 32],
        library_bytes: 0,
    };
    package::pack(manifest, library).expect("it can be packed")
}

#[test]
fn an_older_package_is_registered_and_runs() {
    let server = start(Options::default());
    let client = server.client();
    let registered = client.register(&package(&library("abi-v1-plugin"))).expect(201).json();
    assert_eq!(registered["functions"][0]["name"], "shout");
    assert_eq!(client.invoke("shout", &json!("quiet")).expect(200).json(), "QUIET");
    let task = client.submit(&json!({"function": "shout", "args": "quiet"}));
    assert_eq!(client.result(&task)["result"], "QUIET");
    let logs = client.get(&format!("/v1/tasks/{task}/logs")).expect(200).text();
    assert!(logs.contains("from the past"), "{logs}");
    server.stop();
}

#[test]
fn another_layout_under_the_same_version_is_refused() {
    let server = start(Options::default());
    let client = server.client();
    let problem = problem(client.register(&package(&library("abi-wrong-layout-plugin"))), 422, "refused-package");
    assert!(problem["detail"].as_str().is_some_and(|detail| detail.contains("ABI")), "{problem}");
    assert_eq!(client.get("/v1/functions").expect(200).json()["functions"], json!([]));
    server.stop();
}
