//! Packages that must not be registered: each is refused with its own reason, nothing is stored, and the
//! server goes on.

use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bulkhead_protocol::package;
use bulkhead_tests::{Client, Options, Server, SmallDisk, checkout, is_root, require_or_skip};
use serde_json::{Value, json};

use crate::surroundings::{executables, packages, problem, server_with, start};

fn stored(server: &Server) -> (Value, usize) {
    let functions = server.client().get("/v1/functions").expect(200).json();
    let files =
        server.footprint().kept.into_iter().filter(|path| path.starts_with(server.folder().join("data/packages")));
    (functions, files.count())
}

/// Where libraries are unpacked to be looked at.
fn cache(server: &Server) -> PathBuf {
    server.folder().join("data/front/cache")
}

#[track_caller]
fn refused(client: &Client, package: &[u8], status: u16, kind: &str, detail: &[&str]) {
    let problem = problem(client.register(package), status, kind);
    let said = problem["detail"].as_str().expect("text");
    for part in detail {
        assert!(said.contains(part), "no {part:?} in {said:?}");
    }
}

/// The place of a field in the ELF header of 64 bits, elf(5).
const E_TYPE: usize = 16;
const E_MACHINE: usize = 18;

#[test]
fn what_is_no_whole_package_is_malformed() {
    let server = start(Options::config("gateway.package_bytes = \"20MiB\"\n"));
    let client = server.client();
    let hello = packages().get("hello");
    let malformed = |package: &[u8], detail: &[&str]| refused(&client, package, 400, "malformed-payload", detail);
    malformed(b"", &["not a Bulkhead package"]);
    malformed(b"BULKHEA", &["truncated: 7 bytes are less than its header's 42"]);
    malformed(b"PK\x03\x04 not one of ours", &["not a Bulkhead package", "bulkhead build"]);
    malformed(&hello[..8], &["truncated"]);
    malformed(&hello[..41], &["truncated"]);
    for length in [42, 1000, hello.len() / 2, hello.len() - 1] {
        malformed(&hello[..length], &["damaged", "SHA-256"]);
    }
    for place in [10, 42, hello.len() / 3, hello.len() - 1] {
        let mut damaged = hello.to_vec();
        damaged[place] ^= 1;
        malformed(&damaged, &["damaged", "SHA-256"]);
    }
    let mut longer = hello.to_vec();
    longer.push(0);
    malformed(&longer, &["damaged"]);
    // A right digest over nonsense.
    let body = b"nonsense".repeat(10);
    let nonsense =
        [&package::MAGIC[..], &package::FORMAT_VERSION.to_le_bytes(), &package::sha256(&body), &body].concat();
    malformed(&nonsense, &["manifest cannot be read"]);
    let mut newer = hello.to_vec();
    newer[8..10].copy_from_slice(&7u16.to_le_bytes());
    refused(&client, &newer, 422, "refused-package", &["package format 7"]);
    refused(&client, &vec![0; (20 << 20) + 1], 413, "too-large", &["package_bytes", "20971520"]);
    malformed(&vec![0; 20 << 20], &["not a Bulkhead package"]);

    let document = json!({"name": "hello", "payload": STANDARD.encode(&hello[..1000])});
    problem(client.post("/register_function", &document), 400, "malformed-payload");
    assert_eq!(stored(&server), (json!({"functions": [], "cursor": null}), 0));
    server.stop();
}

#[test]
fn libraries_that_are_no_plugins_are_refused_before_any_of_them_runs() {
    let server = start(Options::default());
    let client = server.client();
    let packages = packages();
    let library = package::unpack(packages.get("hello")).expect("a package").library;
    let refused = |library: &[u8], detail: &[&str]| {
        refused(&client, &packages.forge(library, "hello"), 422, "refused-package", detail);
    };
    refused(b"#!/bin/sh\n", &["not an ELF file", "bulkhead build"]);
    refused(&library[..library.len() / 2], &["truncated"]);
    refused(&library[..100], &["truncated"]);
    let patched = |place: usize, value: u16| {
        let mut patched = library.clone();
        patched[place..place + 2].copy_from_slice(&value.to_le_bytes());
        patched
    };
    // EM_AARCH64 or EM_X86_64, whichever this is not; ET_REL.
    let other = if cfg!(target_arch = "x86_64") { (183, "aarch64") } else { (62, "x86_64") };
    refused(&patched(E_MACHINE, other.0), &["the library is for", other.1, std::env::consts::ARCH]);
    refused(&patched(E_TYPE, 1), &["an object file", "crate-type"]);
    let mut narrow = library.clone();
    narrow[4] = 1;
    refused(&narrow, &["64-bit"]);
    refused(&packages.library("faulty-no-root-module"), &["exports no root module", "#[bulkhead::function]"]);
    refused(&std::fs::read(&executables().runner).expect("it is there"), &["an executable"]);
    assert_eq!(stored(&server), (json!({"functions": [], "cursor": null}), 0));
    server.stop();
}

#[test]
fn plugins_that_fail_to_load_are_refused_and_the_server_goes_on() {
    let server = server_with(Options::default(), &["hello"]);
    let client = server.client();
    let packages = packages();
    let before = stored(&server);
    let table = [
        ("faulty-abi", "failed to match the plugin's ABI: its header is of another version of abi_stable (rebuild it"),
        ("faulty-ctor-segv", "load-time code crashed with SIGSEGV"),
        ("faulty-ctor-exits", "load-time code exited with code 0"),
        ("faulty-ctor-loops", "was not loaded within 10 s"),
        ("faulty-no-functions", "has no function"),
        ("faulty-duplicate-names", "two functions of the package are called \"twin\""),
    ];
    for (name, reason) in table {
        println!("{name}");
        refused(&client, &packages.forge(&packages.library(name), "hello"), 422, "refused-package", &[reason]);
        assert_eq!(client.invoke("hello", &json!(["Ada"])).expect(200).json(), "Hello, Ada!");
        bulkhead_tests::eventually("only the canary's runner is left", || {
            let now = server.footprint();
            // A runner with a keeper and a child for each slot that was used.
            if [4, 6].contains(&now.processes) && now.temporary.is_empty() { Ok(()) } else { Err(format!("{now:#?}")) }
        });
        assert_eq!(stored(&server), before, "{name}");
    }
    server.stop();
}

#[test]
fn a_package_for_which_there_is_no_room_is_refused_until_there_is() {
    if !require_or_skip(is_root(), "the tests do not run as root, so they cannot mount a tiny file system") {
        return;
    }
    let server = server_with(Options::default(), &["hello"]);
    let client = server.client();
    let call = |function: &str, arguments: Value| client.invoke(function, &arguments).expect(200).json();
    assert_eq!(call("hello", json!(["Ada"])), "Hello, Ada!");
    let before = stored(&server);
    let cache = cache(&server);
    let small = SmallDisk::mount(&cache);
    let answer = client.register(packages().get("fibonacci"));
    assert_eq!(answer.header("retry-after"), "5");
    let problem = problem(answer, 507, "no-room");
    assert_eq!(problem["detail"], "the server's disk has no room for the package; nothing was registered");
    assert_eq!(problem["retryable"], true);
    assert_eq!(stored(&server), before);
    assert_eq!(std::fs::read_dir(&cache).expect("it is there").count(), 0, "part of a library was left");
    assert_eq!(call("hello", json!(["Ada"])), "Hello, Ada!");
    small.grow();
    client.register(packages().get("fibonacci")).expect(201);
    assert_eq!(call("fibonacci", json!([20])), 6765);
    server.stop();
}

#[test]
fn a_manifest_that_says_other_things_than_its_library_is_refused() {
    let server = start(Options::default());
    let client = server.client();
    let packages = packages();
    let hello = package::unpack(packages.get("hello")).expect("a package");
    let noop = packages.forge(&hello.library, "noop");
    refused(
        &client,
        &noop,
        422,
        "refused-package",
        &["the manifest lists the functions", "noop_reuse", "the library has hello: rebuild"],
    );
    let mut manifest = hello.manifest.clone();
    manifest.abi_version += 1;
    refused(&client, &packages.forge_with(&hello.library, manifest), 422, "refused-package", &["says ABI", "rebuild"]);
    let mut manifest = hello.manifest.clone();
    manifest.description = "nonsense".to_owned();
    refused(
        &client,
        &packages.forge_with(&hello.library, manifest),
        422,
        "refused-package",
        &["description cannot be read"],
    );
    assert_eq!(stored(&server), (json!({"functions": [], "cursor": null}), 0));
    let libraries = || std::fs::read_dir(cache(&server)).expect("it is there").count();
    assert_eq!(libraries(), 0, "a refused library was kept");
    client.register(packages.get("hello")).expect(201);
    // Kept, with the names of those it needs, where it is called.
    assert_eq!(libraries(), if crate::SETTING.runs_where_it_answers() { 2 } else { 0 });
    server.stop();
}

#[test]
fn a_function_that_the_package_does_not_have() {
    let server = start(Options::default());
    let client = server.client();
    let document = json!({"name": "echo_twice", "payload": STANDARD.encode(packages().get("echo"))});
    let problem = problem(client.post("/register_function", &document), 422, "unknown-entry");
    let known = &problem["known"];
    // In a package they stand as the linker put them.
    assert!(*known == json!(["echo", "echo_reuse"]) || *known == json!(["echo_reuse", "echo"]), "{problem}");
    assert!(problem["detail"].as_str().is_some_and(|detail| detail.contains("\"echo_twice\"")), "{problem}");
    assert_eq!(stored(&server), (json!({"functions": [], "cursor": null}), 0));
}

#[test]
fn a_function_that_asks_for_more_than_the_server_gives() {
    let server = start(Options::config("caps.memory = \"256MiB\"\n"));
    let problem = problem(server.client().register(packages().get("thumbnail")), 422, "limit-above-cap");
    assert_eq!(
        problem["detail"],
        "function thumbnail asks for memory_bytes = 536870912; this server's cap is 268435456"
    );
    assert_eq!((&problem["limit"], &problem["limit_value"]), (&json!("memory_bytes"), &json!(256 << 20)));
    assert_eq!(stored(&server), (json!({"functions": [], "cursor": null}), 0));
}

#[test]
fn the_same_words_on_the_command_line() {
    let command_line = bulkhead_tests::CommandLine::new(executables(), &checkout());
    let table = [
        ("faulty-no-functions", "has no function"),
        ("faulty-duplicate-names", "twin"),
        ("faulty-ctor-segv", "SIGSEGV"),
        ("faulty-abi", "does not depend on the SDK"),
    ];
    for (name, reason) in table {
        let built = command_line.run(&["build", &format!("sample-functions/{name}")]).expect(1);
        assert!(built.stderr.contains(reason), "{name}: {}", built.stderr);
    }
}
