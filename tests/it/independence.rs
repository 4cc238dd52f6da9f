//! Two calls of one function know nothing of each other.

use std::collections::BTreeSet;

use bulkhead_tests::Options;
use serde_json::{Value, json};

use crate::surroundings::server_with;

/// Calls of each function, over one slot and thus in the places of one another.
const CALLS: usize = 40;

#[test]
fn a_call_finds_nothing_of_the_one_before() {
    let server = server_with(Options::slots(1), &["faulty"]);
    let client = server.client();
    let call = |function: &str| client.invoke(function, &json!({})).expect(200).json();
    let mut keys = BTreeSet::new();
    for _ in 0..CALLS {
        keys.insert(call("hashmap_keys").as_u64().expect("a number"));
        assert_eq!(call("tmp_leftover"), json!([]));
        assert_eq!(call("global_mutated"), json!(1));
        assert_eq!(call("env_mutated"), Value::Null);
    }
    assert_eq!(keys.len(), CALLS, "two calls hashed with the same keys: {keys:?}");
    server.stop();
}

#[test]
fn calls_side_by_side_find_nothing_of_each_other() {
    let server = server_with(Options::slots(4), &["faulty"]);
    let client = server.client();
    let calls: Vec<_> = (0..8)
        .map(|_| {
            let client = client.clone();
            std::thread::spawn(move || {
                let call = |function: &str| client.invoke(function, &json!({})).expect(200).json();
                assert_eq!((call("tmp_leftover"), call("global_mutated")), (json!([]), json!(1)));
                call("hashmap_keys").as_u64().expect("a number")
            })
        })
        .collect();
    let keys: BTreeSet<u64> = calls.into_iter().map(|call| call.join().expect("the call goes well")).collect();
    assert_eq!(keys.len(), 8, "two calls hashed with the same keys: {keys:?}");
}
