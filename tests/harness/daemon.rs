//! A process that runs until it is told to end: real signals, its log read line by line.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use super::deadline::{SHORT, eventually_within};

/// A process that was started. Killed when dropped.
pub struct Daemon {
    child: Child,
    /// What it has logged so far.
    log: Arc<Mutex<Vec<String>>>,
    /// Each line once, as it comes.
    lines: mpsc::Receiver<String>,
    /// What it has printed so far.
    output: Arc<Mutex<Vec<String>>>,
}

impl Daemon {
    /// Starts it.
    ///
    /// # Panics
    /// When it cannot be started.
    #[track_caller]
    pub fn start(mut command: Command) -> Self {
        let ran = format!("{command:?}");
        let command = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{ran}: {error}"));
        let (log, output) = (Arc::default(), Arc::default());
        let lines = follow(child.stderr.take(), &log);
        follow(child.stdout.take(), &output);
        Self { child, log, lines, output }
    }

    /// Its number.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits for a line of its log with this message. Lines before it are passed over for good.
    ///
    /// # Panics
    /// When it ends before, or stays silent for long.
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

    /// Everything that it has printed.
    pub fn output(&self) -> String {
        lock(&self.output).join("\n")
    }

    /// Sends it a signal.
    #[track_caller]
    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.pid().try_into().expect("a pid"));
        kill(pid, signal).expect("it can be signalled");
    }

    /// How it ended; none while it runs.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("its end can be asked for")
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// When it still runs after `limit`.
    #[track_caller]
    pub fn wait_within(&mut self, limit: Duration) -> ExitStatus {
        let log = Arc::clone(&self.log);
        eventually_within(limit, "the end of a process", || match self.ended() {
            Some(status) => Ok(status),
            None => Err(format!("it still runs:\n{}", lock(&log).join("\n"))),
        })
    }

    /// `kill -9`, and waits until it is gone.
    pub fn kill(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        self.child.wait().expect("its end can be asked for");
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.kill();
    }
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
