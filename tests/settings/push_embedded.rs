//! The suite with one process that hands out tasks, and a worker. The worker is sent tasks.

#[path = "../it/drain_workers.rs"]
mod drain_workers;
#[path = "../it/suite.rs"]
mod suite;
#[path = "../it/up_samples.rs"]
mod up_samples;

use bulkhead_tests::{Backend, Mode, Setting};
use suite::*;

/// What runs behind the servers of these tests.
const SETTING: Setting = Setting { mode: Mode::Push, store: Backend::Embedded };
