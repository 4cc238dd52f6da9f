//! The suite with one process with its tasks in Redis.

#[path = "../it/suite.rs"]
mod suite;
#[path = "../it/up_samples.rs"]
mod up_samples;

use bulkhead_tests::{Backend, Mode, Setting};
use suite::*;

/// What runs behind the servers of these tests.
const SETTING: Setting = Setting { mode: Mode::Local, store: Backend::Redis };
