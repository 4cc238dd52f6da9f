//! `bulkhead doctor`: what the sandbox holds on this machine, tried out, and what else a server or a
//! build needs here.

use std::path::PathBuf;

use serde::Serialize;

use super::failure::Exit;
use super::output::{Output, Table, Tone, plain};
use super::server::{self, Flag};
use crate::config::{self, Config, StoreUrl};
use crate::executor::{self, CgroupReport, Floor, Layer, Machine, State};

mod surroundings;

use surroundings::{Finding, Verdict};

/// Arguments of `bulkhead doctor`. What is absent comes from `BULKHEAD_*`, then from the file.
#[derive(Debug, clap::Args)]
#[command(
    long_about = "Show what the sandbox holds on this machine, and what to do where it does not.\n\n\
        Builds a sandbox like any other around a probe, which tries what no function may do, each act in a process of \
        its own. Ends with 0 when the floor is met and nothing that is configured is out of reach, with 3 otherwise.",
    after_help = "\
Examples:
  bulkhead doctor
  bulkhead doctor --sandbox-floor strict
  bulkhead doctor --json | jq -r '.layers[] | select(.state != \"held\") | .advice'

Floors: minimal (all but the fence between calls), standard (every layer; rlimits may stand in for
cgroups), strict (every layer in full). A server refuses to start below its floor."
)]
pub(super) struct Args {
    /// The configuration file [default: bulkhead.toml, if it is there]
    #[arg(long, value_name = "FILE", env = "BULKHEAD_CONFIG")]
    config: Option<PathBuf>,
    /// The runner's executable [default: bulkhead-runner beside this one]
    #[arg(long, value_name = "FILE")]
    runner: Option<PathBuf>,
    /// How much of the sandbox must hold: minimal, standard or strict [default: standard]
    #[arg(long, value_name = "LEVEL")]
    sandbox_floor: Option<Floor>,
    /// The Redis or Valkey that servers here are to use
    #[arg(long, value_name = "URL")]
    redis: Option<String>,
    /// Show everything that was looked at
    #[arg(long)]
    all: bool,
}

/// The report, as `--json` prints it; its fields are described in docs/operations.md.
#[derive(Debug, Serialize)]
struct Document {
    /// The version of `bulkhead`.
    version: &'static str,
    /// Whether the floor is met and nothing that is configured is out of reach.
    healthy: bool,
    floor: FloorReport,
    machine: Machine,
    layers: Vec<Layer>,
    cgroups: Vec<CgroupReport>,
    surroundings: Vec<Finding>,
}

/// What the floor comes to.
#[derive(Debug, Serialize)]
struct FloorReport {
    level: Floor,
    met: bool,
    /// The layers that are below it.
    below: Vec<executor::LayerName>,
}

impl Args {
    fn config(&self) -> Result<Config, config::Error> {
        let path = |path: &PathBuf| path.to_string_lossy().into_owned();
        let flags: [Flag; 3] = [
            ("runner", server::text(&self.runner.as_ref().map(path))),
            ("sandbox_floor", server::text(&self.sandbox_floor.map(Floor::as_str))),
            ("redis", server::text(&self.redis)),
        ];
        let variables =
            std::env::vars_os().filter_map(|(name, text)| Some((name.into_string().ok()?, text.into_string().ok()?)));
        config::load(self.config.as_deref(), variables, server::layer(flags))
    }
}

/// Looks at the machine.
///
/// # Errors
/// A configuration that is refused.
pub(super) async fn run(args: Args, output: &Output) -> anyhow::Result<Exit> {
    let config = args.config()?;
    let machine = Machine::read();
    let mut surroundings = surroundings::look(&config, &machine).await;
    let (layers, cgroups, floor) = match executor::probe(config.runner.clone()).await {
        Ok(report) => {
            let below: Vec<_> = config.sandbox_floor.below(&report).into_iter().map(|layer| layer.name).collect();
            let floor = FloorReport { level: config.sandbox_floor, met: below.is_empty(), below };
            (report.layers, report.cgroups, floor)
        }
        Err(error) => {
            surroundings.push(Finding {
                what: "runner",
                verdict: Verdict::Bad,
                found: error.to_string(),
                advice: Some("install bulkhead-runner beside bulkhead, or name it with --runner".to_owned()),
            });
            let below = executor::LayerName::ALL.to_vec();
            (Vec::new(), Vec::new(), FloorReport { level: config.sandbox_floor, met: false, below })
        }
    };
    let healthy = floor.met && surroundings.iter().all(|finding| finding.verdict != Verdict::Bad);
    let version = env!("CARGO_PKG_VERSION");
    let document = Document { version, healthy, floor, machine, layers, cgroups, surroundings };
    if output.is_json() {
        output.value(&document)?;
    } else {
        show(&document, args.all, output)?;
    }
    Ok(if healthy { Exit::Success } else { Exit::Platform })
}

fn show(document: &Document, all: bool, output: &Output) -> anyhow::Result<()> {
    let mut table = Table::new(&["LAYER", "STATE", "WHY"]);
    for layer in &document.layers {
        let (word, tone) = match layer.state {
            State::Held => ("held", Tone::Good),
            State::Weaker => ("weaker", Tone::Busy),
            State::Unknown => ("unknown", Tone::Plain),
            State::Missing => ("missing", Tone::Bad),
        };
        table.row([plain(layer.name.as_str()), (word.to_owned(), tone), plain(&layer.why)]);
        for check in layer.checks.iter().filter(|_| all) {
            let (word, tone) = if check.held { ("yes", Tone::Good) } else { ("no", Tone::Bad) };
            table.row([plain(""), (word.to_owned(), tone), plain(format!("{} ({})", check.what, check.found))]);
        }
    }
    output.table(&table)?;
    if !document.layers.is_empty() {
        output.line("")?;
    }
    let mut table = Table::new(&["HERE", "STATE", "FOUND"]);
    for cgroup in &document.cgroups {
        let state = if cgroup.missing.is_none() { ("good", Tone::Good) } else { ("none", Tone::Plain) };
        let found = match (&cgroup.missing, cgroup.version, &cgroup.folder) {
            (Some(missing), _, _) => missing.clone(),
            (None, Some(version), Some(folder)) => format!("version {version}, in {}", folder.display()),
            _ => String::new(),
        };
        table.row([plain(format!("cgroup {}", cgroup.controller)), (state.0.to_owned(), state.1), plain(found)]);
    }
    for finding in &document.surroundings {
        let (word, tone) = match finding.verdict {
            Verdict::Good => ("good", Tone::Good),
            Verdict::Absent => ("none", Tone::Plain),
            Verdict::Poor => ("poor", Tone::Busy),
            Verdict::Bad => ("bad", Tone::Bad),
        };
        table.row([plain(finding.what), (word.to_owned(), tone), plain(&finding.found)]);
    }
    output.table(&table)?;
    output.line("")?;
    for (about, advice) in advice(document) {
        output.line(format!("{about}: {advice}"))?;
    }
    let floor = document.floor.level.as_str();
    let below = document.floor.below.iter().map(|name| name.as_str()).collect::<Vec<_>>().join(", ");
    match (document.floor.met, document.healthy) {
        (true, true) => output.line(format!("the floor ({floor}) is met")),
        (true, false) => output.line(format!("the floor ({floor}) is met, but not all that is configured is there")),
        (false, _) => output.line(format!("the floor ({floor}) is NOT met: {below}")),
    }
}

/// What to do, each thing once, with what it is about.
fn advice(document: &Document) -> Vec<(&str, &str)> {
    let layers = document.layers.iter().filter_map(|layer| Some((layer.name.as_str(), layer.advice.as_deref()?)));
    let findings = document.surroundings.iter().filter_map(|found| Some((found.what, found.advice.as_deref()?)));
    let mut all: Vec<(&str, &str)> = Vec::new();
    for (about, advice) in layers.chain(findings) {
        if all.iter().all(|(_, said)| *said != advice) {
            all.push((about, advice));
        }
    }
    all
}

/// Where Redis is, without its password.
fn shown(url: &StoreUrl) -> String {
    url.to_string()
}
