//! `bulkhead up`: store, dispatcher, gateway and what runs calls, in one process.

use std::net::IpAddr;
use std::sync::Arc;

use toml::Table;

use super::failure::{Exit, Failure};
use super::sandbox::SandboxArgs;
use super::server::{
    self, CommonArgs, Dispatching, ExecutorArgs, Front, FrontArgs, Hands, INSPECTOR_SLOTS, LinkArgs, Listener,
    OwnExecutor, Parts, Process, StoreArgs,
};
use crate::config::{Config, Mode};
use crate::gateway::{self, SyncRuns};

/// Arguments of `bulkhead up`. What is absent comes from `BULKHEAD_*`, then from the file.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(after_help = "\
Examples:
  bulkhead up
  bulkhead up --samples
  bulkhead up --data /var/lib/bulkhead --port 9000 --log-format json
  bulkhead up --mode push --dispatcher-port 5555   workers may join
  bulkhead up --redis redis://127.0.0.1:6379

Every setting is also a variable (BULKHEAD_PORT) and a key of bulkhead.toml (port).")]
pub(super) struct Args {
    /// What every command that serves takes.
    #[command(flatten)]
    common: CommonArgs,
    /// Where requests come in.
    #[command(flatten)]
    front: FrontArgs,
    /// What sandboxes need.
    #[command(flatten)]
    executor: ExecutorArgs,
    /// Calls that run at once in this process [default: one for each CPU]
    #[arg(long, value_name = "N")]
    slots: Option<u32>,
    /// Where everything is kept.
    #[command(flatten)]
    store: StoreArgs,
    /// Where queued tasks run: here (local), or on workers that ask for them (pull) or are sent them (push) [default: local]
    #[arg(long, value_name = "MODE", hide_possible_values = true)]
    mode: Option<Mode>,
    /// Address to listen on for workers [default: 127.0.0.1]
    #[arg(long, value_name = "ADDRESS")]
    dispatcher_host: Option<IpAddr>,
    /// Port to listen on for workers; 0 takes a free one [default: 5555]
    #[arg(long, value_name = "PORT")]
    dispatcher_port: Option<u16>,
    /// What workers prove.
    #[command(flatten)]
    link: LinkArgs,
    /// Run no tasks in this process, only on workers that join (with --mode pull or push)
    #[arg(long)]
    no_worker: bool,
    /// Build and register the sample functions once the server listens
    #[arg(long)]
    samples: bool,
}

impl Args {
    /// The flags that were given, as the uppermost layer of the configuration.
    fn flags(&self) -> Table {
        let own = [
            ("slots", self.slots.map(|slots| i64::from(slots).into())),
            ("mode", server::text(&self.mode.map(Mode::as_str))),
            ("dispatcher_host", server::text(&self.dispatcher_host)),
            ("dispatcher_port", self.dispatcher_port.map(|port| i64::from(port).into())),
            ("no_worker", self.no_worker.then_some(true.into())),
        ];
        let shared = self.common.flags().into_iter().chain(self.front.flags()).chain(self.executor.flags());
        server::layer(shared.chain(self.store.flags()).chain(self.link.flags()).chain(own))
    }
}

/// Runs a server until Ctrl-C or SIGTERM.
///
/// # Errors
/// Whatever keeps the server from starting: a configuration that is refused, a port or folder in
/// use, a folder that cannot be written, a sandbox below its floor, a store that does not come.
pub(super) async fn run(args: Args) -> anyhow::Result<()> {
    let process = Process::begin(&args.common, args.flags())?;
    let config = &process.config;
    check(config)?;
    let join_key = match config.mode {
        Mode::Local => None,
        Mode::Pull | Mode::Push => config.dispatcher_join_key()?,
    };
    // The port first: a second server on it is told so before it touches anything.
    let listener = Listener::bind(config).await?;
    let url = listener.url();
    let Some(store) = server::open(config, Some(&listener), &process.requested).await? else { return Ok(()) };
    let slots = if config.mode == Mode::Local { config.slots() } else { INSPECTOR_SLOTS };
    let executor = OwnExecutor::start(config, slots, &store).await?;
    let function_configs = Arc::new(config.function_configs());
    let (hands, sync_runs) = match config.mode.of_workers() {
        None => {
            let executor = executor.executor.clone();
            (Hands::Executor(executor.clone()), SyncRuns::Here(executor))
        }
        Some(mode) => {
            let own = if config.no_worker { 0 } else { config.slots() };
            (Hands::Workers { mode, join_key, own }, SyncRuns::Queued)
        }
    };
    let dispatching = Dispatching::start(config, &store, hands, Arc::clone(&function_configs)).await?;
    let behind = gateway::Parts {
        store: store.clone(),
        inspector: executor.executor.clone(),
        sync_runs,
        dispatcher: dispatching.handle().clone(),
        function_configs,
    };
    let front = Front::start(config, listener, behind)?;
    announce(config, &url, dispatching.endpoint().map(|endpoint| endpoint.to_string()).as_deref());
    let samples = args.samples.then(|| {
        let sandbox = SandboxArgs {
            runner: config.runner.clone(),
            sandbox_floor: config.sandbox_floor,
            allow_weaker_sandbox: config.allow_weaker_sandbox,
        };
        tokio::spawn(register_samples(url, sandbox))
    });
    let parts = Parts { store, front: Some(front), dispatching: Some(dispatching), executor: Some(executor) };
    let requested = process.requested.clone();
    if let Some(samples) = samples {
        tokio::spawn(async move {
            requested.cancelled().await;
            samples.abort();
        });
    }
    process.serve(parts).await
}

/// Refuses what would run nothing.
fn check(config: &Config) -> anyhow::Result<()> {
    if config.no_worker && config.mode == Mode::Local {
        let line = "--no-worker leaves nobody to run tasks in local mode";
        return Err(Failure::new(Exit::Usage, line)
            .hint("add --mode pull or --mode push, and let workers join")
            .into());
    }
    Ok(())
}

fn announce(config: &Config, url: &str, workers: Option<&str>) {
    let (mode, slots, data) = (config.mode.as_str(), config.slots(), config.data.display());
    let redis = config.redis.as_ref().map(ToString::to_string);
    tracing::info!(url, mode, slots, data = %data, redis, workers, "listening");
    if config.log_format == crate::config::LogFormat::Json {
        return;
    }
    let join = workers.map(|workers| format!("\n  workers bulkhead worker {mode} SLOTS {workers}")).unwrap_or_default();
    eprintln!(
        "\n  Bulkhead {} listens on {url}\n\
         \n  docs    {url}/docs\
         \n  try     bulkhead new hello && bulkhead register hello\
         \n          bulkhead invoke hello --data '{{\"name\": \"Ada\"}}'{join}\
         \n  stop    Ctrl-C\n",
        env!("CARGO_PKG_VERSION"),
    );
}

/// Registers the sample functions with the server at `url`.
async fn register_samples(url: String, sandbox: SandboxArgs) {
    if let Err(error) = super::samples::run(&url, &sandbox).await {
        tracing::error!(error = format!("{error:#}"), "the samples are not registered");
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use clap::Parser as _;

    use super::*;
    use crate::cli::command::{Cli, Command};
    use crate::config::{LogFormat, StoreUrl};

    fn parsed(words: &[&str]) -> Args {
        let words = ["bulkhead", "up"].iter().chain(words);
        match Cli::try_parse_from(words).unwrap().command {
            Command::Up(args) => *args,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn flags_that_were_not_given_say_nothing() {
        let args = Args { common: CommonArgs { config: None, ..parsed(&[]).common }, ..parsed(&[]) };
        assert!(args.flags().is_empty());
    }

    #[test]
    fn every_flag_is_a_key_of_the_configuration() {
        let words = "--data d --host 0.0.0.0 --port 1 --slots 2 --runner r --grace 5s --log-format json \
                     --allow-weaker-sandbox --allow-unauthenticated --redis redis://h --redis-namespace blue \
                     --wait 6s --mode pull --dispatcher-host 10.0.0.7 --dispatcher-port 3 --join-key-file k --no-worker";
        let words: Vec<&str> = words.split_whitespace().collect();
        let config = server::config_of(parsed(&words).flags());
        let expected = Config {
            data: "d".into(),
            host: IpAddr::from([0, 0, 0, 0]),
            port: 1,
            slots: 2,
            runner: Some("r".into()),
            grace: "5s".parse().unwrap(),
            log_format: LogFormat::Json,
            allow_weaker_sandbox: true,
            allow_unauthenticated: true,
            redis: Some(StoreUrl::new("redis://h")),
            redis_namespace: "blue".to_owned(),
            wait: "6s".parse().unwrap(),
            mode: Mode::Pull,
            dispatcher_host: IpAddr::from([10, 0, 0, 7]),
            dispatcher_port: 3,
            join_key_file: Some("k".into()),
            no_worker: true,
            ..Config::default()
        };
        assert_eq!(config, expected);
        assert_eq!(config.wait.0, Duration::from_secs(6));
    }

    #[test]
    fn a_mode_that_is_none_is_refused_with_those_that_are() {
        let error = Cli::try_parse_from(["bulkhead", "up", "--mode", "shove"]).unwrap_err().to_string();
        assert!(["local", "pull", "push"].iter().all(|mode| error.contains(mode)), "{error}");
    }

    #[test]
    fn somebody_has_to_run_tasks() {
        let config = |mode, no_worker| Config { mode, no_worker, ..Config::default() };
        assert!(check(&config(Mode::Local, false)).is_ok());
        assert!(check(&config(Mode::Push, true)).is_ok());
        assert!(check(&config(Mode::Local, true)).is_err());
    }
}
