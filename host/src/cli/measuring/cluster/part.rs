//! One process of a cluster. It ends with this one, however this one ends.
#![expect(unsafe_code, reason = "a child asks the kernel to be killed with its parent, between fork and exec")]

use std::ffi::OsString;
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::Context as _;
use nix::sys::prctl;
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, getpid, getppid};
use tokio::process::{Child, Command};

use super::log::{Listening, Log};
use crate::cli::sandbox::SandboxArgs;
use crate::telemetry::stage;

/// One process of a cluster. Killed when it is dropped.
pub(in crate::cli) struct Part {
    kind: &'static str,
    child: Child,
    log: Log,
}

impl Part {
    /// Starts this executable with other arguments.
    pub(super) fn start(
        kind: &'static str,
        arguments: &[OsString],
        folder: &Path,
        sandbox: &SandboxArgs,
        tells_stages: bool,
    ) -> anyhow::Result<Self> {
        let program = std::env::current_exe().context("failed to find this executable")?;
        let mut command = Command::new(program);
        // The settings of whoever measures are for other servers.
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("BULKHEAD_")) {
            command.env_remove(name);
        }
        command.args(arguments).env_remove("RUST_LOG").env("BULKHEAD_LOG_FORMAT", "json");
        if tells_stages {
            command.env("BULKHEAD_LOG", format!("warn,bulkhead=info,{}=trace", stage::TARGET));
        }
        if let Some(runner) = &sandbox.runner {
            command.env("BULKHEAD_RUNNER", std::path::absolute(runner)?);
        }
        if sandbox.allow_weaker_sandbox {
            command.env("BULKHEAD_ALLOW_WEAKER_SANDBOX", "true");
        }
        Self::spawn(kind, command, folder)
    }

    /// Starts a program. Must be called on the main thread of this process: the kernel ties the child to the
    /// thread that it was forked by.
    pub(super) fn spawn(kind: &'static str, mut command: Command, folder: &Path) -> anyhow::Result<Self> {
        command.current_dir(folder).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        // Ctrl-C is for whoever measures, who ends the clusters in order.
        command.process_group(0).kill_on_drop(true);
        let parent = getpid();
        // SAFETY: the closure runs between fork and exec in the child of a process with several threads, where
        // only what is async-signal-safe may be done: it makes two system calls and neither allocates nor locks.
        unsafe {
            command.pre_exec(move || end_with(parent));
        }
        let mut child =
            command.spawn().with_context(|| format!("failed to start {:?}", command.as_std().get_program()))?;
        let log = Log::new();
        if let Some(stderr) = child.stderr.take() {
            tokio::spawn(log.clone().read(stderr));
        }
        Ok(Self { kind, child, log })
    }

    /// `gateway`, `worker` and so on.
    pub(super) fn kind(&self) -> &'static str {
        self.kind
    }

    /// Its number; none once it was reaped.
    pub(super) fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    /// What it says.
    pub(super) fn log(&self) -> &Log {
        &self.log
    }

    /// Waits until it listens; none when it ends before or does not within the time.
    pub(super) async fn listening(&mut self, within: Duration) -> Option<Listening> {
        tokio::select! {
            listening = self.log.listening(within) => listening,
            _ = self.child.wait() => None,
        }
    }

    /// How it ended; none while it runs.
    pub(super) fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// Asks it to end in order.
    pub(in crate::cli) fn ask_to_end(&self) {
        if let Some(pid) = self.pid().and_then(|pid| i32::try_from(pid).ok()) {
            // It was not reaped, so that the number is its own.
            let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
        }
    }

    /// Waits until it has ended; kills it when it does not in time.
    pub(in crate::cli) async fn wait_or_kill(mut self, within: Duration) {
        if tokio::time::timeout(within, self.child.wait()).await.is_err() {
            self.kill().await;
        }
    }

    /// Kills and reaps it.
    pub(super) async fn kill(mut self) {
        // It may have ended by itself.
        let _ = self.child.kill().await;
    }
}

/// Has the kernel kill this process when its parent dies.
fn end_with(parent: Pid) -> io::Result<()> {
    prctl::set_pdeathsig(Signal::SIGKILL)?;
    // It may have died before it was asked.
    if getppid() == parent { Ok(()) } else { Err(io::ErrorKind::BrokenPipe.into()) }
}

/// A port that nobody listened on a moment ago.
pub(super) fn unused_port() -> io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}
