//! `bulkhead worker`: runs what a dispatcher hands out.

use std::num::NonZero;

use anyhow::Context as _;
use bulkhead_protocol::worker_message::WorkerMode;
use toml::Table;

use super::server::{self, CommonArgs, ExecutorArgs, LinkArgs, Process};
use crate::config::{Config, Size};
use crate::link::Endpoint;
use crate::worker::{self, DEFAULT_CACHE_BYTES};

/// Arguments of `bulkhead worker`. What is absent comes from `BULKHEAD_*`, then from the file.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "\
Examples:
  bulkhead worker pull 8 tcp://127.0.0.1:5555
  bulkhead worker push 0 tcp://10.0.0.1:5555 --join-key-file join.key
  bulkhead worker push 16 tcp://10.0.0.1:5555 --name blue-3 --data /var/lib/bulkhead --cache-size 20GiB

It waits for the dispatcher, joins it again whenever the connection breaks, and needs no access to
Redis. Ctrl-C, SIGTERM and `bulkhead workers drain` let what runs finish; what has not begun goes to
other workers. Several workers on one machine may share a folder. Most settings are also a variable
(BULKHEAD_JOIN_KEY) and a key of bulkhead.toml (join_key).")]
pub(super) struct Args {
    /// How it gets tasks, as its dispatcher hands them out: it asks for them (pull) or is sent them (push)
    #[arg(value_name = "pull|push", hide_possible_values = true)]
    pub(super) mode: ModeArg,
    /// Calls that run at once; 0 is one for each CPU
    pub(super) slots: u32,
    /// Where the dispatcher listens, as tcp://HOST:PORT
    pub(super) endpoint: Endpoint,
    /// A name for people, in `bulkhead workers ls` [default: the host's]
    #[arg(long)]
    pub(super) name: Option<String>,
    /// Disk space for packages; those not used for longest give way [default: 4GiB]
    #[arg(long, value_name = "SIZE")]
    pub(super) cache_size: Option<Size>,
    /// How long to wait for the dispatcher at the start before giving up [default: 5m]
    #[arg(long, value_name = "DURATION")]
    pub(super) wait: Option<String>,
    /// What every command that serves takes.
    #[command(flatten)]
    pub(super) common: CommonArgs,
    /// What the dispatcher asks for.
    #[command(flatten)]
    pub(super) link: LinkArgs,
    /// What sandboxes need.
    #[command(flatten)]
    pub(super) executor: ExecutorArgs,
}

/// How a worker gets tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum ModeArg {
    /// It asks for them.
    Pull,
    /// It is sent them.
    Push,
}

impl From<ModeArg> for WorkerMode {
    fn from(mode: ModeArg) -> Self {
        match mode {
            ModeArg::Pull => Self::Pull,
            ModeArg::Push => Self::Push,
        }
    }
}

impl Args {
    /// How many threads of the process run its asynchronous work: one for each slot, at most one for each
    /// CPU. One more than there is work for costs: whichever wakes up wakes it, to look for some.
    pub(super) fn threads(&self) -> usize {
        let cpus = std::thread::available_parallelism().map_or(1, NonZero::get);
        if self.slots == 0 { cpus } else { cpus.min(self.slots as usize) }
    }

    fn flags(&self) -> Table {
        let own = [("slots", Some(i64::from(self.slots).into())), ("wait", server::text(&self.wait))];
        let shared = self.common.flags().into_iter().chain(self.link.flags()).chain(self.executor.flags());
        server::layer(shared.chain(own))
    }

    /// How the worker is set up.
    fn settings(&self, config: &Config) -> Result<worker::Config, crate::config::Error> {
        let data = config.data.join("worker");
        let settings = worker::Config::new(self.endpoint.clone(), self.mode.into(), config.slots(), data);
        Ok(worker::Config {
            join_key: config.read_join_key()?,
            name: self.name.clone().unwrap_or(settings.name),
            cache_bytes: self.cache_size.map_or(DEFAULT_CACHE_BYTES, |size| size.0),
            runner: config.runner.clone(),
            floor: config.sandbox_floor,
            allow_weaker_sandbox: config.allow_weaker_sandbox,
            connect_wait: config.wait.0,
            ..settings
        })
    }
}

/// Runs a worker until Ctrl-C, SIGTERM, or until its dispatcher asks it to leave.
///
/// # Errors
/// A configuration that is refused, a folder that cannot be used, a sandbox below its floor, a
/// dispatcher that does not come or does not take the worker.
pub(super) async fn run(args: Args) -> anyhow::Result<()> {
    let process = Process::begin(&args.common, args.flags())?;
    let settings = worker::Config { leave: process.requested.clone(), ..args.settings(&process.config)? };
    let mut worker = match worker::start(settings).await {
        Err(worker::Error::Left) => return Ok(()),
        started => started?,
    };
    let ended = tokio::select! {
        () = process.requested.cancelled() => Ok(()),
        ended = worker.left() => ended.context("failed to go on"),
    };
    worker.drain(process.config.grace.0).await;
    tracing::info!("ended");
    ended
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Command {
        #[command(flatten)]
        args: Args,
    }

    fn parse(text: &str) -> Result<Args, String> {
        let words = std::iter::once("worker").chain(text.split_whitespace());
        Command::try_parse_from(words).map(|command| command.args).map_err(|error| error.to_string())
    }

    fn settings(text: &str) -> Result<worker::Config, crate::config::Error> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("bulkhead.toml");
        std::fs::write(&file, "").unwrap();
        let args = parse(text).unwrap();
        args.settings(&crate::config::load(Some(&file), [], args.flags())?)
    }

    #[test]
    fn a_worker_has_no_more_threads_than_slots() {
        let threads = |slots: u32| parse(&format!("push {slots} tcp://127.0.0.1:1")).unwrap().threads();
        assert_eq!(threads(1), 1);
        assert_eq!(threads(0), threads(100_000));
    }

    #[test]
    fn flags_reach_the_worker() {
        let given = settings(
            "push 3 tcp://10.0.0.1:5555 --name n --cache-size 1GiB --wait 7s --data d --runner r --allow-weaker-sandbox",
        )
        .unwrap();
        assert_eq!((given.mode, given.slots, given.name.as_str()), (WorkerMode::Push, 3, "n"));
        assert_eq!((given.endpoint.to_string().as_str(), given.cache_bytes), ("tcp://10.0.0.1:5555", 1 << 30));
        assert_eq!((given.connect_wait.as_secs(), given.data.to_str()), (7, Some("d/worker")));
        assert!(given.runner.is_some() && given.allow_weaker_sandbox && given.join_key.is_none());
        let absent = settings("pull 0 tcp://localhost:1").unwrap();
        assert!(absent.slots > 0 && absent.mode == WorkerMode::Pull && !absent.name.is_empty());
        assert_eq!((absent.cache_bytes, absent.connect_wait), (DEFAULT_CACHE_BYTES, worker::DEFAULT_CONNECT_WAIT));
    }

    #[test]
    fn what_cannot_be_meant_is_refused_with_the_reason() {
        for (text, reason) in [
            ("shove 1 tcp://a:1", "shove"),
            ("pull -1 tcp://a:1", "-1"),
            ("pull 1 a:1", "tcp://"),
            ("pull 1 tcp://a", "port"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(reason), "{text}: {error}");
        }
        let error = settings("pull 1025 tcp://a:1").unwrap_err().to_string();
        assert!(error.contains("1024"), "{error}");
        let error = settings("pull 1 tcp://a:1 --join-key-file /nowhere").unwrap_err().to_string();
        assert!(error.contains("/nowhere"), "{error}");
    }
}
