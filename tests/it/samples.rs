//! Every sample function does its work: the calls of `samples.json` with their real results.

use std::fs;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bulkhead_tests::{Options, checkout};
use serde_json::{Value, json};

use crate::surroundings::{packages, problem, server_with};

/// What `bulkhead build --all` cannot make packages of, as their authors meant it.
const REFUSED: [&str; 8] = [
    "faulty-ctor-exits",
    "faulty-ctor-floods-fds",
    "faulty-ctor-forges-ready",
    "faulty-ctor-loops",
    "faulty-ctor-segv",
    "faulty-duplicate-names",
    "faulty-missing-symbol",
    "faulty-no-functions",
];

fn samples() -> Vec<Value> {
    let list = fs::read_to_string(checkout().join("sample-functions/samples.json")).expect("the list is there");
    serde_json::from_str(&list).expect("the list is JSON")
}

fn crates() -> Vec<String> {
    let mut crates: Vec<String> =
        samples().iter().map(|sample| sample["crate"].as_str().expect("a crate").to_owned()).collect();
    crates.sort();
    crates.dedup();
    crates
}

#[test]
fn all_are_built_and_the_broken_ones_are_named() {
    let packages = packages();
    let build = packages.build.clone().expect(1);
    let last = format!(
        "{} of {} crates failed: {}",
        REFUSED.len(),
        REFUSED.len() + packages.names().len(),
        REFUSED.join(", ")
    );
    assert_eq!(build.failure()["error"], last);
    let names = packages.names();
    for name in crates() {
        assert!(names.contains(&name.as_str()), "{name} is not among {names:?}");
    }
    let listed = build.json();
    assert_eq!(listed.as_array().expect("a list").len(), names.len());
}

#[test]
fn every_call_of_the_list_gives_its_result() {
    let crates = crates();
    let crates: Vec<&str> = crates.iter().map(String::as_str).collect();
    let server = server_with(Options::default(), &crates);
    let client = server.client();
    for sample in samples() {
        let function = sample["function"].as_str().expect("a name");
        let answer = client.invoke(function, &sample["args"]);
        if sample["note"].as_str().is_some_and(|note| note.contains("fails")) {
            assert_eq!((function, &sample["args"]["from"]), ("transfer", &json!("bob")), "an unknown failure");
            let problem = problem(answer, 500, "function-error");
            assert_eq!(problem["outcome"]["code"], "insufficient_funds");
            assert_eq!(problem["detail"], "the account holds 20 cents, which is less than 80");
            continue;
        }
        check(function, &sample["args"], &answer.expect(200).json());
    }
    server.stop();
}

/// Checks the result of a call of the list against what its author promises.
fn check(function: &str, args: &Value, result: &Value) {
    let expected = match function {
        "hello" => json!("Hello, Ada!"),
        "noop" | "noop_reuse" => Value::Null,
        "echo" | "echo_reuse" => args["payload"].clone(),
        "fibonacci" => json!(832_040),
        "word_count" => json!({
            "total": 8, "distinct": 5,
            "top": [{"word": "the", "count": 3}, {"word": "and", "count": 2}, {"word": "cat", "count": 1}],
        }),
        "thumbnail" => return check_thumbnail(result),
        "log_extract" => json!({
            "matches": [{"line": 1, "captures": {"day": "2026-01-02", "what": "disk full"}}], "unmatched": 1,
        }),
        // FIPS 180-4, and the test vectors of BLAKE3's authors.
        "digest" => json!({
            "length": 3,
            "sha256": "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
            "blake3": "6437b3ac38465133ffb63b75273a8db548c558465d79db03fd359c6cd5bd9d85",
        }),
        "monte_carlo" => {
            let pi = result["pi"].as_f64().expect("a number");
            // Three standard deviations of a million points are 0.005.
            assert!((pi - std::f64::consts::PI).abs() < 0.005, "{pi}");
            assert_eq!((&result["points"], &result["threads"]), (&json!(1_000_000), &json!(4)));
            return;
        }
        "sleep" => json!(50),
        "external_sort" => json!({"numbers": [-4, 1, 3, 5, 9], "runs": 3, "bytes_written": 11}),
        // The thousandth state of the generator, and the sum of 1,024 bytes that count from 0 to 250.
        "compute" => json!(16_070_694_656_035_867_936_u64),
        "exchange" => json!(125_690),
        "transfer" => json!({"balances": {"ada": 420, "bob": 100}, "attempt": 1}),
        other => panic!("samples.json calls {other}, whose result no test knows"),
    };
    assert_eq!(*result, expected, "{function}");
}

fn check_thumbnail(result: &Value) {
    assert_eq!((&result["width"], &result["height"]), (&json!(4), &json!(2)));
    let png = STANDARD.decode(result["png"].as_str().expect("base64")).expect("base64");
    assert_eq!(&png[..8], b"\x89PNG\r\n\x1a\n");
    // The header chunk begins with width and height: PNG specification, 11.2.1.
    assert_eq!(&png[12..24], b"IHDR\0\0\0\x04\0\0\0\x02");
}

#[test]
fn the_same_seed_gives_the_same_estimate() {
    let server = server_with(Options::default(), &["monte-carlo"]);
    let client = server.client();
    let estimate =
        |seed: u64| client.invoke("monte_carlo", &json!({"points": 10_000, "seed": seed})).expect(200).json();
    assert_eq!(estimate(7), estimate(7));
    assert_ne!(estimate(7), estimate(8));
}
