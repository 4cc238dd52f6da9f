//! Hostile and healthy calls in great numbers against real servers, and what came of them.
//!
//! `soak [CALLS] [--seed N] [--servers N] [--user] [--no-cgroups] [--samples N] [--json]`: mixed calls, what is left
//! at the end, and latencies. `soak --runs N [--act NAME]… [--ground NAME]… [--minutes N] [--json]`: these acts of the
//! table, or all, that often on these grounds, or on every one.
//!
//! The executables are those of the tests, which are built into the same folder.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bulkhead_tests::hostile::{Ground, Latency, Measured, Ran, Runs, Soak, Soaked, Spread, Tally, table};
use bulkhead_tests::{Executables, Options, Packages};
use serde_json::json;

/// What the command line asks for.
struct Wish {
    /// Mixed calls.
    calls: u64,
    /// The seed of their choices.
    seed: u64,
    /// Servers side by side.
    servers: u32,
    /// Where they stand.
    ground: Ground,
    /// Samples of each latency; 0 for none.
    samples: usize,
    /// Runs of the table, in place of all that.
    runs: Option<u32>,
    /// What the names of the acts contain that are run; all when there are none.
    acts: Vec<String>,
    /// Where the table is run; everywhere when there are none.
    grounds: Vec<Ground>,
    /// No run begins after so many minutes.
    minutes: u64,
    /// For programs.
    json: bool,
}

fn main() -> ExitCode {
    let wish = match wish(std::env::args().skip(1)) {
        Ok(wish) => wish,
        Err(error) => {
            eprintln!("{error}");
            eprintln!("usage: soak [CALLS] [--seed N] [--servers N] [--user] [--no-cgroups] [--samples N] [--json]");
            eprintln!("       soak --runs N [--act NAME]… [--ground NAME]… [--minutes N] [--json]");
            eprintln!("grounds: {}", Ground::ALL.map(Ground::name).join("; "));
            return ExitCode::from(2);
        }
    };
    let executables = executables();
    let packages = Packages::of(&executables, &["hello", "faulty"]);
    let is_well = match wish.runs {
        Some(runs) => run_table(&wish, runs, &executables, &packages),
        None => soak(&wish, &executables, &packages),
    };
    if is_well { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn wish(mut words: impl Iterator<Item = String>) -> Result<Wish, String> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let mut wish = Wish {
        calls: 100_000,
        seed: u64::try_from(now.as_millis()).unwrap_or(0),
        servers: std::thread::available_parallelism().map_or(1, |cpus| u32::try_from(cpus.get()).unwrap_or(1)),
        ground: Ground { root: true, groups: true },
        samples: 200,
        runs: None,
        acts: Vec::new(),
        grounds: Vec::new(),
        minutes: 24 * 60,
        json: false,
    };
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or_else(|| format!("{word} needs a value"));
        let mut number = || {
            let value = value()?;
            value.parse::<u64>().map_err(|error| format!("{word} {value}: {error}"))
        };
        match word.as_str() {
            "--json" => wish.json = true,
            "--user" => wish.ground.root = false,
            "--no-cgroups" => wish.ground.groups = false,
            "--seed" => wish.seed = number()?,
            "--minutes" => wish.minutes = number()?,
            "--servers" => wish.servers = u32::try_from(number()?).unwrap_or(u32::MAX),
            "--samples" => wish.samples = usize::try_from(number()?).unwrap_or(usize::MAX),
            "--ground" => {
                let name = value()?;
                let ground = Ground::ALL.into_iter().find(|ground| ground.name() == name);
                wish.grounds.push(ground.ok_or_else(|| format!("there is no ground {name:?}"))?);
            }
            "--act" => {
                let name = value()?;
                if !table().iter().any(|row| row.name.contains(&name)) {
                    return Err(format!("there is no act {name:?}"));
                }
                wish.acts.push(name);
            }
            "--runs" => wish.runs = Some(u32::try_from(number()?).unwrap_or(u32::MAX)),
            calls => wish.calls = calls.parse().map_err(|error| format!("{calls}: {error}"))?,
        }
    }
    Ok(wish)
}

fn executables() -> Executables {
    let own = std::env::current_exe().unwrap_or_default();
    let beside = |name: &str| own.parent().map(|folder| folder.join(name)).unwrap_or_else(|| PathBuf::from(name));
    Executables { bulkhead: beside("bulkhead-under-test"), runner: beside("bulkhead-runner-under-test") }
}

/// Runs the table on every ground; whether there were all of them and all acts came to what they have to.
fn run_table(wish: &Wish, runs: u32, executables: &Executables, packages: &Packages) -> bool {
    let end = Instant::now() + Duration::from_secs(60 * wish.minutes);
    let all: Vec<Option<Ran>> = std::thread::scope(|scope| {
        let one = |ground: Ground| {
            let goes_on = move |run: u32| {
                eprintln!("{}: run {}", ground.name(), run + 1);
                Instant::now() < end
            };
            Runs { ground, runs, acts: &wish.acts }.run(executables, packages, &goes_on)
        };
        let all = if wish.grounds.is_empty() { &Ground::ALL[..] } else { &wish.grounds };
        let grounds: Vec<_> = all.iter().map(|ground| scope.spawn(move || one(*ground))).collect();
        // Where the harness gives up, it has said why; what the other grounds came to is still told.
        let ended = grounds.into_iter().map(|ground| ground.join().unwrap_or(None));
        ended.collect()
    });
    let is_whole = all.iter().all(Option::is_some);
    let all: Vec<Ran> = all.into_iter().flatten().collect();
    if wish.json {
        println!("{}", json!(all));
    } else {
        for Ran { ground, runs, tally, effects } in &all {
            println!("{ground}: {runs} runs of the table, {} acts, {} mismatches", tally.done(), tally.mismatched());
            tell_tally(tally);
            effects.iter().for_each(|effect| println!("  LEFT BEHIND after {effect}"));
        }
    }
    is_whole && all.iter().all(|ran| ran.tally.mismatched() == 0 && ran.effects.is_empty())
}

/// Soaks and measures; whether all came to what it has to.
fn soak(wish: &Wish, executables: &Executables, packages: &Packages) -> bool {
    let Wish { calls, seed, servers, .. } = *wish;
    eprintln!("{calls} calls on {servers} servers, seed {seed}, {}", wish.ground.name());
    let options = |slots| wish.ground.options(Options::slots(slots), executables);
    let (Some(one), Some(two)) = (options(1), options(2)) else { return false };
    let tell = |made: u64| eprint!("\r{made} calls of one server ");
    let soaked = Soak { calls, servers, seed, options: one }.run(executables, packages, &tell);
    eprintln!();
    let latency = Latency { samples: wish.samples, options: two };
    let measured = (wish.samples > 0).then(|| latency.measure(executables, packages));
    if wish.json {
        println!("{}", json!({ "soaked": soaked, "measured": measured }));
    } else {
        tell_soaked(&soaked);
        if let Some(measured) = &measured {
            tell_measured(measured);
        }
    }
    soaked.tally.mismatched() == 0 && soaked.leaks.is_empty()
}

fn tell_soaked(soaked: &Soaked) {
    let Soaked { seed, calls, seconds, tally, leaks, resident_kib, healthy } = soaked;
    println!("seed {seed}: {calls} acts in {seconds:.0} s ({:.0} a second)", *calls as f64 / seconds);
    tell_tally(tally);
    tell_spread("healthy calls among them", healthy.as_ref());
    for [before, after] in resident_kib {
        println!("resident memory of a server: {before} KiB before, {after} KiB after");
    }
    leaks.iter().for_each(|leak| println!("LEAK: {leak}"));
    println!("{} leaks, {} mismatches", leaks.len(), tally.mismatched());
}

fn tell_measured(measured: &Measured) {
    tell_spread("a healthy call, idle", measured.idle.as_ref());
    for beside in &measured.beside {
        println!("  {:5.2} × beside {:30} {}", beside.ratio, beside.name, spread(&beside.canary));
    }
    tell_spread("deadline to reply", measured.deadline_to_reply.as_ref());
    tell_spread("kill to reaped", measured.kill_to_reaped.as_ref());
}

fn tell_tally(tally: &Tally) {
    for (name, row) in tally.rows() {
        let mean = row.seconds / row.done.max(1) as f64 * 1e3;
        println!("  {name:30} {} of {} as in the table, {mean:.1} ms each", row.matched, row.done);
        if let Some(complaint) = &row.complaint {
            println!("    {complaint}");
        }
    }
}

fn tell_spread(what: &str, measured: Option<&Spread>) {
    if let Some(measured) = measured {
        println!("{what}: {}", spread(measured));
    }
}

fn spread(spread: &Spread) -> String {
    let Spread { samples, p50_ms, p99_ms, longest_ms } = spread;
    format!("p50 {p50_ms:.2} ms, p99 {p99_ms:.2} ms, longest {longest_ms:.2} ms of {samples}")
}
