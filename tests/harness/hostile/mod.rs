//! The hostile suite: what functions of no good will do, what each has to come to, and what has to hold
//! after every one. [`table`] is the one list of it; tests and the soak take their rows from there.

mod expected;
mod ground;
mod latency;
mod ledger;
mod runs;
mod soak;
mod table;
mod tally;

pub use expected::{Expected, without_usage};
pub(crate) use ground::DELEGATED;
pub use ground::{Delegation, Ground, Groups, unprivileged};
pub use latency::{Beside, Latency, Measured};
pub use ledger::{Ledger, settled};
pub use runs::{Ran, Runs};
pub use soak::{Soak, Soaked};
pub use table::{Act, Kind, Row, table};
pub use tally::{Matches, Spread, Tally};

use super::client::{Answer, Client};
use super::packages::Packages;
use super::server::Server;

impl Row {
    /// Does what the row says, and gives the answers.
    #[track_caller]
    pub fn act(&self, client: &Client, packages: &Packages) -> Vec<Answer> {
        match &self.act {
            Act::Call { function, arguments, timeout, times } => {
                let path = format!("/v1/functions/{function}/invoke{timeout}");
                (0..*times).map(|_| client.post(&path, arguments)).collect()
            }
            Act::Register(package) => vec![client.register(&package(packages))],
        }
    }
}

/// Does what the rows of a kind say on a server with `hello` and `faulty`, which has one slot, and checks
/// after each that nothing is left of it.
#[track_caller]
pub fn run<'a>(server: &Server, packages: &Packages, rows: impl IntoIterator<Item = &'a Row>) {
    let client = server.client();
    let mut ledger = Ledger::open(server, &client);
    let counts_memory = ledger.counts_memory();
    let mut failures = Vec::new();
    for row in rows {
        println!("{}", row.name);
        let answers = row.act(&client, packages);
        // All of them are seen before one fails the test.
        if let Err(complaint) = row.expected.check(&answers, counts_memory) {
            failures.push(format!("{}: {complaint}", row.name));
        }
        if row.kind == Kind::OutOfMemory && counts_memory {
            ledger.excuse_child();
        }
        match &row.act {
            Act::Call { function, .. } => ledger.check(server, function),
            Act::Register(_) => ledger.check_again(server, row.name),
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}
