//! The floor under `fresh` calls: fork, call, exit and wait in a plain loop, in the real runner with the real
//! plugin. See `host/runner/src/fork_floor.rs` for the loop.

use std::path::Path;

use tokio::process::Command;

use super::super::helper::{Error, Helper};
use super::cores;

/// Runners in which zygotes fork in loops, each on a core of its own as far as there are.
pub(crate) struct Zygotes {
    helpers: Vec<Helper>,
    /// Whether their children are in namespaces of their own.
    pub(crate) namespaces: bool,
}

impl Zygotes {
    /// Starts so many and waits until the plugin is loaded in each.
    pub(crate) async fn start(count: usize, runner: &Path, library: &Path, function: u32) -> Result<Self, Error> {
        let cores = cores();
        let mut zygotes = Self { helpers: Vec::new(), namespaces: true };
        for place in 0..count {
            let core = cores.get(place % cores.len().max(1)).copied().unwrap_or(0);
            let mut command = Command::new(runner);
            command.env_clear().arg("fork-floor").arg(library).arg(function.to_string()).arg(core.to_string());
            let mut helper = Helper::start("runner that forks in a loop", command)?;
            match helper.hear().await?.as_str() {
                "ready in namespaces" => {}
                "ready without namespaces" => zygotes.namespaces = false,
                other => return Err(helper.misunderstood(other.to_owned())),
            }
            zygotes.helpers.push(helper);
        }
        Ok(zygotes)
    }

    /// Has each fork so often at the same time; gives the forks per second of all together.
    pub(crate) async fn per_second(&mut self, forks: u32) -> Result<f64, Error> {
        for helper in &mut self.helpers {
            helper.say(&forks.to_string()).await?;
        }
        let mut per_second = 0.0;
        for helper in &mut self.helpers {
            let answer = helper.hear().await?;
            match answer.parse::<u64>() {
                Ok(nanoseconds) if nanoseconds > 0 => per_second += f64::from(forks) * 1e9 / nanoseconds as f64,
                _ => return Err(helper.misunderstood(answer)),
            }
        }
        Ok(per_second)
    }
}
