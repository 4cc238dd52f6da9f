//! Functions that fail in every way that a function can, for the tests of the walls around them.
//!
//! **Never run them outside a sandbox**, least of all as root: some kill their parents, some fill the machine.
//!
//! Each says in its documentation which outcome the host has to report. "errno inside" means that the call ends well
//! and the result tells what the kernel answered.

pub mod crashes;
pub mod escapes;
pub mod floods;
pub mod forbidden;
pub mod memory;
pub mod panics;
pub mod protocol;
mod slot;
pub mod state;
pub mod stuck;

use schemars::JsonSchema;
use serde::Serialize;

/// What became of something that a function had no business to try.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Attempt {
    /// What was tried.
    what: String,
    /// Whether it went through.
    succeeded: bool,
    /// What the kernel answered when it did not.
    errno: Option<i32>,
    /// The same in words, or what was got hold of.
    detail: String,
}

impl Attempt {
    fn new(what: impl Into<String>, result: std::io::Result<String>) -> Self {
        let what = what.into();
        match result {
            Ok(detail) => Self { what, succeeded: true, errno: None, detail },
            Err(error) => Self { what, succeeded: false, errno: error.raw_os_error(), detail: error.to_string() },
        }
    }
}

/// How far a function got in taking something without end.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Grabbed {
    /// How many it got.
    count: usize,
    /// Why it got no more; absent when it got all that it asked for.
    errno: Option<i32>,
}

#[cfg(test)]
mod tests {
    use bulkhead::testing::{Call, Outcome, describe};

    #[test]
    fn every_function_says_what_to_expect() {
        for function in describe()["functions"].as_array().unwrap() {
            let documentation = function["doc"].as_str().unwrap();
            assert!(documentation.contains("Expected: "), "{}", function["name"]);
            assert!(documentation.contains("```json"), "{}", function["name"]);
        }
    }

    #[test]
    fn panics_are_caught() {
        for name in ["panics", "panics_in_thread_joined", "panic_with_non_string"] {
            let outcome = Call::new(name).run();
            assert!(matches!(outcome, Outcome::Panicked { .. }), "{outcome:?}");
        }
    }

    #[test]
    fn state_stays_in_the_process() {
        let first: u64 = Call::new("global_mutated").run().expect_ok();
        let second: u64 = Call::new("global_mutated").run().expect_ok();
        assert_eq!(second, first + 1);
    }
}
