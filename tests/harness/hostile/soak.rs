//! A soak: very many hostile and healthy calls against real servers, with a look at what is left at the end.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde::Serialize;
use serde_json::json;

use super::ledger::{Ledger, settled_for};
use super::table::{Act, Kind, Row, table};
use super::tally::{Spread, Tally};
use crate::client::Client;
use crate::deadline::LONG;
use crate::footprint::Footprint;
use crate::member::Executables;
use crate::packages::Packages;
use crate::server::{Options, Server};
use crate::setting::Setting;
use crate::simulator::random::Random;

/// Functions that a server is asked for: it keeps a runner of each, 64 at most, so that none has to give way
/// and what it holds at the end can be compared with what it held at the start.
const MOST_FUNCTIONS: usize = 60;
/// Looks that have to find the same before a server counts as at rest.
const LOOKS: u32 = 10;
/// Of a thousand calls, those of functions that take long.
const SLOW_PER_MILLE: u32 = 2;
/// Of a thousand calls, those of functions that do no harm.
const HEALTHY_PER_MILLE: u32 = 500;

/// What is soaked, and how.
#[derive(Clone, Debug)]
pub struct Soak {
    /// Calls altogether.
    pub calls: u64,
    /// Servers side by side, each with one slot.
    pub servers: u32,
    /// Every choice comes from it.
    pub seed: u64,
    /// The ground that the servers stand on.
    pub options: Options,
}

/// What a soak came to.
#[derive(Clone, Debug, Serialize)]
pub struct Soaked {
    /// The seed of its choices.
    pub seed: u64,
    /// Calls altogether.
    pub calls: u64,
    /// How long it took.
    pub seconds: f64,
    /// What each act came to.
    pub tally: Tally,
    /// What each server held at the end beyond what it held at the start.
    pub leaks: Vec<String>,
    /// Resident memory of each server before and after, in KiB.
    pub resident_kib: Vec<[u64; 2]>,
    /// How long healthy calls took, among the others.
    pub healthy: Option<Spread>,
}

/// What one server came to.
struct Part {
    tally: Tally,
    leak: Option<String>,
    resident_kib: [u64; 2],
    healthy: Vec<Duration>,
}

impl Soak {
    /// Makes all the calls.
    #[track_caller]
    pub fn run(&self, executables: &Executables, packages: &Packages, tell: &(dyn Fn(u64) + Sync)) -> Soaked {
        let begun = Instant::now();
        let share = self.calls / u64::from(self.servers.max(1));
        let parts: Vec<Part> = std::thread::scope(|scope| {
            let part = |number: u32| {
                let random = Random::new(self.seed.wrapping_add(number.into()));
                let server = Server::start(executables, Setting::ALONE, self.options.clone());
                soak(&server, packages, share, random, tell)
            };
            let parts: Vec<_> = (0..self.servers.max(1)).map(|number| scope.spawn(move || part(number))).collect();
            parts.into_iter().map(|part| part.join().expect("its server answers to the end")).collect()
        });
        let mut tally = Tally::default();
        let (mut leaks, mut resident_kib, mut healthy) = (Vec::new(), Vec::new(), Vec::new());
        for part in parts {
            tally.add(part.tally);
            leaks.extend(part.leak);
            resident_kib.push(part.resident_kib);
            healthy.extend(part.healthy);
        }
        Soaked {
            seed: self.seed,
            calls: tally.done(),
            seconds: begun.elapsed().as_secs_f64(),
            tally,
            leaks,
            resident_kib,
            healthy: Spread::of(healthy),
        }
    }
}

fn soak(server: &Server, packages: &Packages, calls: u64, mut random: Random, tell: &(dyn Fn(u64) + Sync)) -> Part {
    for name in ["hello", "faulty"] {
        server.client().register(packages.get(name)).expect(201);
    }
    let client = server.client();
    let ledger = Ledger::open(server, &client);
    let counts_memory = ledger.counts_memory();
    let (quick, slow) = deck(&mut random);
    let mut part = Part { tally: Tally::default(), leak: None, resident_kib: [0; 2], healthy: Vec::new() };
    let act = |row: &Row, tally: &mut Tally| {
        let begun = Instant::now();
        let answers = row.act(&client, packages);
        let (taken, calls) = (begun.elapsed(), answers.len() as u64);
        tally.count(row.name, row.expected.check(&answers, counts_memory), taken);
        calls
    };
    // Each once, so that all runners are there.
    for row in quick.iter().chain(&slow) {
        act(row, &mut part.tally);
    }
    let before = settled_for(server, LOOKS, LONG);
    part.resident_kib[0] = resident_kib(server);
    let mut made = 0;
    while made < calls {
        if random.chance(HEALTHY_PER_MILLE) {
            part.healthy.push(canary(&client, &mut part.tally));
            made += 1;
        } else {
            let rows = if random.chance(SLOW_PER_MILLE) { &slow } else { &quick };
            made += act(&rows[random.index(rows.len())], &mut part.tally);
        }
        if made.is_multiple_of(1000) {
            tell(made);
        }
    }
    canary(&client, &mut part.tally);
    let after = settled_for(server, LOOKS, LONG);
    part.resident_kib[1] = resident_kib(server);
    let bombs = slow.iter().filter(|row| row.kind == Kind::OutOfMemory).count();
    part.leak = difference(&before, &after, bombs);
    part
}

/// Rows for one server: those that are over at once, and those that take long.
fn deck(random: &mut Random) -> (Vec<Row>, Vec<Row>) {
    let mut calls: Vec<Row> = table().into_iter().filter(|row| matches!(row.act, Act::Call { .. })).collect();
    // Fisher and Yates.
    for last in (1..calls.len()).rev() {
        calls.swap(last, random.index(last + 1));
    }
    calls.truncate(MOST_FUNCTIONS - 1);
    calls.into_iter().partition(|row| !row.is_slow())
}

/// Calls a function that does no harm, and says how long that took.
fn canary(client: &Client, tally: &mut Tally) -> Duration {
    let begun = Instant::now();
    let answer = client.invoke("hello", &json!({"who": "canary"}));
    let taken = begun.elapsed();
    let is_right = answer.status == 200 && answer.json() == "Hello, canary!";
    tally.count("hello", if is_right { Ok(()) } else { Err(answer.text()) }, taken);
    taken
}

/// What is held at the end and was not at the start. Up to `excused` children that wait for a call may have been
/// missing then, or be missing now: see [`Ledger::excuse_child`].
fn difference(before: &Footprint, after: &Footprint, excused: usize) -> Option<String> {
    let processes = before.processes.abs_diff(after.processes) <= excused;
    let all_else = Footprint { processes: before.processes, ..after.clone() };
    if processes && all_else == *before {
        return None;
    }
    let new = |before: &BTreeSet<PathBuf>, after: &BTreeSet<PathBuf>| {
        after.difference(before).cloned().collect::<Vec<PathBuf>>()
    };
    let (b, a) = (before, after);
    Some(format!(
        "processes {} → {}, zombies {} → {}, descriptors {} → {}, mounts {} → {}; new: {:?} {:?} {:?}",
        b.processes,
        a.processes,
        b.zombies,
        a.zombies,
        b.descriptors,
        a.descriptors,
        b.mounts.len(),
        a.mounts.len(),
        new(&b.cgroups, &a.cgroups),
        new(&b.temporary, &a.temporary),
        new(&b.kept, &a.kept),
    ))
}

/// Resident memory of the server's own processes.
fn resident_kib(server: &Server) -> u64 {
    let of = |pid: u32| {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok()).unwrap_or(0)
    };
    server.pids().into_iter().map(of).sum()
}
