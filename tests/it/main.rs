//! End-to-end tests: everything through the built executables, over HTTP or the command line. Here with
//! one process and the embedded store, as a user has it first; `tests/settings` has the same suite for
//! all else that can run behind a server, and `tests/faults` what happens when parts of it fail.

mod bench;
mod cli_crates;
mod cli_usage;
mod doctor;
mod drain_calls;
mod eval;
mod ordinary_user;
mod place;
mod readme;
mod simulation;
mod start_failures;
#[path = "suite.rs"]
mod suite;
mod up_samples;
mod workspace;

use bulkhead_tests::Setting;
use suite::*;

/// What runs behind the servers of these tests.
const SETTING: Setting = Setting::ALONE;
