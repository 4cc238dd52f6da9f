//! The suite with gateway, dispatcher and worker, each a process, over a Redis Cluster of three nodes. The
//! worker asks for tasks.

#[path = "../it/drain_workers.rs"]
mod drain_workers;
#[path = "../it/suite.rs"]
mod suite;

use bulkhead_tests::{Backend, Mode, Setting};
use suite::*;

/// What runs behind the servers of these tests.
const SETTING: Setting = Setting { mode: Mode::Pull, store: Backend::RedisCluster };
