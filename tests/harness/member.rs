//! One process of a server or cluster, which can be ended and started again on the same folder.

use std::ffi::OsString;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::Value;

use super::daemon::Daemon;
use super::deadline::SHORT;
use super::footprint::{Process, processes_below};
use super::hostile::Groups;
use super::net::Host;

/// The executables under test.
#[derive(Clone, Debug)]
pub struct Executables {
    /// `bulkhead`.
    pub bulkhead: PathBuf,
    /// `bulkhead-runner`.
    pub runner: PathBuf,
}

impl Executables {
    /// A command that sees nothing of the settings of whoever runs the tests.
    pub fn clean_command(&self, program: &Path) -> Command {
        without_settings(Command::new(program))
    }
}

fn without_settings(mut command: Command) -> Command {
    let settings = std::env::vars_os().map(|(name, _)| name);
    let is_ours = |name: &OsString| name.to_string_lossy().starts_with("BULKHEAD_");
    for name in settings.filter(is_ours) {
        command.env_remove(name);
    }
    command.env_remove("RUST_LOG");
    command
}

/// An ordinary user to run a server as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct User {
    /// Both the user and the group.
    pub id: u32,
}

impl User {
    /// A user that no other server of this run has: limits on processes count by user.
    pub fn unused() -> Self {
        /// Above the users of distributions, below those of containers.
        const FIRST: u32 = 30_000;
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let run = std::process::id() % 2000 * 10;
        Self { id: FIRST + run + NEXT.fetch_add(1, Ordering::Relaxed) }
    }
}

/// How a process is started.
#[derive(Clone, Debug)]
pub struct Launch {
    /// What is started.
    pub executables: Executables,
    /// Whom it runs as; none: as the tests themselves.
    pub user: Option<User>,
    /// Which control groups it finds.
    pub groups: Groups,
    /// Where it runs; none: on this machine.
    pub host: Option<Host>,
    /// Its working directory, with its configuration and its folder for temporary files.
    pub folder: PathBuf,
    /// The command and its arguments.
    pub arguments: Vec<OsString>,
    /// Variables beside those that it needs here.
    pub variables: Vec<(&'static str, OsString)>,
}

impl Launch {
    /// Nothing out of the ordinary.
    pub fn new<A: Into<OsString>>(
        executables: &Executables,
        folder: &Path,
        arguments: impl IntoIterator<Item = A>,
    ) -> Self {
        Self {
            executables: executables.clone(),
            user: None,
            groups: Groups::AsTheyAre,
            host: None,
            folder: folder.to_owned(),
            arguments: arguments.into_iter().map(Into::into).collect(),
            variables: Vec::new(),
        }
    }

    /// The command, as a member of a cluster is started with it.
    pub fn command(&self) -> Command {
        let on_host = |program: &Path| match &self.host {
            Some(host) => host.command(program),
            None => self.groups.command(program),
        };
        let mut command = match self.user {
            Some(User { id }) => {
                let mut command = on_host(Path::new("setpriv"));
                let id = id.to_string();
                command.args(["--reuid", &id, "--regid", &id, "--clear-groups", "--"]).arg(&self.executables.bulkhead);
                command
            }
            None => on_host(&self.executables.bulkhead),
        };
        command = without_settings(command);
        command.args(&self.arguments).current_dir(&self.folder);
        // The samples are built by a sandbox of the command line, which reads the variable.
        command.env("TMPDIR", self.folder.join("tmp")).env("BULKHEAD_RUNNER", &self.executables.runner);
        command.env("BULKHEAD_LOG_FORMAT", "json");
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command
    }
}

/// A process of a server or cluster. Killed when dropped.
pub struct Member {
    /// What it is, for messages.
    name: String,
    launch: Launch,
    daemon: Daemon,
    /// What it logged in earlier lives.
    past: String,
}

impl Member {
    /// Starts it.
    #[track_caller]
    pub fn start(name: impl Into<String>, launch: Launch) -> Self {
        let daemon = Daemon::start(launch.command());
        Self { name: name.into(), launch, daemon, past: String::new() }
    }

    /// What it is.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How it is started the next time.
    pub fn launch_mut(&mut self) -> &mut Launch {
        &mut self.launch
    }

    /// Its number.
    pub fn pid(&self) -> u32 {
        self.daemon.pid()
    }

    /// The processes below it.
    pub fn processes(&self) -> Vec<Process> {
        processes_below(self.pid())
    }

    /// Waits for a line of this life's log with this message.
    #[track_caller]
    pub fn wait_for(&self, message: &str) -> Value {
        self.daemon.wait_for(message)
    }

    /// Everything that it has logged, in all of its lives.
    pub fn log(&self) -> String {
        format!("{}{}", self.past, self.daemon.log())
    }

    /// Everything that it has printed in this life.
    pub fn output(&self) -> String {
        self.daemon.output()
    }

    /// How it ended; none while it runs.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.daemon.ended()
    }

    /// Sends it a signal.
    #[track_caller]
    pub fn signal(&self, signal: Signal) {
        self.daemon.signal(signal);
    }

    /// Waits for its end.
    #[track_caller]
    pub fn wait(&mut self) -> ExitStatus {
        self.wait_within(SHORT)
    }

    /// Waits for its end for that long.
    #[track_caller]
    pub fn wait_within(&mut self, limit: Duration) -> ExitStatus {
        self.daemon.wait_within(limit)
    }

    /// `kill -9`; it must have run until now.
    #[track_caller]
    pub fn kill(&mut self) {
        self.signal(Signal::SIGKILL);
        let status = self.wait();
        assert_eq!(status.signal(), Some(Signal::SIGKILL as i32), "{}: {status}\n{}", self.name, self.log());
    }

    /// Starts it again, after its end.
    #[track_caller]
    pub fn restart(&mut self) {
        self.daemon.kill();
        self.past = format!("{}\n--- again\n", self.log());
        self.daemon = Daemon::start(self.launch.command());
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // A line for each of many functions says nothing about a failure.
            let log = self.log();
            let told: Vec<&str> = log.lines().filter(|line| !line.contains("\"registered\"")).collect();
            eprintln!("--- log of {}\n{}", self.name, told.join("\n"));
        }
    }
}
