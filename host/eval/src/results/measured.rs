//! The measurements.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Distribution, Isolation, Setup, Workload};

/// How the work of a batch depends on the number of workers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Scaling {
    /// As much for each worker as for one alone.
    Weak,
    /// The same in all, whoever does it.
    Strong,
}

/// A batch of tasks, submitted at once and awaited.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Throughput {
    /// On what.
    pub setup: Setup,
    /// Which work.
    pub workload: Workload,
    /// How far calls were kept apart.
    pub isolation: Isolation,
    /// What it counts for; with the largest number of workers both are the same batch.
    pub scaling: Vec<Scaling>,
    /// Which repetition, from 1.
    pub repetition: u32,
    /// Tasks that were submitted.
    pub tasks: u64,
    /// Tasks that ended with a result.
    pub succeeded: u64,
    /// From the first submission to the last end, by the server's clock.
    pub seconds: f64,
    /// What each part of the cluster used meanwhile.
    pub parts: Vec<PartUse>,
}

impl Throughput {
    /// Tasks with a result per second.
    pub fn per_second(&self) -> f64 {
        self.succeeded as f64 / self.seconds
    }
}

/// What one part of a cluster used.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PartUse {
    /// `gateway`, `dispatcher`, `worker`, `server` (several parts in one process), `redis`, or `functions`:
    /// the sandboxed processes below all of them.
    pub part: String,
    /// Its processes, taken together.
    pub processes: u32,
    /// Processor time in seconds.
    pub cpu_seconds: f64,
    /// Resident memory at the end, in bytes. Pages that processes share count in each, but for
    /// `functions`, where they are divided among those that share them.
    pub memory_bytes: u64,
}

/// Calls one after the other: each waits for the one before.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Latency {
    /// On what.
    pub setup: Setup,
    /// Which work.
    pub workload: Workload,
    /// How far calls were kept apart.
    pub isolation: Isolation,
    /// Which repetition, from 1.
    pub repetition: u32,
    /// Calls that were made.
    pub calls: u64,
    /// Calls that gave a result.
    pub succeeded: u64,
    /// How long those took.
    pub took: Distribution,
}

/// Calls at random moments (a Poisson process), each timed from the moment at which it was due.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Load {
    /// On what.
    pub setup: Setup,
    /// Which work.
    pub workload: Workload,
    /// How far calls were kept apart.
    pub isolation: Isolation,
    /// Calls per second that were due.
    pub offered_per_second: f64,
    /// The same as a share of what the cluster did with as many callers as it could use.
    pub share_of_capacity: f64,
    /// From the first due moment to the last answer.
    pub seconds: f64,
    /// Calls that were due.
    pub calls: u64,
    /// Calls that gave a result.
    pub succeeded: u64,
    /// How long those took, from the moment at which they were due.
    pub took: Distribution,
}

/// Where the time of a queued call goes, one call at a time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Stages {
    /// On what.
    pub setup: Setup,
    /// How far calls were kept apart.
    pub isolation: Isolation,
    /// Calls of which every stage is known.
    pub calls: u64,
    /// Calls that were made.
    pub made: u64,
    /// In the order in which a call passes them; their means add up to that of the whole.
    pub stages: Vec<StageTime>,
    /// The whole call, as its client sees it.
    pub whole: Distribution,
}

/// The time in one stage.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StageTime {
    /// `gateway`, `queue`, `dispatch`, `worker link`, `executor`, `function` or `return`.
    pub stage: String,
    /// How long calls were in it.
    pub took: Distribution,
}

/// Calls with a payload that comes back, one after the other.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Payload {
    /// On what.
    pub setup: Setup,
    /// How far calls were kept apart.
    pub isolation: Isolation,
    /// Bytes of the payload, each way.
    pub bytes: u64,
    /// Calls that were made.
    pub calls: u64,
    /// Calls that gave back what they got.
    pub succeeded: u64,
    /// How long those took.
    pub took: Distribution,
}

/// A steady load, in the middle of which a worker is killed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Recovery {
    /// On what.
    pub setup: Setup,
    /// How far calls were kept apart.
    pub isolation: Isolation,
    /// Calls per second that were due.
    pub offered_per_second: f64,
    /// When a worker was killed with SIGKILL, in seconds from the first due moment.
    pub killed_after_seconds: f64,
    /// When another was started in its place.
    pub replaced_after_seconds: f64,
    /// The length of a bin in seconds.
    pub bin_seconds: f64,
    /// Calls that were answered with a result, in each bin.
    pub completed: Vec<u64>,
    /// Calls that were due.
    pub calls: u64,
    /// Calls that gave a result.
    pub succeeded: u64,
    /// The longest time without an answer after the kill, in seconds.
    pub longest_gap_seconds: f64,
    /// From the kill to the answer of the slowest call that was due in the second before or after it.
    pub worst_call_seconds: f64,
    /// How long all calls took, from the moment at which they were due.
    pub took: Distribution,
}
