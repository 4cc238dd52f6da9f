//! A real server: the built executable, real signals, its log read line by line.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::chown;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tempfile::TempDir;

use super::client::Client;
use super::command::{CommandLine, Ended};
use super::deadline::{SHORT, eventually};
use super::footprint::{Footprint, cgroups_of, processes_below};

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
        let mut command = Command::new(program);
        let settings = std::env::vars_os().map(|(name, _)| name);
        let is_ours = |name: &OsString| name.to_string_lossy().starts_with("BULKHEAD_");
        for name in settings.filter(is_ours) {
            command.env_remove(name);
        }
        command.env_remove("RUST_LOG");
        command
    }
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

/// How a server is started.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Whom it runs as; none: as the tests themselves.
    pub user: Option<User>,
    /// Arguments of `up` beside those that it needs here.
    pub arguments: Vec<String>,
    /// Its configuration file.
    pub config: String,
}

impl Options {
    /// A server with this configuration file.
    pub fn config(text: &str) -> Self {
        Self { config: text.to_owned(), ..Self::default() }
    }

    /// A server with that many slots.
    pub fn slots(slots: u32) -> Self {
        Self::config(&format!("slots = {slots}\n"))
    }

    /// The same as another user.
    #[must_use]
    pub fn user(self, user: Option<User>) -> Self {
        Self { user, ..self }
    }
}

/// A server that was started. Killed when dropped.
pub struct Server {
    executables: Executables,
    options: Options,
    child: Child,
    url: String,
    /// Its data, its folder for temporary files, its configuration.
    folder: Arc<TempDir>,
    /// What it has logged so far.
    log: Arc<Mutex<Vec<String>>>,
    /// Each line once, as it comes.
    lines: mpsc::Receiver<String>,
    /// What it has printed so far.
    output: Arc<Mutex<Vec<String>>>,
}

impl Server {
    /// Starts a server and waits until it listens.
    #[track_caller]
    pub fn start(executables: &Executables, options: Options) -> Self {
        let folder = tempfile::Builder::new().prefix("bulkhead-test-").tempdir().expect("a temporary folder");
        for name in ["data", "tmp"] {
            std::fs::create_dir(folder.path().join(name)).expect("a folder");
        }
        if let Some(User { id }) = options.user {
            for name in ["", "data", "tmp"] {
                chown(folder.path().join(name), Some(id), Some(id)).expect("a folder can be given away");
            }
        }
        Self::start_in(executables, options, Arc::new(folder))
    }

    #[track_caller]
    fn start_in(executables: &Executables, options: Options, folder: Arc<TempDir>) -> Self {
        std::fs::write(folder.path().join("bulkhead.toml"), &options.config).expect("a configuration");
        let mut command = command(executables, &options, folder.path());
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the server starts");
        let (log, output) = (Arc::default(), Arc::default());
        let lines = follow(child.stderr.take(), &log);
        follow(child.stdout.take(), &output);
        let (executables, url) = (executables.clone(), String::new());
        let mut server = Self { executables, options, child, url, folder, log, lines, output };
        let listening = server.wait_for("listening");
        server.url = listening["url"].as_str().expect("the line has the address").to_owned();
        server
    }

    /// Starts it again on the same folder, after its end.
    #[track_caller]
    pub fn restart(mut self) -> Self {
        // Its end was asked for by the test.
        let _ = self.child.kill();
        self.child.wait().expect("its end");
        let (executables, options) = (self.executables.clone(), self.options.clone());
        Self::start_in(&executables, options, Arc::clone(&self.folder))
    }

    /// Its address.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// A client of it.
    pub fn client(&self) -> Client {
        Client::new(&self.url)
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The folder that holds its `data`, `tmp` and `bulkhead.toml`.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// What it holds of the machine now.
    #[track_caller]
    pub fn footprint(&self) -> Footprint {
        Footprint::of(self.pid(), self.folder.path())
    }

    /// The command line as a user of this server has it.
    pub fn command_line(&self) -> CommandLine {
        CommandLine::new(&self.executables, self.folder.path()).variable("BULKHEAD_URL", &self.url)
    }

    /// Runs `bulkhead` against this server.
    #[track_caller]
    pub fn cli(&self, arguments: &[&str]) -> Ended {
        self.command_line().run(arguments)
    }

    /// Waits for a line of its log with this message.
    ///
    /// # Panics
    /// When the server ends before, or stays silent for long.
    #[track_caller]
    pub fn wait_for(&self, message: &str) -> Value {
        loop {
            let line = self.lines.recv_timeout(SHORT);
            let line = line.unwrap_or_else(|error| panic!("no {message:?} ({error}) in the log:\n{}", self.log()));
            if let Ok(event) = serde_json::from_str::<Value>(&line)
                && event["message"] == message
            {
                return event;
            }
        }
    }

    /// Everything that it has logged.
    pub fn log(&self) -> String {
        lock(&self.log).join("\n")
    }

    /// Everything that it has printed, which is little: its log is elsewhere.
    pub fn output(&self) -> String {
        lock(&self.output).join("\n")
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.pid().try_into().expect("a pid"));
        kill(pid, signal).expect("the server can be signalled");
    }

    /// Waits for its end.
    #[track_caller]
    pub fn wait(&mut self) -> ExitStatus {
        let log = Arc::clone(&self.log);
        eventually("the server's end", || match self.child.try_wait().expect("its end can be asked for") {
            Some(status) => Ok(status),
            None => Err(format!("it still runs:\n{}", lock(&log).join("\n"))),
        })
    }

    /// Asks it to end, and checks that it ends well and leaves nothing running.
    #[track_caller]
    pub fn stop(mut self) {
        let processes = processes_below(self.pid());
        self.signal(Signal::SIGTERM);
        let status = self.wait();
        assert_eq!(status.code(), Some(0), "it ended with {status}:\n{}", self.log());
        for process in processes {
            eventually("processes of the server end with it", || process.is_gone());
        }
        assert_eq!(cgroups_of(self.pid()), BTreeSet::new(), "control groups are left");
        let temporary = self.folder().join("tmp").read_dir().expect("it is there").count();
        assert_eq!(temporary, 0, "temporary files are left");
    }

    /// `kill -9`.
    #[track_caller]
    pub fn kill(&mut self) {
        self.signal(Signal::SIGKILL);
        assert_eq!(self.wait().signal(), Some(Signal::SIGKILL as i32));
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let log = lock(&self.log);
            // A line for each of many functions says nothing about a failure.
            let told: Vec<&str> =
                log.iter().map(String::as_str).filter(|line| !line.contains("\"registered\"")).collect();
            eprintln!("--- log of the server at {}\n{}", self.url, told.join("\n"));
        }
    }
}

fn command(executables: &Executables, options: &Options, folder: &Path) -> Command {
    let mut command = match options.user {
        Some(User { id }) => {
            let mut command = executables.clean_command(Path::new("setpriv"));
            let id = id.to_string();
            command.args(["--reuid", &id, "--regid", &id, "--clear-groups", "--"]).arg(&executables.bulkhead);
            command
        }
        None => executables.clean_command(&executables.bulkhead),
    };
    command.args(["up", "--port", "0", "--log-format", "json", "--data"]).arg(folder.join("data"));
    command.arg("--runner").arg(&executables.runner).args(&options.arguments);
    // The samples are built by a sandbox of the command line, which reads the variable.
    command.current_dir(folder).env("TMPDIR", folder.join("tmp")).env("BULKHEAD_RUNNER", &executables.runner);
    command
}

/// Reads lines, to keep them and to pass them on.
fn follow(pipe: Option<impl Read + Send + 'static>, kept: &Arc<Mutex<Vec<String>>>) -> mpsc::Receiver<String> {
    let (pass_on, lines) = mpsc::channel();
    let pipe = BufReader::new(pipe.expect("it was piped"));
    let kept = Arc::clone(kept);
    std::thread::spawn(move || {
        for line in pipe.lines().map_while(Result::ok) {
            lock(&kept).push(line.clone());
            // A test that does not listen any more has seen enough.
            let _ = pass_on.send(line);
        }
    });
    lines
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
