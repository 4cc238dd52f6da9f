//! Carries out the plan, and writes what came out, whatever came in between.

use std::time::{Duration, SystemTime};

use anyhow::Context as _;
use bulkhead_eval::results::{Mode, Results, Workload};
use indicatif::ProgressBar;
use tokio_util::sync::CancellationToken;

use super::args::MeasureArgs;
use super::plan::{self, Step, What};
use super::settings::Settings;
use super::{alone, batch, files, load, recovery, show, stages};
use crate::cli::failure::{Exit, Failure};
use crate::cli::measuring::cluster::{Cluster, Layout};
use crate::cli::measuring::functions::{self, Function, Packages};
use crate::cli::measuring::machine::{self, Ticks};
use crate::cli::measuring::server::Server;
use crate::cli::output::Output;
use crate::cli::progress;
use crate::cli::sandbox::SandboxArgs;
use crate::shutdown;

/// Tasks of a warm-up for each worker: each has the package and its processes then.
const WARM_UP_TASKS: u32 = 4;
/// The part of the calls that each size of payload gets.
const PAYLOAD_CALLS: u32 = 4;

/// How a measurement ended before its end.
enum Stopped {
    /// By Ctrl-C.
    Interrupted,
    /// By a failure.
    Failed(anyhow::Error),
}

/// Evaluates.
///
/// # Errors
/// What keeps it from beginning; what ended it early, after the files were written.
pub(super) async fn run(settings: Settings, args: &MeasureArgs, output: &Output) -> anyhow::Result<Exit> {
    files::check_folder(&args.out)?;
    let requested = shutdown::listen().context("failed to listen for signals")?;
    let target = match &settings.target {
        Some(url) => Some(Server::new(url, args.key.clone())?),
        None => None,
    };
    let slots = match &target {
        Some(server) => Some(server.slots().await?),
        None => None,
    };
    if slots == Some(0) {
        let line = "the cluster at the target has no worker";
        return Err(Failure::new(Exit::Usage, line).hint("let workers join first: `bulkhead worker`").into());
    }
    output.note("building the functions of the evaluation");
    let packages = tokio::select! {
        packages = Packages::build(&args.sandbox, &[functions::NOOP, functions::ECHO, functions::WORKLOADS]) => packages?,
        () = requested.cancelled() => return Ok(Exit::Interrupted),
    };
    if cfg!(debug_assertions) {
        output.note("beware: this is a debug build; its figures say nothing about the product");
    }
    let steps = plan::steps(&settings, machine::cores(), slots);
    let mut evaluation = Evaluation::new(settings, packages, args.sandbox.clone(), target, &steps);
    let stopped = evaluation.carry_out(&steps, &requested, output).await.err();
    evaluation.finish(stopped, args, output)
}

struct Evaluation {
    settings: Settings,
    packages: Packages,
    sandbox: SandboxArgs,
    target: Option<Server>,
    results: Results,
    ticks: Ticks,
    bar: ProgressBar,
}

impl Evaluation {
    fn new(
        settings: Settings,
        packages: Packages,
        sandbox: SandboxArgs,
        target: Option<Server>,
        steps: &[Step],
    ) -> Self {
        let build = if cfg!(debug_assertions) { "debug" } else { "release" };
        let mut results = Results::new(env!("CARGO_PKG_VERSION"), build, machine::look(), settings.to_results(), now());
        results.commit = machine::commit();
        results.notes.clone_from(&settings.notes);
        if settings.kinds.iter().any(|(mode, _)| *mode == Mode::Local) {
            results.notes.push("recovery in local mode: its workers are no processes that could be killed".to_owned());
        }
        if target.is_some() {
            results.notes.push("stages, recovery, processor and memory: the cluster is not ours".to_owned());
        }
        let all: Duration = steps.iter().map(|step| step.estimate).sum();
        let bar = progress::time("evaluating", all);
        Self { settings, packages, sandbox, target, results, ticks: Ticks::read(), bar }
    }

    async fn carry_out(
        &mut self,
        steps: &[Step],
        requested: &CancellationToken,
        output: &Output,
    ) -> Result<(), Stopped> {
        let mut position = Duration::ZERO;
        for (number, step) in steps.iter().enumerate() {
            let what = if step.what == What::Stages { ", stages" } else { "" };
            self.bar.set_message(format!("{}{what}", step.setup));
            if self.bar.is_hidden() {
                output.note(format!("step {} of {}: {}{what}", number + 1, steps.len(), step.setup));
            }
            match self.target.clone() {
                Some(server) => {
                    tokio::select! {
                        biased;
                        () = requested.cancelled() => return Err(Stopped::Interrupted),
                        measured = self.on_target(step, server) => measured.map_err(Stopped::Failed)?,
                    }
                }
                None => self.on_cluster(step, requested).await?,
            }
            position += step.estimate;
            progress::at_time(&self.bar, position);
        }
        Ok(())
    }

    async fn on_target(&mut self, step: &Step, server: Server) -> anyhow::Result<()> {
        let server = server.with_functions(&self.packages).await?;
        self.batches(step, &server, None).await?;
        self.calls(step, &server).await
    }

    async fn on_cluster(&mut self, step: &Step, requested: &CancellationToken) -> Result<(), Stopped> {
        let tells_stages = step.what == What::Stages;
        let layout = Layout { setup: step.setup, sandbox: &self.sandbox.clone(), tells_stages };
        let mut cluster = Cluster::new(&layout).map_err(Stopped::Failed)?;
        let measured = tokio::select! {
            biased;
            () = requested.cancelled() => Err(Stopped::Interrupted),
            measured = self.on_own(step, &mut cluster) => measured.map_err(Stopped::Failed),
        };
        let measured = match (measured, cluster.check()) {
            // That a part is gone says more than that it does not answer.
            (Err(Stopped::Failed(error)), Err(gone)) => {
                Err(Stopped::Failed(anyhow::Error::from(gone).context(error.to_string())))
            }
            (measured, _) => measured,
        };
        cluster.stop().await;
        measured
    }

    async fn on_own(&mut self, step: &Step, cluster: &mut Cluster) -> anyhow::Result<()> {
        let server = cluster.start().await?.with_functions(&self.packages).await?;
        if step.what == What::Stages {
            return self.stages(step, &server, cluster).await;
        }
        self.batches(step, &server, Some(cluster)).await?;
        self.calls(step, &server).await?;
        if step.what == What::Everything && plan::can_lose_a_worker(step.setup) {
            self.recovery(&server, cluster).await?;
        }
        Ok(())
    }

    async fn batches(&mut self, step: &Step, server: &Server, cluster: Option<&Cluster>) -> anyhow::Result<()> {
        let most = self.settings.most_workers().max(step.setup.workers);
        for workload in self.settings.workloads.clone() {
            for isolation in self.settings.isolations.clone() {
                let warm_up = WARM_UP_TASKS * step.setup.workers;
                server.batch(&Function::of(workload, isolation), warm_up).await?;
                let per_worker = self.settings.tasks_per_worker(workload);
                for batch in batch::batches(workload, isolation, per_worker, step.setup.workers, most) {
                    let run = batch::run(server, cluster, step.setup, step.repetition, batch).await?;
                    self.results.throughput.push(run);
                    self.bar.tick();
                }
            }
        }
        Ok(())
    }

    async fn calls(&mut self, step: &Step, server: &Server) -> anyhow::Result<()> {
        if step.what == What::Batches {
            return Ok(());
        }
        let setup = step.setup;
        for isolation in self.settings.isolations.clone() {
            server.batch(&Function::of(Workload::Noop, isolation), WARM_UP_TASKS * setup.workers).await?;
            let work = (Workload::Noop, isolation);
            let run = alone::latency(server, setup, work, step.repetition, self.settings.calls).await?;
            self.results.latency.push(run);
            if step.what != What::Everything {
                continue;
            }
            let during = self.settings.load_time;
            let capacity = load::capacity(server, Workload::Noop, isolation, during).await?;
            for share in self.settings.shares.clone() {
                let seed = self.settings.seed;
                let run = load::run(server, setup, isolation, (capacity, share), during, seed).await?;
                self.results.load.push(run);
                self.bar.tick();
            }
        }
        if step.what == What::Everything {
            // The cheaper isolation, so that the payload shows.
            let Some(isolation) = self.settings.isolations.iter().max().copied() else { return Ok(()) };
            let calls = (self.settings.calls / PAYLOAD_CALLS).max(1);
            for bytes in alone::SIZES {
                let run = alone::payload(server, setup, isolation, bytes, calls).await?;
                self.results.payload.push(run);
                self.bar.tick();
            }
        }
        Ok(())
    }

    async fn recovery(&mut self, server: &Server, cluster: &mut Cluster) -> anyhow::Result<()> {
        let Some(isolation) = self.settings.isolations.first().copied() else { return Ok(()) };
        let during = self.settings.load_time.min(Duration::from_secs(1));
        let capacity = load::capacity(server, Workload::Io, isolation, during).await?;
        let times = recovery::Times::new(self.settings.quick);
        let run = recovery::run(server, cluster, isolation, capacity, times, self.settings.seed).await?;
        self.results.recovery.push(run);
        Ok(())
    }

    async fn stages(&mut self, step: &Step, server: &Server, cluster: &Cluster) -> anyhow::Result<()> {
        for isolation in self.settings.isolations.clone() {
            server.batch(&Function::of(Workload::Noop, isolation), WARM_UP_TASKS).await?;
            let run = stages::run(server, cluster, step.setup, isolation, self.settings.calls).await?;
            self.results.stages.push(run);
            self.bar.tick();
        }
        Ok(())
    }

    /// Writes the files, if anything was measured, and says how it went.
    fn finish(mut self, stopped: Option<Stopped>, args: &MeasureArgs, output: &Output) -> anyhow::Result<Exit> {
        self.bar.finish_and_clear();
        let results = &mut self.results;
        (results.machine.steal_share, results.machine.busy_share) = Ticks::read().shares_since(self.ticks);
        results.ended_at = now();
        results.partial = stopped.as_ref().map(|stopped| match stopped {
            Stopped::Interrupted => "interrupted with Ctrl-C".to_owned(),
            Stopped::Failed(error) => format!("{error:#}"),
        });
        if results.is_empty() {
            output.note("nothing was measured; no files were written");
        } else {
            let written = files::write(results, &args.out)?;
            if results.partial.is_some() {
                output.note("the results are partial, and marked so");
            }
            show::results(results, &written, output)?;
        }
        match stopped {
            None => Ok(Exit::Success),
            Some(Stopped::Interrupted) => Ok(Exit::Interrupted),
            Some(Stopped::Failed(error)) => Err(Failure::early_end("the evaluation", &error).into()),
        }
    }
}

fn now() -> String {
    humantime::format_rfc3339_seconds(SystemTime::now()).to_string()
}
