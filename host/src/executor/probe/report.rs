//! What a probe found, as people and programs get it.

use std::path::PathBuf;

use serde::Serialize;

use super::advice;
use crate::executor::cgroup::{Finding, Version};

/// A layer of the sandbox, in the order of docs/security.md.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LayerName {
    /// A process in namespaces of its own.
    Namespaces,
    /// Users that are nobody on the host.
    Ids,
    /// A root that holds nothing of the host.
    Files,
    /// No capability, no way to any, low limits.
    Privileges,
    /// A fence around each child.
    Child,
    /// An allowlist of system calls.
    SystemCalls,
    /// No network.
    Network,
    /// Memory, processes, files, time.
    Limits,
    /// Whatever runs can be ended.
    Kill,
}

impl LayerName {
    /// All of them, in their order.
    pub const ALL: [Self; 9] = [
        Self::Namespaces,
        Self::Ids,
        Self::Files,
        Self::Privileges,
        Self::Child,
        Self::SystemCalls,
        Self::Network,
        Self::Limits,
        Self::Kill,
    ];

    /// The word for people.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Namespaces => "namespaces",
            Self::Ids => "ids",
            Self::Files => "files",
            Self::Privileges => "privileges",
            Self::Child => "child fence",
            Self::SystemCalls => "system calls",
            Self::Network => "network",
            Self::Limits => "limits",
            Self::Kill => "kill",
        }
    }
}

/// How much of a layer holds. Ordered from good to bad.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// All of it.
    Held,
    /// What matters most; something else stands in for the rest.
    Weaker,
    /// It could not be tried, as an earlier layer is missing.
    Unknown,
    /// It does not hold.
    Missing,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What should be so.
    pub what: String,
    /// Whether it is.
    pub held: bool,
    /// What was found.
    pub found: String,
}

/// A layer, and how much of it holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Layer {
    /// Which.
    pub name: LayerName,
    /// How much of it holds.
    pub state: State,
    /// What shows that, or what is missing and why.
    pub why: String,
    /// What to do about it, where something can be done.
    pub advice: Option<String>,
    /// All that was looked at.
    pub checks: Vec<Check>,
}

/// A controller of cgroups.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CgroupReport {
    /// Its name.
    pub controller: &'static str,
    /// 1 or 2; absent when it is not usable.
    pub version: Option<u8>,
    /// The folder in which executors make their groups.
    pub folder: Option<PathBuf>,
    /// Why it is not usable.
    pub missing: Option<String>,
    /// What to do about that.
    pub advice: Option<String>,
}

/// All layers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Each layer once, in the order of [`LayerName::ALL`].
    pub layers: Vec<Layer>,
    /// Each controller that is used.
    pub cgroups: Vec<CgroupReport>,
}

impl Report {
    /// A layer.
    pub fn layer(&self, name: LayerName) -> Option<&Layer> {
        self.layers.iter().find(|layer| layer.name == name)
    }
}

impl CgroupReport {
    pub(super) fn of(finding: &Finding) -> Self {
        let (version, folder) = match &finding.found {
            Ok((Version::V1, folder)) => (Some(1), Some(folder.clone())),
            Ok((Version::V2, folder)) => (Some(2), Some(folder.clone())),
            Err(_) => (None, None),
        };
        let missing = finding.found.as_ref().err();
        Self {
            controller: finding.name,
            version,
            folder,
            missing: missing.map(ToString::to_string),
            advice: missing.map(advice::for_cgroup),
        }
    }
}
