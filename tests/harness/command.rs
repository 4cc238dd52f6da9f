//! The command line, as a user of a terminal or a script has it.

use std::ffi::OsString;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use serde_json::Value;

use super::deadline::LONG;
use super::member::Executables;

/// How a command ended.
#[derive(Clone, Debug)]
pub struct Ended {
    /// The exit code; none after a signal.
    pub code: Option<i32>,
    /// What it wrote to stdout.
    pub stdout: String,
    /// What it wrote to stderr.
    pub stderr: String,
    /// What was run, for messages.
    ran: String,
}

impl Ended {
    /// The same, if it ended with that code.
    #[track_caller]
    pub fn expect(self, code: i32) -> Self {
        let Self { ran, stdout, stderr, .. } = &self;
        assert_eq!(self.code, Some(code), "{ran}\n--- stdout\n{stdout}\n--- stderr\n{stderr}");
        self
    }

    /// What it wrote to stdout, as JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        let Self { ran, stdout, stderr, .. } = self;
        serde_json::from_str(stdout).unwrap_or_else(|error| panic!("{ran}: no JSON: {error}\n{stdout}\n{stderr}"))
    }

    /// The last line of stderr, as JSON: what `--json` makes of a failure.
    #[track_caller]
    pub fn failure(&self) -> Value {
        let last = self.stderr.lines().last().unwrap_or_default();
        serde_json::from_str(last).unwrap_or_else(|error| panic!("{}: no JSON: {error}\n{}", self.ran, self.stderr))
    }
}

/// `bulkhead`, with its surroundings.
#[derive(Clone, Debug)]
pub struct CommandLine {
    executables: Executables,
    /// Where it runs.
    pub folder: PathBuf,
    /// Variables beside those that it needs here.
    pub variables: Vec<(&'static str, OsString)>,
    /// Variables that it must not see.
    pub hidden: Vec<&'static str>,
    /// What it reads from stdin.
    pub input: Vec<u8>,
}

impl CommandLine {
    /// The command line in a folder.
    pub fn new(executables: &Executables, folder: &Path) -> Self {
        let (executables, folder) = (executables.clone(), folder.to_owned());
        Self { executables, folder, variables: Vec::new(), hidden: Vec::new(), input: Vec::new() }
    }

    /// With another variable.
    #[must_use]
    pub fn variable(mut self, name: &'static str, value: impl Into<OsString>) -> Self {
        self.variables.push((name, value.into()));
        self
    }

    /// Without a variable of whoever runs the tests.
    #[must_use]
    pub fn without(mut self, name: &'static str) -> Self {
        self.hidden.push(name);
        self
    }

    /// With something on stdin.
    #[must_use]
    pub fn input(mut self, input: impl Into<Vec<u8>>) -> Self {
        self.input = input.into();
        self
    }

    /// `bulkhead`, ready to be started.
    pub fn command(&self, arguments: &[&str]) -> Command {
        self.program(&self.executables.bulkhead, arguments)
    }

    /// Another program in the same surroundings.
    pub fn program(&self, program: &Path, arguments: &[&str]) -> Command {
        let mut command = self.executables.clean_command(program);
        for name in &self.hidden {
            command.env_remove(name);
        }
        command.args(arguments).current_dir(&self.folder).env("BULKHEAD_RUNNER", &self.executables.runner);
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Runs it to its end.
    #[track_caller]
    pub fn run(&self, arguments: &[&str]) -> Ended {
        run_within(self.command(arguments), &self.input, LONG)
    }
}

/// Runs a command to its end, with `input` on its stdin.
///
/// # Panics
/// When it does not end within `limit`; it is killed then.
#[track_caller]
pub fn run_within(mut command: Command, input: &[u8], limit: Duration) -> Ended {
    let ran = format!("{command:?}");
    let pipes = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = pipes.spawn().unwrap_or_else(|error| panic!("{ran}: {error}"));
    let mut stdin = child.stdin.take().expect("it was piped");
    let input = input.to_vec();
    // A command that ends without reading closes the pipe: no mistake.
    std::thread::spawn(move || stdin.write_all(&input));
    let (stdout, stderr) = (read_to_end(child.stdout.take()), read_to_end(child.stderr.take()));
    let (tell, ended) = mpsc::channel();
    let pid = nix::unistd::Pid::from_raw(child.id().try_into().expect("a pid"));
    std::thread::spawn(move || tell.send(child.wait()));
    let Ok(status) = ended.recv_timeout(limit) else {
        let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL);
        panic!("{ran}: no end within {limit:?}");
    };
    let text = |output: mpsc::Receiver<Vec<u8>>| {
        // A grandchild may hold the pipe open for longer.
        String::from_utf8_lossy(&output.recv_timeout(limit).unwrap_or_default()).into_owned()
    };
    let code = status.expect("its end can be asked for").code();
    Ended { code, stdout: text(stdout), stderr: text(stderr), ran }
}

fn read_to_end(pipe: Option<impl Read + Send + 'static>) -> mpsc::Receiver<Vec<u8>> {
    let (tell, read) = mpsc::channel();
    let mut pipe = pipe.expect("it was piped");
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = pipe.read_to_end(&mut bytes);
        tell.send(bytes)
    });
    read
}
