//! The committed figures.

use std::collections::BTreeMap;
use std::fs;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use crate::callgrind::Tools;

/// Where they are, from the checkout's folder.
pub(crate) const FILE: &str = "tests/instructions/figures.toml";
/// The same, from anywhere.
const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/figures.toml");

const HEAD: &str = "\
# Instructions of one operation of each hot path, release profile, under callgrind. `just instructions` compares,
# `just instructions --accept` writes this file.

";

/// What each path took when somebody last said that it may.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Figures {
    /// The processor's architecture as Rust names it.
    pub(crate) arch: String,
    /// What made and counted them.
    pub(crate) tools: Tools,
    /// Instructions of one operation by the path's name.
    pub(crate) instructions: BTreeMap<String, u64>,
}

impl Figures {
    /// Those in the file; none where there is no file yet.
    pub(crate) fn read() -> anyhow::Result<Self> {
        match fs::read_to_string(PATH) {
            Ok(text) => toml::from_str(&text).with_context(|| format!("failed to read {FILE}")),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(error).with_context(|| format!("failed to read {FILE}")),
        }
    }

    /// Puts them into the file.
    pub(crate) fn write(&self) -> anyhow::Result<()> {
        let text = toml::to_string(self).context("failed to write figures as TOML")?;
        fs::write(PATH, format!("{HEAD}{text}")).with_context(|| format!("failed to write {FILE}"))
    }

    /// Whether they say nothing about this machine.
    pub(crate) fn is_of_another_machine(&self) -> bool {
        !self.arch.is_empty() && self.arch != std::env::consts::ARCH
    }
}
