//! `up --samples`: builds, registers and calls the sample functions once the server is there.

use std::fs;

use bulkhead_tests::{LONG, Options, checkout, eventually_within};
use serde_json::{Value, json};

use crate::surroundings::{packages, start};

#[test]
fn their_real_results_are_shown() {
    // Everything that it compiles is there already.
    packages();
    let options = Options { arguments: vec!["--samples".to_owned()], ..Options::default() };
    let server = start(options);
    let list = fs::read_to_string(checkout().join("sample-functions/samples.json")).expect("the list");
    let samples: Vec<Value> = serde_json::from_str(&list).expect("the list is JSON");
    let printed = eventually_within(LONG, "the samples are shown", || {
        let printed = server.output();
        if printed.contains("Try next") && printed.contains("bulkhead new greet") {
            Ok(printed)
        } else {
            Err(server.log())
        }
    });
    let rows: Vec<Vec<&str>> =
        printed.lines().map(|line| line.split('\t').collect()).filter(|row: &Vec<_>| row.len() == 6).collect();
    assert_eq!(rows[0], ["FUNCTION", "VERSION", "CALL", "RESULT", "TIME", ""]);
    assert_eq!(rows.len(), samples.len() + 1, "{printed}");
    let result = |function: &str| rows.iter().find(|row| row[0] == function).map(|row| row[3]).unwrap_or_default();
    assert_eq!((result("hello"), result("fibonacci"), result("sleep")), ("\"Hello, Ada!\"", "832040", "50"));
    assert!(result("external_sort").starts_with("{\"numbers\":[-4,1,3,5,9]"), "{printed}");
    assert!(rows.last().is_some_and(|row| row[3].contains("the account holds 20 cents")), "{printed}");
    assert_eq!(server.client().invoke("hello", &json!(["Ada"])).expect(200).json(), "Hello, Ada!");
    server.stop();
}
