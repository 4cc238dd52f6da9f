//! The whole table, over and over, on one ground: how often each act comes to what it has to.

use std::time::Instant;

use serde::Serialize;

use super::table::{Act, Kind, Row, table};
use super::tally::Tally;
use super::{Ground, Ledger};
use crate::member::Executables;
use crate::packages::Packages;
use crate::server::{Options, Server};
use crate::setting::Setting;

/// Runs of the whole table, of which one in so many also loads the packages that cannot be loaded: one of them takes
/// ten seconds to find out.
const LOADS_EVERY: u32 = 10;

/// The table on one ground.
#[derive(Clone, Copy, Debug)]
pub struct Runs<'a> {
    /// Where.
    pub ground: Ground,
    /// How often.
    pub runs: u32,
    /// The acts whose names contain one of these, each time; the whole table when there are none.
    pub acts: &'a [String],
}

/// What came of it.
#[derive(Clone, Debug, Serialize)]
pub struct Ran {
    /// The ground's name.
    pub ground: &'static str,
    /// How often the table was run.
    pub runs: u32,
    /// What each act came to.
    pub tally: Tally,
    /// What was left behind, and after what.
    pub effects: Vec<String>,
}

impl Runs<'_> {
    /// Runs it; nothing where the machine does not have the ground. `goes_on` is asked before each run.
    pub fn run(&self, executables: &Executables, packages: &Packages, goes_on: &dyn Fn(u32) -> bool) -> Option<Ran> {
        let options = self.ground.options(Options::slots(1), executables)?;
        let mut ran = Ran { ground: self.ground.name(), runs: 0, tally: Tally::default(), effects: Vec::new() };
        while ran.runs < self.runs && goes_on(ran.runs) {
            let server = Server::start(executables, Setting::ALONE, options.clone());
            for name in ["hello", "faulty"] {
                server.client().register(packages.get(name)).expect(201);
            }
            let loads = ran.runs.is_multiple_of(LOADS_EVERY);
            let is_meant = |row: &Row| match self.acts {
                [] => loads || row.kind != Kind::LoadFailed,
                names => names.iter().any(|name| row.name.contains(name)),
            };
            one(&server, packages, is_meant, &mut ran);
            server.stop();
            ran.runs += 1;
        }
        Some(ran)
    }
}

fn one(server: &Server, packages: &Packages, is_meant: impl Fn(&Row) -> bool, ran: &mut Ran) {
    let client = server.client();
    let mut ledger = Ledger::open(server, &client);
    let counts_memory = ledger.counts_memory();
    for row in table().iter().filter(|row| is_meant(row)) {
        let begun = Instant::now();
        let answers = row.act(&client, packages);
        let taken = begun.elapsed();
        ran.tally.count(row.name, row.expected.check(&answers, counts_memory), taken);
        if row.kind == Kind::OutOfMemory && counts_memory {
            ledger.excuse_child();
        }
        let function = if let Act::Call { function, .. } = &row.act { Some(*function) } else { None };
        if let Err(effect) = ledger.look(server, &client, function) {
            ran.effects.push(format!("{}: {effect}", row.name));
        }
    }
}
