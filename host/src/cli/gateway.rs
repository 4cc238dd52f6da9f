//! `bulkhead gateway`: the HTTP front alone, before dispatchers and workers of other processes.

use std::sync::Arc;

use toml::Table;

use super::server::{
    self, CommonArgs, ExecutorArgs, Front, FrontArgs, INSPECTOR_SLOTS, Listener, OwnExecutor, Parts, Process, StoreArgs,
};
use crate::config::{Config, LogFormat};
use crate::dispatcher::Handle;
use crate::gateway::{self, SyncRuns};

/// Arguments of `bulkhead gateway`. What is absent comes from `BULKHEAD_*`, then from the file.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(after_help = "\
Examples:
  bulkhead gateway --redis redis://10.0.0.1:6379
  bulkhead gateway --redis redis+sentinel://10.0.0.1,10.0.0.2/main --port 8000

It inspects packages in a sandbox when they are registered, and runs no tasks: that is for a
`bulkhead dispatcher` on the same Redis and its workers. Every setting is also a variable
(BULKHEAD_REDIS) and a key of bulkhead.toml (redis).")]
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
    /// Where everything is kept.
    #[command(flatten)]
    store: StoreArgs,
}

impl Args {
    fn flags(&self) -> Table {
        let shared = self.common.flags().into_iter().chain(self.front.flags());
        server::layer(shared.chain(self.executor.flags()).chain(self.store.flags()))
    }
}

/// Runs a gateway until Ctrl-C or SIGTERM.
///
/// # Errors
/// A configuration that is refused, a port in use, a sandbox below its floor, a store that does not
/// come.
pub(super) async fn run(args: Args) -> anyhow::Result<()> {
    let process = Process::begin(&args.common, args.flags())?;
    let config = &process.config;
    server::require_redis(config, "gateway")?;
    let listener = Listener::bind(config).await?;
    let url = listener.url();
    let Some(store) = server::open(config, Some(&listener), &process.requested).await? else { return Ok(()) };
    let executor = OwnExecutor::start(config, INSPECTOR_SLOTS, &store).await?;
    let behind = gateway::Parts {
        store: store.clone(),
        inspector: executor.executor.clone(),
        sync_runs: SyncRuns::Queued,
        dispatcher: Handle::of_store(store.clone()),
        function_configs: Arc::new(config.function_configs()),
    };
    let front = Front::start(config, listener, behind)?;
    announce(config, &url);
    process.serve(Parts { store, front: Some(front), dispatching: None, executor: Some(executor) }).await
}

fn announce(config: &Config, url: &str) {
    let redis = config.redis.as_ref().map(ToString::to_string);
    tracing::info!(url, redis, "listening");
    if config.log_format == LogFormat::Human {
        eprintln!("\n  Bulkhead {} gateway listens on {url}\n", env!("CARGO_PKG_VERSION"));
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::cli::command::{Cli, Command};
    use crate::config::StoreUrl;

    #[test]
    fn every_flag_is_a_key_of_the_configuration() {
        let words = "bulkhead gateway --data d --host 0.0.0.0 --port 1 --runner r --grace 5s --log-format json \
                     --allow-weaker-sandbox --allow-unauthenticated --redis redis://h --redis-namespace blue --wait 6s";
        let Command::Gateway(args) = Cli::try_parse_from(words.split_whitespace()).unwrap().command else {
            panic!("another command");
        };
        let expected = Config {
            data: "d".into(),
            host: [0, 0, 0, 0].into(),
            port: 1,
            runner: Some("r".into()),
            grace: "5s".parse().unwrap(),
            log_format: LogFormat::Json,
            allow_weaker_sandbox: true,
            allow_unauthenticated: true,
            redis: Some(StoreUrl::new("redis://h")),
            redis_namespace: "blue".to_owned(),
            wait: "6s".parse().unwrap(),
            ..Config::default()
        };
        assert_eq!(server::config_of(args.flags()), expected);
    }

    #[test]
    fn a_gateway_without_a_shared_store_is_told_what_to_do() {
        let message = server::require_redis(&Config::default(), "gateway").unwrap_err().to_string();
        assert!(message.contains("--redis") && message.contains("BULKHEAD_REDIS"), "{message}");
        let config = Config { redis: Some(StoreUrl::new("redis://h")), ..Config::default() };
        assert!(server::require_redis(&config, "gateway").is_ok());
    }
}
