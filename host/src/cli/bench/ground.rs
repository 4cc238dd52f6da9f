//! What the cases stand on: packages, clusters, floors in processes of their own. Whatever was started is
//! ended in order after each case, also after one that failed or was interrupted.

use std::thread;
use std::time::Duration;

use anyhow::Context as _;
use bulkhead_eval::results::{Isolation, Mode, Setup, Store, Workload};
use bulkhead_protocol::function::PackageDescription;
use bulkhead_protocol::package;
use tempfile::TempDir;
use tokio::sync::oneshot;

use super::part::Side;
use super::plan::Plan;
use crate::bench::floor::echo::Echo;
use crate::bench::floor::fork::Zygotes;
use crate::bench::floor::round_trip::RoundTrip;
use crate::cli::measuring::cluster::part::Part;
use crate::cli::measuring::cluster::{Cluster, Layout, redis};
use crate::cli::measuring::functions::{ECHO, Function, NOOP, Packages};
use crate::cli::measuring::server::Server;
use crate::cli::output::Output;
use crate::cli::sandbox::SandboxArgs;
use crate::executor::find_runner;

/// How long the private Redis may take to end before it is killed.
const STOP_WITHIN: Duration = Duration::from_secs(10);

/// What the cases stand on.
pub(super) struct Ground {
    /// How much is measured.
    pub(super) plan: Plan,
    /// The functions that are measured.
    pub(super) packages: Packages,
    /// Whether what was said of the fork floor so far is that it has namespaces.
    pub(super) forks_in_namespaces: bool,
    sandbox: SandboxArgs,
    output: Output,
    /// For what the floors write: where clusters write too.
    pub(super) folder: TempDir,
    /// Clusters of the present case.
    clusters: Vec<Cluster>,
    /// Redis servers of its floors.
    servers: Vec<Part>,
}

/// The function that does nothing.
pub(super) fn noop(isolation: Isolation) -> Function {
    Function::of(Workload::Noop, isolation)
}

/// Has a floor that blocks measured on a thread of its own, which ends with it.
pub(super) async fn in_thread<T: Send + 'static>(floor: impl FnOnce() -> T + Send + 'static) -> anyhow::Result<T> {
    let (tell, told) = oneshot::channel();
    let begun = thread::Builder::new().name("floor".to_owned()).spawn(move || {
        // Nobody waits any more after an interruption.
        let _ = tell.send(floor());
    });
    begun.context("failed to start a thread")?;
    told.await.context("a floor was not measured to its end")
}

impl Ground {
    /// Builds the functions.
    pub(super) async fn new(plan: Plan, sandbox: &SandboxArgs, output: Output) -> anyhow::Result<Self> {
        let packages = Packages::build(sandbox, &[NOOP, ECHO]).await?;
        let folder = tempfile::Builder::new().prefix("bulkhead-bench-").tempdir();
        Ok(Self {
            plan,
            packages,
            forks_in_namespaces: true,
            sandbox: sandbox.clone(),
            output,
            folder: folder.context("failed to make a temporary folder")?,
            clusters: Vec::new(),
            servers: Vec::new(),
        })
    }

    /// Says what is done, to people.
    pub(super) fn say(&self, what: &str) {
        self.output.note(what);
    }

    /// Says which repeat begins.
    pub(super) fn say_repeat(&self, repeat: u32) {
        self.say(&format!("  {} of {}", repeat + 1, self.plan.repeat));
    }

    /// Starts a server of one process on the embedded store.
    pub(super) async fn server(&mut self, slots: u32) -> anyhow::Result<Server> {
        self.cluster(Setup { mode: Mode::Local, store: Store::Embedded, workers: slots }).await
    }

    /// Starts a cluster and registers the functions with it.
    pub(super) async fn cluster(&mut self, setup: Setup) -> anyhow::Result<Server> {
        let layout = Layout { setup, sandbox: &self.sandbox, tells_stages: false };
        self.clusters.push(Cluster::new(&layout)?);
        // In its place before it starts, so that an interruption finds it.
        let cluster = self.clusters.last_mut().context("the cluster was put there")?;
        cluster.start().await?.with_functions(&self.packages).await
    }

    /// The process of the server that was started last.
    pub(super) fn server_process(&self) -> anyhow::Result<u32> {
        let processes = self.clusters.last().map(Cluster::processes).unwrap_or_default();
        processes.first().map(|(_, pid)| *pid).context("the server has ended")
    }

    /// Starts a Redis server without persistence, by itself; gives its address.
    pub(super) async fn redis(&mut self) -> anyhow::Result<String> {
        let (server, url) = redis::start(self.folder.path()).await?;
        self.servers.push(server);
        Ok(url)
    }

    /// Starts an echo server.
    pub(super) async fn echo(&self) -> anyhow::Result<Echo> {
        Ok(Echo::start(Side::Echo.command()?).await?)
    }

    /// Starts the other side of a round trip.
    pub(super) fn round_trip(&self) -> anyhow::Result<RoundTrip> {
        RoundTrip::start(Side::RoundTrip.command()?).context("failed to start the other side of a round trip")
    }

    /// Starts zygotes that fork in loops.
    pub(super) async fn zygotes(&mut self, count: usize) -> anyhow::Result<Zygotes> {
        let noop = package::unpack(self.packages.of(NOOP)?)?;
        let description: PackageDescription = serde_json::from_str(&noop.manifest.description)?;
        let name = self::noop(Isolation::Fresh).name;
        let index = description.functions.iter().position(|function| function.name == name);
        let index = u32::try_from(index.context("the package has no such function")?)?;
        let library = self.folder.path().join("noop.so");
        // Once: zygotes of before may have it mapped.
        if !library.exists() {
            std::fs::write(&library, noop.library).context("failed to write the library")?;
        }
        let runner = find_runner(self.sandbox.runner.clone())?;
        let zygotes = Zygotes::start(count, &std::path::absolute(runner)?, &library, index).await?;
        self.forks_in_namespaces &= zygotes.namespaces;
        Ok(zygotes)
    }

    /// Ends the cluster that was started last, and waits for that.
    pub(super) async fn end_last(&mut self) {
        if let Some(cluster) = self.clusters.pop() {
            cluster.stop().await;
        }
    }

    /// Ends what the case has started, and waits for that.
    pub(super) async fn clear(&mut self) {
        for cluster in self.clusters.drain(..) {
            cluster.stop().await;
        }
        for server in self.servers.drain(..) {
            server.ask_to_end();
            server.wait_or_kill(STOP_WITHIN).await;
        }
    }
}
