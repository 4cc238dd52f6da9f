//! Widely used crates run unhindered inside, a test for each: with control groups where there are some, and for
//! an ordinary user without any, where rlimits take their place. What one needs and does not get is a defect of
//! the sandbox.

use std::sync::OnceLock;

use bulkhead_tests::hostile::Ground;
use bulkhead_tests::{CommandLine, Options, Server, Setting, checkout};
use serde_json::{Value, json};

use crate::executables;

/// The package of `tests/ordinary`.
fn package() -> &'static [u8] {
    static PACKAGE: OnceLock<Vec<u8>> = OnceLock::new();
    PACKAGE.get_or_init(|| {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let file = folder.path().join("ordinary.bhpkg");
        let command_line = CommandLine::new(executables(), &checkout());
        command_line.run(&["build", "tests/ordinary", "--out", file.to_str().expect("UTF-8")]).expect(0);
        std::fs::read(file).expect("a package")
    })
}

/// Calls a function on each ground.
#[track_caller]
fn works(function: &str, arguments: &Value, expected: &Value) {
    let strict = Ground { root: false, groups: false }.options(Options::slots(1), executables());
    for options in [Some(Options::slots(1)), strict].into_iter().flatten() {
        let server = Server::start(executables(), Setting::ALONE, options);
        let client = server.client();
        client.register(package()).expect(201);
        // Twice: a library that keeps something in files must not miss it.
        for _ in 0..2 {
            assert_eq!(client.invoke(function, arguments).expect(200).json(), *expected);
        }
        server.stop();
    }
}

#[test]
fn rayon() {
    works("uses_rayon", &json!([1000]), &json!([333_833_500, 333_833_500]));
}

#[test]
fn std_threads() {
    // The numbers from 1 to 32, and one for each.
    works("uses_std_threads", &json!([32]), &json!(528 + 32));
}

#[test]
fn regex() {
    works("uses_regex", &json!(["Ada and Émilie met at Sète"]), &json!(["Ada", "Émilie", "Sète"]));
}

#[test]
fn image() {
    works("uses_image", &json!([64]), &json!([[64, 64], [64, 64], [32, 32]]));
}

#[test]
fn serde_json() {
    works(
        "uses_serde_json",
        &json!(["{\"a\": 1, \"b\": [true, null]}"]),
        &json!("{\"1\":\"a\",\"[true,null]\":\"b\"}"),
    );
}

#[test]
fn zstd() {
    works("uses_zstd", &json!(["again and again, "]), &json!(true));
}

#[test]
fn rusqlite() {
    works("uses_rusqlite", &json!([1000]), &json!([100, "wal", 6]));
}

#[test]
fn chrono() {
    works("uses_chrono", &json!([]), &json!([0, "2024-02-29"]));
}

#[test]
fn time() {
    works("uses_time", &json!([]), &json!([true, "2024-02-29"]));
}

#[test]
fn tokio_on_one_thread() {
    works("uses_tokio", &json!([10]), &json!([55, "written", true]));
}

#[test]
fn tempfile() {
    works("uses_tempfile", &json!([]), &json!(["without a name", false]));
}
