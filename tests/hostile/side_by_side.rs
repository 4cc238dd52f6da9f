//! Many calls at once, and many one after the other.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use bulkhead_tests::Options;
use bulkhead_tests::hostile::{Act, table};
use serde_json::json;

use crate::{packages, server};

#[test]
fn siblings_cannot_kill_each_other() {
    const CALLS: usize = 4;
    let server = server(Options::slots(4));
    let client = server.client();
    thread::scope(|scope| {
        for _ in 0..CALLS {
            scope.spawn(|| {
                // Each stays for a while, within reach of the others.
                let tried = client.invoke("kill_sibling", &json!({"most": 64, "stay_ms": 500})).expect(200).json();
                let tried = tried.as_array().expect("a list");
                assert_eq!(tried.len(), 64);
                assert!(tried.iter().all(|attempt| attempt["succeeded"] == false), "{tried:?}");
            });
        }
    });
    server.stop();
}

#[test]
fn one_package_is_looked_at_many_times_at_once() {
    const CALLERS: usize = 8;
    const TIMES: usize = 10;
    let row = table().into_iter().find(|row| row.name == "ctor_forges_ready").expect("a row");
    let Act::Register(forged) = row.act else { panic!("it registers a package") };
    let (forged, good) = (forged(packages()), packages().get("hello"));
    let server = server(Options::slots(4));
    let client = server.client();
    thread::scope(|scope| {
        for _ in 0..CALLERS {
            scope.spawn(|| {
                for _ in 0..TIMES {
                    // However busy the machine is, a word too many is heard, and a refusal takes nothing from the others.
                    let refused = row.expected.check(&[client.register(&forged)], true);
                    refused.unwrap_or_else(|complaint| panic!("{complaint}"));
                    client.register(good).expect(200);
                    assert_eq!(client.invoke("hello", &json!({"who": "you"})).expect(200).json(), "Hello, you!");
                }
            });
        }
    });
    server.stop();
}

#[test]
fn ten_thousand_calls_have_no_random_value_in_common() {
    const CALLS: usize = 10_000;
    /// More than there are slots, so that calls are forked beside each other and after each other.
    const CALLERS: usize = 6;
    let server = server(Options::slots(4));
    let client = server.client();
    let begun = AtomicUsize::new(0);
    let values: Vec<String> = thread::scope(|scope| {
        let call = || {
            let mut values = Vec::new();
            while begun.fetch_add(1, Ordering::Relaxed) < CALLS {
                let answer = client.invoke("rand_values", &json!({})).expect(200).json();
                let answer = answer.as_array().expect("a list").clone();
                assert_eq!(answer.len(), 3, "{answer:?}");
                values.extend(answer.into_iter().map(|value| value.as_str().expect("text").to_owned()));
            }
            values
        };
        let callers: Vec<_> = (0..CALLERS).map(|_| scope.spawn(call)).collect();
        callers.into_iter().flat_map(|caller| caller.join().expect("all calls go well")).collect()
    });
    assert_eq!(values.len(), 3 * CALLS);
    let distinct: BTreeSet<&String> = values.iter().collect();
    assert_eq!(distinct.len(), values.len(), "a random value came twice");
    server.stop();
}
