//! `performance_results.json`: everything that an evaluation measured, with the machine and the settings
//! that it belongs to. Files of another [`FORMAT`], or with fields that it does not have, are refused.

mod distribution;
mod file;
mod measured;
mod setup;

pub use distribution::{Distribution, LONGEST_US, Recorder};
pub use file::{Error, MAX_FILE_BYTES, read, schema, write};
pub use measured::{Latency, Load, PartUse, Payload, Recovery, Scaling, StageTime, Stages, Throughput};
pub use setup::{Commit, Isolation, Machine, Mode, Settings, Setup, Store, Workload};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The version of the file's form. Another number means that this program cannot read it.
pub const FORMAT: u32 = 1;

/// An evaluation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Results {
    /// [`FORMAT`].
    pub format: u32,
    /// The version of the program that measured.
    pub version: String,
    /// `release` or `debug`: figures of a debug build say nothing about the product.
    pub build: String,
    /// The source that it was built from, where that is known.
    pub commit: Option<Commit>,
    /// When it began, RFC 3339.
    pub started_at: String,
    /// When it ended, RFC 3339.
    pub ended_at: String,
    /// Why it is not the whole evaluation; absent when it is.
    pub partial: Option<String>,
    /// Where it ran.
    pub machine: Machine,
    /// What was asked for.
    pub settings: Settings,
    /// What was left out, and why.
    pub notes: Vec<String>,
    /// Batches of tasks, from the first submission to the last end.
    pub throughput: Vec<Throughput>,
    /// Calls one after the other.
    pub latency: Vec<Latency>,
    /// Calls at random moments at a given rate.
    pub load: Vec<Load>,
    /// Where the time of one call goes.
    pub stages: Vec<Stages>,
    /// Calls with payloads of different sizes.
    pub payload: Vec<Payload>,
    /// What a killed worker does to a steady load.
    pub recovery: Vec<Recovery>,
}

impl Results {
    /// Results without any measurement.
    pub fn new(version: &str, build: &str, machine: Machine, settings: Settings, started_at: String) -> Self {
        Self {
            format: FORMAT,
            version: version.to_owned(),
            build: build.to_owned(),
            commit: None,
            ended_at: started_at.clone(),
            started_at,
            partial: None,
            machine,
            settings,
            notes: Vec::new(),
            throughput: Vec::new(),
            latency: Vec::new(),
            load: Vec::new(),
            stages: Vec::new(),
            payload: Vec::new(),
            recovery: Vec::new(),
        }
    }

    /// Whether anything was measured.
    pub fn is_empty(&self) -> bool {
        self.throughput.is_empty()
            && self.latency.is_empty()
            && self.load.is_empty()
            && self.stages.is_empty()
            && self.payload.is_empty()
            && self.recovery.is_empty()
    }
}
