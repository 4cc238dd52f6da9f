//! `bulkhead dispatcher`: hands queued tasks out, to slots of its own or to workers.

use std::net::IpAddr;
use std::sync::Arc;

use toml::Table;

use super::failure::{Exit, Failure};
use super::server::{
    self, CommonArgs, Dispatching, ExecutorArgs, Hands, LinkArgs, OwnExecutor, Parts, Process, StoreArgs,
};
use crate::config::{Config, Mode};

/// Arguments of `bulkhead dispatcher`. What is absent comes from `BULKHEAD_*`, then from the file.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(after_help = "\
Examples:
  bulkhead dispatcher -m push -p 5555 --redis redis://10.0.0.1:6379
  bulkhead dispatcher -m pull -p 5555 --host 0.0.0.0 --join-key-file join.key --redis redis://10.0.0.1:6379
  bulkhead dispatcher -m local -w 8 --redis redis://10.0.0.1:6379

Several dispatchers may serve one Redis: what one had when it died is taken over by another. Every
setting is also a variable (BULKHEAD_REDIS) and a key of bulkhead.toml (redis).")]
pub(super) struct Args {
    /// What every command that serves takes.
    #[command(flatten)]
    common: CommonArgs,
    /// Where tasks run: here (local), or on workers that ask for them (pull) or are sent them (push) [default: local]
    #[arg(short, long, value_name = "MODE", hide_possible_values = true)]
    mode: Option<Mode>,
    /// Address to listen on for workers [default: 127.0.0.1]
    #[arg(long, value_name = "ADDRESS", visible_alias = "host")]
    dispatcher_host: Option<IpAddr>,
    /// Port to listen on for workers; 0 takes a free one [default: 5555]
    #[arg(short = 'p', long, value_name = "PORT", visible_alias = "port")]
    dispatcher_port: Option<u16>,
    /// Calls that run at once in this process [default: one for each CPU in local mode, else none]
    #[arg(short, long, value_name = "N")]
    workers: Option<u32>,
    /// What workers prove.
    #[command(flatten)]
    link: LinkArgs,
    /// Where everything is kept.
    #[command(flatten)]
    store: StoreArgs,
    /// What sandboxes need, where calls run in this process.
    #[command(flatten)]
    executor: ExecutorArgs,
}

impl Args {
    fn flags(&self) -> Table {
        let own = [
            ("mode", server::text(&self.mode.map(Mode::as_str))),
            ("dispatcher_host", server::text(&self.dispatcher_host)),
            ("dispatcher_port", self.dispatcher_port.map(|port| i64::from(port).into())),
            ("workers", self.workers.map(|slots| i64::from(slots).into())),
        ];
        let shared = self.common.flags().into_iter().chain(self.store.flags());
        server::layer(shared.chain(self.executor.flags()).chain(self.link.flags()).chain(own))
    }
}

/// Runs a dispatcher until Ctrl-C or SIGTERM.
///
/// # Errors
/// A configuration that is refused, a port in use, a sandbox below its floor, a store that does not
/// come.
pub(super) async fn run(args: Args) -> anyhow::Result<()> {
    let process = Process::begin(&args.common, args.flags())?;
    let config = &process.config;
    server::require_redis(config, "dispatcher")?;
    check(config)?;
    let join_key = match config.mode {
        Mode::Local => None,
        Mode::Pull | Mode::Push => config.dispatcher_join_key()?,
    };
    let Some(store) = server::open(config, None, &process.requested).await? else { return Ok(()) };
    let (executor, hands) = match config.mode.of_workers() {
        None => {
            let slots = config.workers.unwrap_or_else(|| config.slots());
            let executor = OwnExecutor::start(config, slots, &store).await?;
            let hands = Hands::Executor(executor.executor.clone());
            (Some(executor), hands)
        }
        Some(mode) => (None, Hands::Workers { mode, join_key, own: config.workers.unwrap_or(0) }),
    };
    let function_configs = Arc::new(config.function_configs());
    let dispatching = Dispatching::start(config, &store, hands, function_configs).await?;
    let workers = dispatching.endpoint().map(|endpoint| endpoint.to_string());
    let redis = config.redis.as_ref().map(ToString::to_string);
    tracing::info!(mode = config.mode.as_str(), workers, redis, "dispatching");
    process.serve(Parts { store, front: None, dispatching: Some(dispatching), executor }).await
}

/// Refuses what would run nothing.
fn check(config: &Config) -> anyhow::Result<()> {
    if config.workers == Some(0) && config.mode == Mode::Local {
        let line = "-w 0 leaves nobody to run tasks in local mode";
        return Err(Failure::new(Exit::Usage, line).hint("use -m pull or -m push, and let workers join").into());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::cli::command::{Cli, Command};
    use crate::config::{LogFormat, StoreUrl};

    fn config(words: &str) -> Config {
        let words = ["bulkhead", "dispatcher"].into_iter().chain(words.split_whitespace());
        match Cli::try_parse_from(words).unwrap().command {
            Command::Dispatcher(args) => server::config_of(args.flags()),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn every_flag_is_a_key_of_the_configuration() {
        let words = "--mode push --dispatcher-host 10.0.0.7 --dispatcher-port 3 --workers 4 --join-key-file k \
                     --redis redis://h --redis-namespace blue --wait 6s --data d --runner r --grace 5s \
                     --log-format json --allow-weaker-sandbox";
        let expected = Config {
            mode: Mode::Push,
            dispatcher_host: [10, 0, 0, 7].into(),
            dispatcher_port: 3,
            workers: Some(4),
            join_key_file: Some("k".into()),
            redis: Some(StoreUrl::new("redis://h")),
            redis_namespace: "blue".to_owned(),
            wait: "6s".parse().unwrap(),
            data: "d".into(),
            runner: Some("r".into()),
            grace: "5s".parse().unwrap(),
            log_format: LogFormat::Json,
            allow_weaker_sandbox: true,
            ..Config::default()
        };
        assert_eq!(config(words), expected);
    }

    #[test]
    fn short_flags_and_other_names_mean_the_same() {
        let short = config("-m pull -p 6000 -w 2 --redis redis://h");
        assert_eq!((short.mode, short.dispatcher_port, short.workers), (Mode::Pull, 6000, Some(2)));
        assert_eq!(config("--port 6000 --host 10.0.0.7"), config("--dispatcher-port 6000 --dispatcher-host 10.0.0.7"));
    }

    #[test]
    fn somebody_has_to_run_tasks() {
        assert!(check(&config("-m local -w 0")).is_err());
        assert!(check(&config("-m push -w 0")).is_ok());
        assert!(check(&config("-m local")).is_ok());
    }
}
