//! What a server may hold after a call, whatever the call was.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::client::Client;
use crate::deadline::{SHORT, eventually, eventually_within};
use crate::footprint::Footprint;
use crate::layers::require_or_skip;
use crate::server::Server;

/// Runners that a server keeps at most (`MAX_RUNNERS` of its pool).
const MOST_RUNNERS: usize = 64;
/// How long what a call has left may stay before it counts as left behind.
const PATIENCE: Duration = Duration::from_secs(10);
/// Between two looks meanwhile.
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// What a server with one slot must hold: the same for each function that has a runner.
pub struct Ledger {
    /// Before any call.
    idle: Footprint,
    /// With one runner.
    first: Footprint,
    /// Functions that were called.
    called: Vec<String>,
    /// Children that wait for a call and may be missing. See [`Ledger::excuse_child`].
    excused: usize,
}

impl Ledger {
    /// Begins with a call of `hello`.
    #[track_caller]
    pub fn open(server: &Server, client: &Client) -> Self {
        let idle = settled(server);
        assert_eq!(idle.processes, 0, "an idle server has no process");
        canary(client);
        let first = settled(server);
        // Init, zygote, and the child that waits for the next call.
        assert_eq!(first.processes, 4, "a runner of one slot is init, zygote, keeper and child");
        assert!(first.descriptors > idle.descriptors);
        let is_root = |pid: &u32| fs::metadata(format!("/proc/{pid}")).is_ok_and(|process| process.uid() == 0);
        let may_have_groups = server.pids().iter().all(is_root) && !server.hides_groups();
        let counts_groups = first.cgroups.len() > idle.cgroups.len();
        // An ordinary user has none unless somebody delegates one.
        let _ =
            !may_have_groups || require_or_skip(counts_groups, "there are no control groups whose leaks could be seen");
        Self { idle, first, called: vec!["hello".to_owned()], excused: 0 }
    }

    /// Whether a control group counts the memory of its calls.
    pub fn counts_memory(&self) -> bool {
        let files = ["memory.limit_in_bytes", "memory.max"];
        self.first.cgroups.iter().any(|group| files.iter().any(|file| group.join(file).exists()))
    }

    /// Allows one child that waits for a call to be missing. After a call has used up its slot's memory the
    /// kernel may take a while to count page tables as free, and kill the next child for them; whoever calls
    /// next gets another.
    pub fn excuse_child(&mut self) {
        self.excused += 1;
    }

    /// Checks that the canary answers and that the server holds what its runners need and nothing else.
    #[track_caller]
    pub fn check(&mut self, server: &Server, function: &str) {
        self.note(function);
        self.check_again(server, function);
    }

    /// The same after a call of a function that keeps no runner.
    #[track_caller]
    pub fn check_again(&self, server: &Server, what: &str) {
        canary(&server.client());
        eventually(&format!("{what} leaves nothing behind"), || self.compare(server));
    }

    /// The same for those who count and go on: what is left behind for longer than `PATIENCE`.
    ///
    /// # Errors
    /// What there is more or less of.
    pub fn look(&mut self, server: &Server, client: &Client, function: Option<&str>) -> Result<(), String> {
        canary(client);
        if let Some(function) = function {
            self.note(function);
        }
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.compare(server) {
                Err(_) if Instant::now() < deadline => std::thread::sleep(LOOK_AGAIN),
                compared => return compared,
            }
        }
    }

    /// Expects a runner of this function from now on.
    fn note(&mut self, function: &str) {
        if !self.called.iter().any(|called| called == function) {
            self.called.push(function.to_owned());
        }
    }

    fn compare(&self, server: &Server) -> Result<(), String> {
        let runners = self.called.len().min(MOST_RUNNERS);
        let each = |first: usize, idle: usize| idle + runners * (first - idle);
        let now = server.footprint();
        let expected = [
            each(self.first.processes, 0),
            0,
            each(self.first.descriptors, self.idle.descriptors),
            each(self.first.cgroups.len(), self.idle.cgroups.len()),
        ];
        let processes = now.processes + (expected[0].saturating_sub(now.processes)).min(self.excused);
        let counts = [processes, now.zombies, now.descriptors, now.cgroups.len()];
        if counts != expected {
            return Err(format!("processes, zombies, descriptors, cgroups: {counts:?} instead of {expected:?}"));
        }
        if now.temporary.is_empty() && now.mounts == self.idle.mounts && now.kept == self.first.kept {
            return Ok(());
        }
        Err(format!("{now:#?} instead of {:#?}", self.first))
    }
}

#[track_caller]
fn canary(client: &Client) {
    assert_eq!(client.invoke("hello", &json!({"who": "canary"})).expect(200).json(), "Hello, canary!");
}

/// What a server holds once it holds the same for a while: connections close when they like.
#[track_caller]
pub fn settled(server: &Server) -> Footprint {
    settled_for(server, 50, SHORT)
}

/// The same for a server with many runners, where each look takes long: once so many looks found the same.
#[track_caller]
pub(super) fn settled_for(server: &Server, looks: u32, limit: Duration) -> Footprint {
    let mut last = server.footprint();
    let mut same = 0;
    eventually_within(limit, "the server comes to rest", || {
        let now = server.footprint();
        same = if now == last { same + 1 } else { 0 };
        last = now;
        if same == looks { Ok(last.clone()) } else { Err(format!("{last:#?}")) }
    })
}
