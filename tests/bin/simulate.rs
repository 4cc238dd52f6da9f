//! Runs schedules of the simulator: one seed again, or as many as asked.
//!
//! `simulate --seed N --profile P [--trace]`, or `simulate [--count N] [--first SEED] [--profile P]…`.

use std::io::Write as _;
use std::process::ExitCode;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use bulkhead_tests::simulator::{Campaign, Outcomes, Profile, Tracing, simulate};

/// What the command line asks for.
struct Wish {
    /// Run this seed alone.
    seed: Option<u64>,
    /// Print what happens.
    trace: bool,
    /// The profiles; all where none is named.
    profiles: Vec<Profile>,
    /// How many schedules.
    count: u64,
    /// The first seed.
    first: Option<u64>,
    /// Stop after so many failures.
    failures: usize,
}

fn main() -> ExitCode {
    let wish = match wish(std::env::args().skip(1)) {
        Ok(wish) => wish,
        Err(error) => {
            eprintln!("{error}");
            eprintln!("usage: simulate --seed N --profile P [--trace]");
            eprintln!("       simulate [--count N] [--first SEED] [--profile P]… [--failures N]");
            eprintln!("profiles: {}", Profile::ALL.map(Profile::name).join(" "));
            return ExitCode::from(2);
        }
    };
    // A panic of the core is a finding like any other, and told with its seed.
    std::panic::set_hook(Box::new(|_| {}));
    let failed = match wish.seed {
        Some(seed) => replay(&wish, seed),
        None => campaign(&wish),
    };
    if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

fn wish(mut words: impl Iterator<Item = String>) -> Result<Wish, String> {
    let mut wish = Wish { seed: None, trace: false, profiles: Vec::new(), count: 10_000, first: None, failures: 5 };
    while let Some(word) = words.next() {
        if word == "--trace" {
            wish.trace = true;
            continue;
        }
        let value = words.next().ok_or_else(|| format!("{word} needs a value"))?;
        let number = || value.parse::<u64>().map_err(|error| format!("{word} {value}: {error}"));
        match word.as_str() {
            "--seed" => wish.seed = Some(number()?),
            "--count" => wish.count = number()?,
            "--first" => wish.first = Some(number()?),
            "--failures" => wish.failures = usize::try_from(number()?).unwrap_or(usize::MAX),
            "--profile" => {
                wish.profiles.push(Profile::named(&value).ok_or_else(|| format!("there is no profile {value}"))?);
            }
            _ => return Err(format!("{word} is not known")),
        }
    }
    if wish.profiles.is_empty() {
        wish.profiles = Profile::ALL.to_vec();
    }
    Ok(wish)
}

/// Runs one seed in each profile; whether one failed.
fn replay(wish: &Wish, seed: u64) -> bool {
    let tracing = if wish.trace { Tracing::Text } else { Tracing::Hash };
    let mut failed = false;
    for profile in &wish.profiles {
        let report = simulate(*profile, seed, tracing);
        let mut out = std::io::stdout().lock();
        for line in &report.trace {
            // Whoever reads may have seen enough.
            if writeln!(out, "{line}").is_err() {
                break;
            }
        }
        let (events, hash) = (report.events, report.hash);
        let _ = writeln!(out, "seed {seed}, profile {}: {events} events, transcript {hash:016x}", profile.name());
        if let Some((violation, text)) = &report.broken {
            let _ = writeln!(out, "BROKEN: {violation}: {text}");
            failed = true;
        }
    }
    failed
}

/// Runs many schedules; whether one failed.
fn campaign(wish: &Wish) -> bool {
    let first = wish.first.unwrap_or_else(|| {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_millis()).unwrap_or(0).wrapping_mul(1_000_003) >> 8
    });
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let campaign =
        Campaign { profiles: wish.profiles.clone(), first, count: wish.count, threads, most_failures: wish.failures };
    println!("{} schedules from seed {first} on {threads} threads", wish.count);
    let start = Instant::now();
    let outcomes = campaign.run(&|report, done| {
        if let Some((violation, text)) = &report.broken {
            let (seed, profile) = (report.seed, report.profile.name());
            println!("FAILED after {done} schedules: {violation}: {text}");
            println!(
                "  again: cargo run -p bulkhead-tests --bin simulate -- --seed {seed} --profile {profile} --trace"
            );
        }
        if done.is_multiple_of(1_000) {
            eprint!("\r{done} schedules, {:.0} a second ", rate(done, start));
        }
    });
    eprintln!();
    tell(&outcomes, start);
    !outcomes.failures.is_empty()
}

fn rate(done: u64, since: Instant) -> f64 {
    done as f64 / since.elapsed().as_secs_f64().max(1e-9)
}

fn tell(outcomes: &Outcomes, start: Instant) {
    let Outcomes { schedules, events, runs, simulated_ms, failures } = outcomes;
    println!(
        "{schedules} schedules in {:.1} s ({:.0} a second): {events} events, {runs} attempts, {} simulated hours",
        start.elapsed().as_secs_f64(),
        rate(*schedules, start),
        simulated_ms / 3_600_000,
    );
    if failures.is_empty() {
        println!("no promise was broken");
    }
}
