//! The command, and its two ways to look at what was measured before.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use bulkhead_eval::comparison::Comparison;
use bulkhead_eval::results::{self, Results};
use bulkhead_eval::{analysis, pictures};
use clap::Subcommand;

use super::settings::Settings;
use super::{files, run as evaluation, show};
use crate::cli::failure::Exit;
use crate::cli::output::Output;
use crate::cli::sandbox::SandboxArgs;

/// Arguments of `bulkhead eval`.
#[derive(Clone, Debug, clap::Args)]
#[command(
    args_conflicts_with_subcommands = true,
    long_about = "Measure Bulkhead on this machine: throughput and how it scales, latency alone and under load, the overhead \
        of each stage, payloads, recovery from a killed worker.\n\n\
        It starts and stops the clusters that it measures, and needs the source checkout for its functions. Results, \
        pictures and an analysis are written to a folder. Ctrl-C keeps what was measured so far.",
    after_help = "\
Examples:
  bulkhead eval --quick
  bulkhead eval --modes pull,push --workers 1,2,4 --workloads noop,cpu --out figures
  bulkhead eval --store redis --repeat 5
  bulkhead eval --target http://10.0.0.1:8000 --quick
  bulkhead eval plot bulkhead-eval/performance_results.json
  bulkhead eval compare before.json after.json"
)]
pub(in crate::cli) struct Args {
    /// Look at what was measured before.
    #[command(subcommand)]
    look: Option<Look>,
    /// What to measure.
    #[command(flatten)]
    measure: MeasureArgs,
}

/// What to measure.
#[derive(Clone, Debug, Default, clap::Args)]
pub(super) struct MeasureArgs {
    /// How tasks get to workers: any of local, pull, push [default: all]
    #[arg(long, value_name = "MODES")]
    pub(super) modes: Option<String>,
    /// Numbers of workers of one slot each [default: 1,2,4,8; with --quick 1,2,4]
    #[arg(long, value_name = "NUMBERS")]
    pub(super) workers: Option<String>,
    /// Tasks of a batch for each worker, whatever the work [default: by the work]
    #[arg(long, value_name = "N")]
    pub(super) tasks_per_worker: Option<u32>,
    /// Kinds of work: any of noop, cpu, io [default: all]
    #[arg(long, value_name = "WORKLOADS")]
    pub(super) workloads: Option<String>,
    /// How far calls are kept apart: any of fresh, reuse [default: both]
    #[arg(long, value_name = "ISOLATIONS")]
    pub(super) isolation: Option<String>,
    /// Where tasks are kept: any of embedded, redis (a private server, found on the path) [default: both, or with
    /// --quick embedded for local and redis for pull and push; without a redis-server embedded]
    #[arg(long, value_name = "STORES")]
    pub(super) store: Option<String>,
    /// How often each batch is run [default: 5; with --quick 2]
    #[arg(long, value_name = "K")]
    pub(super) repeat: Option<u32>,
    /// Calls of a measurement that makes them one after the other [default: 1000; with --quick 200]
    #[arg(long, value_name = "N")]
    pub(super) calls: Option<u32>,
    /// How long each rate of the open loop lasts, as 10s [default: 8s; with --quick 1s]
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub(super) load_time: Option<Duration>,
    /// What random arrivals begin with: the same seed gives the same arrivals
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(super) seed: u64,
    /// Folder for the files; made when missing
    #[arg(long, value_name = "DIR", default_value = "bulkhead-eval")]
    pub(super) out: PathBuf,
    /// A short evaluation: everything once through in less than three minutes
    #[arg(long)]
    pub(super) quick: bool,
    /// Measure the cluster at this address instead of clusters of its own
    #[arg(long, value_name = "URL")]
    pub(super) target: Option<String>,
    /// The key to authenticate with at the target
    #[arg(long, env = "BULKHEAD_KEY", hide_env_values = true)]
    pub(super) key: Option<String>,
    /// How functions are built and run here.
    #[command(flatten)]
    pub(super) sandbox: SandboxArgs,
}

fn duration(text: &str) -> Result<Duration, humantime::DurationError> {
    humantime::parse_duration(text)
}

/// Ways to look at what was measured before.
#[derive(Clone, Debug, Subcommand)]
enum Look {
    /// Draw the pictures of saved results again, and write their analysis
    #[command(after_help = "Examples:\n  bulkhead eval plot bulkhead-eval/performance_results.json\n  \
                            bulkhead eval plot performance_results.json --out figures")]
    Plot {
        /// The results.
        results: PathBuf,
        /// Folder for the files [default: that of the results]
        #[arg(long, value_name = "DIR")]
        out: Option<PathBuf>,
    },
    /// Hold two evaluations against each other: ratios with their noise, as a table and a picture
    #[command(after_help = "Examples:\n  bulkhead eval compare before.json after.json\n  \
                            bulkhead eval compare a/performance_results.json b/performance_results.json --out figures")]
    Compare {
        /// The results before.
        before: PathBuf,
        /// The results after.
        after: PathBuf,
        /// Folder for the files
        #[arg(long, value_name = "DIR", default_value = ".")]
        out: PathBuf,
    },
}

/// Measures, or looks at what was measured before.
pub(in crate::cli) async fn run(args: Args, output: &Output) -> anyhow::Result<Exit> {
    match args.look {
        None => evaluation::run(Settings::new(&args.measure)?, &args.measure, output).await,
        Some(Look::Plot { results, out }) => plot(&results, out, output),
        Some(Look::Compare { before, after, out }) => compare(&before, &after, &out, output),
    }
}

fn plot(path: &Path, out: Option<PathBuf>, output: &Output) -> anyhow::Result<Exit> {
    let results = read(path)?;
    let beside = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let out = out.unwrap_or_else(|| beside.to_owned());
    files::check_folder(&out)?;
    let mut written = pictures::draw(&results, &out)?;
    written.push(files::write_text(&out, files::ANALYSIS, &analysis::to_markdown(&results))?);
    show::files(&written, output)?;
    Ok(Exit::Success)
}

fn compare(before: &Path, after: &Path, out: &Path, output: &Output) -> anyhow::Result<Exit> {
    let (old, new) = (read(before)?, read(after)?);
    files::check_folder(out)?;
    let (first, second) = (before.display().to_string(), after.display().to_string());
    let comparison = Comparison::new((&first, &old), (&second, &new));
    let mut written = pictures::draw_comparison(&comparison, out)?;
    written.push(files::write_text(out, files::COMPARISON, &comparison.to_markdown())?);
    show::comparison(&comparison, &written, output)?;
    Ok(Exit::Success)
}

fn read(path: &Path) -> anyhow::Result<Results> {
    results::read(path).context("failed to read the results of an evaluation")
}
