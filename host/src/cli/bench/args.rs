//! The command.

use std::path::PathBuf;

use crate::bench::case::Case;
use crate::cli::sandbox::SandboxArgs;

/// Arguments of `bulkhead bench`.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(
    long_about = "Hold the hot paths against the floors of this machine.\n\n\
        Each case is measured next to what the machine allows: floor, figure, floor, figure, and so on. Shown are \
        both medians, their ratio with the noise, and whether the goal is reached. Clusters, a private Redis and \
        everything else is started and stopped by the command, which needs the source checkout for its functions. \
        Best on a quiet machine. Ctrl-C keeps what was measured so far.",
    after_help = "\
Examples:
  bulkhead bench --quick
  bulkhead bench p1 p3 --repeat 9
  bulkhead bench --json > before.json
  bulkhead bench --compare before.json
  bulkhead bench --list"
)]
pub(in crate::cli) struct Args {
    /// What to measure [default: all]
    #[arg(value_name = "CASE", value_enum, ignore_case = true)]
    pub(super) cases: Vec<Case>,
    /// Less of everything: all cases in two to three minutes
    #[arg(long)]
    pub(super) quick: bool,
    /// How often each floor and figure is measured [default: 5; with --quick 3]
    #[arg(long, value_name = "N")]
    pub(super) repeat: Option<u32>,
    /// Hold the figures against a run that was saved with --json
    #[arg(long, value_name = "FILE")]
    pub(super) compare: Option<PathBuf>,
    /// List the cases and their goals, and measure nothing
    #[arg(long)]
    pub(super) list: bool,
    /// How functions are built and run here.
    #[command(flatten)]
    pub(super) sandbox: SandboxArgs,
}
