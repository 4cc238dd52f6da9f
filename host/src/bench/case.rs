//! The cases, by the names under which the goals are known.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, clap::ValueEnum)]
pub(crate) enum Case {
    /// invoke, reuse, 32 connections, no-op: calls per second
    P1,
    /// invoke, reuse, 1 connection, no-op: median time
    P2,
    /// invoke, fresh, 32 connections, no-op: calls per second
    P3,
    /// invoke, fresh, 1 connection, no-op: median time
    P4,
    /// new sandbox to first result of a registered function: median time
    P5,
    /// durable tasks on the embedded store, batch to all results, reuse: tasks per second
    P6,
    /// pull and push with Redis, two workers of one slot, batch to all results, reuse and fresh: tasks per second
    P7,
    /// pull and push with Redis, one call after the other and after a second of quiet, reuse: median time
    P8,
    /// memory of the server at rest, of a warm function, of each further child
    P9,
    /// cost of a task in a store with very many tasks and 1,000 functions, against an empty store
    P10,
    /// invoke, reuse, 1 MiB in and out: calls per second
    P11,
}

impl Case {
    /// All of them, in their order.
    pub(crate) const ALL: [Self; 11] = [
        Self::P1,
        Self::P2,
        Self::P3,
        Self::P4,
        Self::P5,
        Self::P6,
        Self::P7,
        Self::P8,
        Self::P9,
        Self::P10,
        Self::P11,
    ];

    /// What is measured and what is to be reached.
    pub(crate) fn about(self) -> (&'static str, &'static str) {
        match self {
            Self::P1 => ("invoke, reuse, 32 connections, no-op", "≥ 0.5 of an axum echo server"),
            Self::P2 => ("invoke, reuse, 1 connection, no-op", "p50 ≤ echo + one round trip across cores"),
            Self::P3 => ("invoke, fresh, 32 connections, no-op", "≥ 0.7 of forking in two zygotes"),
            Self::P4 => ("invoke, fresh, 1 connection, no-op", "p50 ≤ echo + 120 µs"),
            Self::P5 => ("new sandbox to first result", "p50 ≤ 3 ms"),
            Self::P6 => ("durable tasks, embedded store, reuse", "≥ 20,000 per second"),
            Self::P7 => (
                "pull and push with Redis, two workers of one slot, reuse / fresh",
                "≥ 20,000 per second / ≥ 0.6 of forking in two zygotes",
            ),
            Self::P8 => (
                "pull and push with Redis, one after the other, also after quiet",
                "p50 ≤ 3 Redis round trips + 2 ZMQ hops, ≤ 600 µs",
            ),
            Self::P9 => {
                ("memory: server at rest, a warm function, each further child", "≤ 30 MB, ≤ 3 MB, ≤ 300 KB (PSS)")
            }
            Self::P10 => ("cost of a task among 1,000,000 tasks and 1,000 functions", "≤ 1.2 of an empty store"),
            Self::P11 => ("invoke, reuse, 1 MiB in and out", "≥ 0.5 of an axum echo server"),
        }
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}
