//! The least that the sandbox must hold on this machine for the executor to start.

use bulkhead_protocol::runner_message::MAX_REASON_BYTES;
use serde::{Deserialize, Serialize};

use super::Error;
use super::probe::{self, Extent, Layer, LayerName, Report, State};
use super::start::Launcher;

/// How much of the sandbox must hold. What no sandbox can be built without is part of every level.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Floor {
    /// Everything but the fence between calls (Landlock); rlimits may stand in for cgroups.
    Minimal,
    /// Every layer; rlimits may stand in for cgroups, and an older Landlock will do.
    #[default]
    Standard,
    /// Every layer in full: cgroups for memory and processes, Landlock from Linux 6.12 on.
    Strict,
}

impl Floor {
    /// The word in the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Minimal => "minimal",
            Self::Standard => "standard",
            Self::Strict => "strict",
        }
    }

    /// The layers that are below it.
    pub fn below(self, report: &Report) -> Vec<&Layer> {
        let is_below = |layer: &&Layer| match self {
            Self::Minimal => layer.state > State::Weaker && layer.name != LayerName::Child,
            Self::Standard => layer.state > State::Weaker,
            Self::Strict => layer.state > State::Held,
        };
        report.layers.iter().filter(is_below).collect()
    }
}

/// Checks that sandboxes can be built and that no layer is below the floor.
///
/// # Errors
/// [`Error::NoSandbox`] when none can be built, [`Error::WeakSandbox`] when a layer is below the floor and
/// that was not allowed.
pub(super) async fn check(launcher: &Launcher, floor: Floor, allow_weaker: bool) -> Result<(), Error> {
    let report = probe::run(launcher, Extent::Start).await;
    let Some(layer) = floor.below(&report).into_iter().min_by_key(|layer| std::cmp::Reverse(layer.state)) else {
        for layer in report.layers.iter().filter(|layer| layer.state > State::Held) {
            tracing::info!(layer = layer.name.as_str(), why = layer.why, "a layer of the sandbox is weaker here");
        }
        return Ok(());
    };
    let missing = cut(format!("{}: {}", layer.name.as_str(), layer.why));
    // Nothing can be allowed that is not there.
    if report.layers.iter().any(|layer| layer.state == State::Unknown) {
        return Err(Error::NoSandbox { missing, advice: layer.advice.clone().unwrap_or_default() });
    }
    if allow_weaker {
        tracing::warn!(missing, "starting with a weaker sandbox, as allowed");
        return Ok(());
    }
    Err(Error::WeakSandbox { floor, missing, advice: layer.advice.clone().unwrap_or_default() })
}

fn cut(mut text: String) -> String {
    text.truncate(text.floor_char_boundary(MAX_REASON_BYTES));
    text
}
