//! Goes through the cases, and shows what came out, whatever came in between.

use std::time::SystemTime;

use anyhow::Context as _;
use tokio_util::sync::CancellationToken;

use super::args::Args;
use super::ground::Ground;
use super::plan::Plan;
use super::{cases, show};
use crate::bench::case::Case;
use crate::bench::record::{FORMAT, Record, Skipped};
use crate::cli::failure::{Exit, Failure};
use crate::cli::measuring::machine::{self, Ticks};
use crate::cli::output::Output;
use crate::shutdown;

/// What is said of a run of an unoptimised build.
const DEBUG: &str = "this is a debug build: figures of a debug build say nothing";

/// How a run ended before its end.
enum Stopped {
    /// By Ctrl-C.
    Interrupted,
    /// By a failure.
    Failed(anyhow::Error),
}

/// Measures.
///
/// # Errors
/// What keeps it from beginning; what ended it early, after what was measured is shown.
pub(in crate::cli) async fn run(args: Args, output: &Output) -> anyhow::Result<Exit> {
    if args.list {
        show::list(output)?;
        return Ok(Exit::Success);
    }
    let plan = Plan::new(&args)?;
    let before = args.compare.as_deref().map(Record::read).transpose()?;
    let chosen = choose(&args.cases)?;
    let requested = shutdown::listen().context("failed to listen for signals")?;
    if cfg!(debug_assertions) {
        output.note(format!("beware: {DEBUG}"));
    }
    output.note("building the functions that are measured");
    let ground = tokio::select! {
        ground = Ground::new(plan, &args.sandbox, *output) => ground?,
        () = requested.cancelled() => return Ok(Exit::Interrupted),
    };
    let (record, stopped) = measure(ground, chosen, &requested).await;
    show::record(&record, before.as_ref(), output)?;
    match stopped {
        None => Ok(Exit::Success),
        Some(Stopped::Interrupted) => Ok(Exit::Interrupted),
        Some(Stopped::Failed(error)) => Err(Failure::early_end("the benchmark", &error).into()),
    }
}

/// The cases to measure, and those that cannot be here.
struct Chosen {
    cases: Vec<Case>,
    skipped: Vec<Skipped>,
}

/// Which cases were asked for, each once and in their order. One that was named has to be possible.
fn choose(named: &[Case]) -> Result<Chosen, Failure> {
    let mut chosen = Chosen { cases: Vec::new(), skipped: Vec::new() };
    for case in Case::ALL.into_iter().filter(|case| named.is_empty() || named.contains(case)) {
        match cases::obstacle(case) {
            None => chosen.cases.push(case),
            Some(why) if named.is_empty() => chosen.skipped.push(Skipped { case, why }),
            Some(why) => return Err(Failure::new(Exit::Usage, format!("{case} cannot be measured here: {why}"))),
        }
    }
    Ok(chosen)
}

async fn measure(
    mut ground: Ground,
    Chosen { cases, skipped }: Chosen,
    requested: &CancellationToken,
) -> (Record, Option<Stopped>) {
    let ticks = Ticks::read();
    let mut record = Record {
        format: FORMAT,
        bulkhead: env!("CARGO_PKG_VERSION").to_owned(),
        commit: machine::commit(),
        profile: if cfg!(debug_assertions) { "debug" } else { "release" }.to_owned(),
        machine: machine::look(),
        began_at: now(),
        ended_at: String::new(),
        quick: ground.plan.quick,
        repeat: ground.plan.repeat,
        lines: Vec::new(),
        skipped,
        notes: Vec::new(),
        partial: None,
    };
    if cfg!(debug_assertions) {
        record.notes.push(DEBUG.to_owned());
    }
    let mut stopped = None;
    for case in cases {
        ground.say(&format!("{case}: {}", case.about().0));
        let measured = tokio::select! {
            biased;
            () = requested.cancelled() => Err(Stopped::Interrupted),
            measured = cases::measure(case, &mut ground) => measured.map_err(Stopped::Failed),
        };
        ground.clear().await;
        match measured {
            Ok(lines) => record.lines.extend(lines),
            Err(why) => {
                stopped = Some(why);
                break;
            }
        }
    }
    if record.lines.iter().any(|line| matches!(line.subject.case, Case::P7 | Case::P8)) {
        record.notes.push("P7, P8: Redis keeps nothing on disk".to_owned());
    }
    if !ground.forks_in_namespaces {
        record.notes.push("the fork floor is without namespaces: this system gives none".to_owned());
    }
    record.partial = stopped.as_ref().map(|stopped| match stopped {
        Stopped::Interrupted => "interrupted with Ctrl-C".to_owned(),
        Stopped::Failed(error) => format!("{error:#}"),
    });
    (record.machine.steal_share, record.machine.busy_share) = Ticks::read().shares_since(ticks);
    record.ended_at = now();
    (record, stopped)
}

fn now() -> String {
    humantime::format_rfc3339_seconds(SystemTime::now()).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cases_are_measured_once_and_in_their_order() {
        assert_eq!(choose(&[Case::P4, Case::P1, Case::P4]).unwrap().cases, [Case::P1, Case::P4]);
        let all = choose(&[]).unwrap();
        assert_eq!(all.cases.len() + all.skipped.len(), Case::ALL.len());
    }
}
