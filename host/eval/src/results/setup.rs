//! What was measured on what.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The source of the program.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Commit {
    /// Its hash.
    pub hash: String,
    /// Whether files differed from it.
    pub changed: bool,
}

/// The machine, and how quiet it was.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Machine {
    /// The processor's name.
    pub cpu: String,
    /// Processors that the program may use.
    pub cores: u32,
    /// Memory in bytes.
    pub memory_bytes: u64,
    /// Name and release of the kernel.
    pub kernel: String,
    /// The load average of one minute before the evaluation began.
    pub load_before: f64,
    /// The share of processor time during the evaluation that other virtual machines took.
    pub steal_share: f64,
    /// The share of processor time during the evaluation that was used by anybody.
    pub busy_share: f64,
}

/// What was asked for.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// How tasks got to workers.
    pub modes: Vec<Mode>,
    /// Where they were kept.
    pub stores: Vec<Store>,
    /// Numbers of workers, ascending.
    pub workers: Vec<u32>,
    /// Kinds of work.
    pub workloads: Vec<Workload>,
    /// How far calls were kept apart.
    pub isolations: Vec<Isolation>,
    /// Tasks for each worker of a batch, where all workloads had the same.
    pub tasks_per_worker: Option<u32>,
    /// How often each batch was run, interleaved with the others.
    pub repeat: u32,
    /// Whether it was the short evaluation.
    pub quick: bool,
    /// Where the cluster was, if it was not started for the evaluation.
    pub target: Option<String>,
    /// What the random arrivals began with.
    pub seed: u64,
}

/// How tasks get to workers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// In the dispatcher's process; a worker is one of its slots.
    Local,
    /// Workers ask for them.
    Pull,
    /// Workers are sent them.
    Push,
    /// As the cluster that was given has it.
    Target,
}

impl Mode {
    /// The word on the command line and in the file.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Pull => "pull",
            Self::Push => "push",
            Self::Target => "target",
        }
    }
}

/// Where tasks are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Store {
    /// In the folder of the one server.
    Embedded,
    /// In Redis, which gateway and dispatcher share.
    Redis,
    /// As the cluster that was given has it.
    Unknown,
}

impl Store {
    /// The word on the command line and in the file.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Embedded => "embedded",
            Self::Redis => "redis",
            Self::Unknown => "unknown",
        }
    }
}

/// A kind of work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Workload {
    /// Nothing: what the platform costs.
    Noop,
    /// A core is busy for some milliseconds.
    Cpu,
    /// A file is written and read, then some milliseconds are waited for.
    Io,
}

impl Workload {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Noop, Self::Cpu, Self::Io];

    /// The word on the command line and in the file.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Noop => "noop",
            Self::Cpu => "cpu",
            Self::Io => "io",
        }
    }
}

/// How far calls are kept apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Isolation {
    /// A process of its own for each call.
    Fresh,
    /// A warm process for many calls.
    Reuse,
}

impl Isolation {
    /// The word on the command line and in the file.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Fresh => "fresh",
            Self::Reuse => "reuse",
        }
    }
}

/// A cluster that was measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Setup {
    /// How tasks got to workers.
    pub mode: Mode,
    /// Where they were kept.
    pub store: Store,
    /// Workers of one slot each.
    pub workers: u32,
}

impl Setup {
    /// The cluster without its size, as legends have it.
    pub fn kind(&self) -> String {
        match self.store {
            Store::Unknown => self.mode.as_str().to_owned(),
            store => format!("{} · {}", self.mode.as_str(), store.as_str()),
        }
    }
}

impl fmt::Display for Setup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} × {}", self.kind(), self.workers)
    }
}

macro_rules! shown_as_word {
    ($($word:ty),+) => {
        $(impl fmt::Display for $word {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        })+
    };
}

shown_as_word!(Mode, Store, Workload, Isolation);
