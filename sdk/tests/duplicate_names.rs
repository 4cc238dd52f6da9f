//! Two functions of one name make a package that says so, rather than one that calls either.

extern crate bulkhead_sdk as bulkhead;

use bulkhead::testing::{Call, describe};

#[bulkhead::function]
fn twin() {}

#[bulkhead::function(name = "twin")]
fn other() {}

#[test]
#[should_panic(expected = "two functions are named `twin`")]
fn the_description_complains() {
    let _ = describe();
}

#[test]
#[should_panic(expected = "sdk/tests/duplicate_names.rs:")]
fn calls_complain_with_both_places() {
    let _ = Call::new("twin").run();
}
