//! Counts the instructions of each hot path under callgrind and holds them against `figures.toml`: `just
//! instructions`. More than a tenth above a committed figure fails; a tenth below is told, so that it can be taken in.
//!
//! Instructions, as they are the same on a busy machine and an idle one, where times are not. Each path runs once N
//! times and once 2 N times; the difference is what N runs take, free of start-up and of what the first runs do beyond
//! the others. gungraun (once iai-callgrind) was looked at: its runner is an executable of its own that must be
//! installed in the same version, and it keeps its figures below `target`, which cannot be committed.

mod callgrind;
mod comparison;
mod figures;

use std::process::ExitCode;

use anyhow::{Context as _, bail, ensure};
use bulkhead_instructions::paths::{self, Path};

use callgrind::Tools;
use comparison::Comparison;
use figures::Figures;

const USAGE: &str = "usage: instructions [PART-OF-A-NAME…]
       instructions --accept            (all paths, as one compiler stands for all figures)
       instructions run NAME TIMES      (what callgrind is given; also for callgrind_annotate)";

/// Fails where something must not be skipped, as in the tests.
const REQUIRE_ALL: &str = "BULKHEAD_TEST_REQUIRE_ALL";

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let done = match words[..] {
        ["run", name, times] => run(name, times),
        _ => guard(&words),
    };
    match done {
        Ok(code) => code,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Runs one path, for callgrind to count.
fn run(name: &str, times: &str) -> anyhow::Result<ExitCode> {
    let times = times.parse().context("TIMES is a number")?;
    let path = paths::all().into_iter().find(|path| path.name == name);
    path.with_context(|| format!("there is no path {name}"))?.run(times);
    Ok(ExitCode::SUCCESS)
}

/// Counts all paths, or those asked for, and holds them against the committed figures.
fn guard(words: &[&str]) -> anyhow::Result<ExitCode> {
    let (flags, parts): (Vec<&str>, Vec<&str>) = words.iter().partition(|word| word.starts_with('-'));
    let accept = match flags[..] {
        [] => false,
        ["--accept"] if parts.is_empty() => true,
        _ => bail!(USAGE),
    };
    ensure!(!cfg!(debug_assertions), "the figures are those of the release profile: use `just instructions`");
    let tools = Tools::find()?;
    let committed = Figures::read()?;
    if committed.is_of_another_machine() && !accept {
        let why = format!("the figures are of {}, and this is {}", committed.arch, std::env::consts::ARCH);
        ensure!(std::env::var(REQUIRE_ALL).as_deref() != Ok("1"), "{REQUIRE_ALL}=1, and yet {why}");
        println!("skipped: {why}");
        return Ok(ExitCode::SUCCESS);
    }
    let asked = |path: &Path| parts.is_empty() || parts.iter().any(|part| path.name.contains(part));
    let paths: Vec<Path> = paths::all().into_iter().filter(asked).collect();
    ensure!(!paths.is_empty(), "no path has {} in its name", parts.join(" or "));
    let mut comparison = Comparison::with(&committed);
    println!("{}", Comparison::head());
    for path in &paths {
        println!("{}", comparison.add(&path.name, callgrind::count(path)?));
    }
    if accept {
        comparison.into_figures(tools).write()?;
        println!("{} holds these figures now: commit it, and say why they changed", figures::FILE);
        return Ok(ExitCode::SUCCESS);
    }
    if parts.is_empty() {
        comparison.find_gone();
    }
    print!("{}", comparison.conclusion(&tools));
    Ok(if comparison.has_failed() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}
