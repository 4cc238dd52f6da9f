//! A cluster of real processes of this very executable, started to be measured and gone with that.

mod log;
pub(in crate::cli) mod part;
pub(in crate::cli) mod redis;

use std::ffi::OsString;
use std::time::Duration;

use anyhow::Context as _;
use bulkhead_eval::results::{Mode, Setup, Store};
use tempfile::TempDir;
use tokio::time::Instant;

pub(in crate::cli) use self::log::StageLine;
use self::part::Part;
use super::server::Server;
use crate::cli::failure::{Exit, Failure};
use crate::cli::sandbox::SandboxArgs;

/// How long a cluster may take until all of its workers have joined.
const START_WITHIN: Duration = Duration::from_secs(60);
/// Wait between two looks at a cluster that is starting.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// How long its parts may take to end when asked to, before they are killed.
const STOP_WITHIN: Duration = Duration::from_secs(10);

/// What a cluster is made of.
pub(in crate::cli) struct Layout<'a> {
    /// Its kind and size.
    pub(in crate::cli) setup: Setup,
    /// How its sandboxes are made.
    pub(in crate::cli) sandbox: &'a SandboxArgs,
    /// Whether every part says where each task has come.
    pub(in crate::cli) tells_stages: bool,
}

/// A cluster. Its processes are killed when it is dropped; [`Cluster::stop`] lets them clean up.
pub(in crate::cli) struct Cluster {
    setup: Setup,
    sandbox: SandboxArgs,
    tells_stages: bool,
    /// Everything that it writes.
    folder: TempDir,
    /// What it consists of; Redis first.
    parts: Vec<Part>,
    /// Where workers join; empty where there are none.
    endpoint: String,
    /// Workers that were started, to name the next.
    started_workers: u32,
}

impl Cluster {
    /// A cluster of which nothing runs yet.
    pub(in crate::cli) fn new(layout: &Layout<'_>) -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new().prefix("bulkhead-cluster-").tempdir();
        Ok(Self {
            setup: layout.setup,
            sandbox: layout.sandbox.clone(),
            tells_stages: layout.tells_stages,
            folder: folder.context("failed to make a folder for a cluster")?,
            parts: Vec::new(),
            endpoint: String::new(),
            started_workers: 0,
        })
    }

    /// What it is.
    pub(in crate::cli) fn setup(&self) -> Setup {
        self.setup
    }

    /// Starts all of it; gives its front once every worker has joined.
    ///
    /// # Errors
    /// A part that ends or does not come, with the end of its log.
    pub(in crate::cli) async fn start(&mut self) -> anyhow::Result<Server> {
        let url = self.start_parts().await?;
        let server = Server::new(&url, None)?;
        let until = Instant::now() + START_WITHIN;
        while server.slots().await.ok() != Some(self.setup.workers) {
            self.check()?;
            if Instant::now() >= until {
                let line = format!("{} was not there within {} s", self.setup, START_WITHIN.as_secs());
                return Err(self.with_logs(Failure::new(Exit::Platform, line)).into());
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        Ok(server)
    }

    async fn start_parts(&mut self) -> anyhow::Result<String> {
        let Setup { mode, store, workers } = self.setup;
        let has_workers = mode != Mode::Local;
        let front = match store {
            Store::Redis => {
                let (redis, url) = redis::start(self.folder.path()).await?;
                self.parts.push(redis);
                let port = part::unused_port()?.to_string();
                let mut dispatcher = vec!["dispatcher", "-m", mode.as_str(), "-p", &port, "--redis", &url];
                let slots = workers.to_string();
                if !has_workers {
                    dispatcher.extend(["-w", &slots]);
                }
                self.add("dispatcher", &dispatcher)?;
                self.endpoint = format!("tcp://127.0.0.1:{port}");
                self.add("gateway", &["gateway", "--port", "0", "--redis", &url])?
            }
            Store::Embedded | Store::Unknown => {
                let slots = workers.to_string();
                let mut up = vec!["up", "--port", "0", "--mode", mode.as_str(), "--dispatcher-port", "0"];
                if has_workers {
                    up.push("--no-worker")
                } else {
                    up.extend(["--slots", &slots])
                }
                self.add("server", &up)?
            }
        };
        let listening = self.parts[front].listening(START_WITHIN).await;
        let listening = listening.ok_or_else(|| self.with_logs(Failure::new(Exit::Platform, "no server came up")))?;
        if let Some(endpoint) = &listening.workers {
            self.endpoint = endpoint.clone();
        }
        if has_workers {
            for _ in 0..workers {
                self.add_worker()?;
            }
        }
        Ok(listening.url)
    }

    /// Starts another worker of one slot.
    pub(in crate::cli) fn add_worker(&mut self) -> anyhow::Result<()> {
        let name = format!("worker-{}", self.started_workers);
        let endpoint = self.endpoint.clone();
        self.add("worker", &["worker", self.setup.mode.as_str(), "1", &endpoint, "--name", &name])?;
        self.started_workers += 1;
        Ok(())
    }

    /// Kills a worker with SIGKILL: what it runs dies with it.
    pub(in crate::cli) async fn kill_worker(&mut self) -> anyhow::Result<()> {
        let place = self.parts.iter().position(|part| part.kind() == "worker");
        let place = place.context("the cluster has no workers of its own")?;
        self.parts.remove(place).kill().await;
        Ok(())
    }

    /// Starts a part; gives its place.
    fn add(&mut self, kind: &'static str, arguments: &[&str]) -> anyhow::Result<usize> {
        let data = self.folder.path().join(format!("{kind}-{}", self.parts.len()));
        let arguments = arguments.iter().map(OsString::from);
        let all: Vec<OsString> = arguments.chain(["--data".into(), data.into()]).collect();
        let part = Part::start(kind, &all, self.folder.path(), &self.sandbox, self.tells_stages)?;
        self.parts.push(part);
        Ok(self.parts.len() - 1)
    }

    /// Fails when a part has ended by itself.
    pub(in crate::cli) fn check(&mut self) -> Result<(), Failure> {
        let ended = self.parts.iter_mut().find_map(|part| Some((part.kind(), part.ended()?)));
        let Some((kind, status)) = ended else { return Ok(()) };
        let line = format!("the {kind} of {} ended by itself: {status}", self.setup);
        Err(self.with_logs(Failure::new(Exit::Platform, line)))
    }

    /// Adds the end of what each part logged.
    fn with_logs(&self, failure: Failure) -> Failure {
        let logs = self
            .parts
            .iter()
            .flat_map(|part| part.log().last_lines().into_iter().map(|line| format!("{}: {line}", part.kind())));
        logs.fold(failure, Failure::detail)
    }

    /// The processes of each part by its kind.
    pub(in crate::cli) fn processes(&self) -> Vec<(&'static str, u32)> {
        self.parts.iter().filter_map(|part| Some((part.kind(), part.pid()?))).collect()
    }

    /// Takes what was said of stages so far.
    pub(in crate::cli) fn take_stages(&self) -> Vec<StageLine> {
        self.parts.iter().flat_map(|part| part.log().take_stages()).collect()
    }

    /// Asks all parts to end, the workers first, and waits. What does not is killed.
    pub(in crate::cli) async fn stop(mut self) {
        // Redis is the last: the others tell it that they leave.
        for kinds in [&["worker"][..], &["gateway", "dispatcher", "server"], &["redis"]] {
            let (leaving, stay) = self.parts.drain(..).partition::<Vec<_>, _>(|part| kinds.contains(&part.kind()));
            self.parts = stay;
            for part in &leaving {
                part.ask_to_end();
            }
            for part in leaving {
                part.wait_or_kill(STOP_WITHIN).await;
            }
        }
    }
}
