//! Arguments that several commands share. What is absent comes from `BULKHEAD_*`, then from the file.

use std::net::IpAddr;
use std::path::PathBuf;

use toml::{Table, Value};

use crate::config::LogFormat;
use crate::executor::Floor;

/// A key of the configuration, and its value where a flag gave one.
pub(in crate::cli) type Flag = (&'static str, Option<Value>);

/// The flags that were given, as the uppermost layer of the configuration.
pub(in crate::cli) fn layer(flags: impl IntoIterator<Item = Flag>) -> Table {
    flags.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))).collect()
}

/// A value that is written as text.
pub(in crate::cli) fn text(value: &Option<impl ToString>) -> Option<Value> {
    value.as_ref().map(|value| Value::from(value.to_string()))
}

fn path(path: &Option<PathBuf>) -> Option<Value> {
    path.as_ref().map(|path| Value::from(path.to_string_lossy().into_owned()))
}

/// What every command that serves takes.
#[derive(Clone, Debug, Default, clap::Args)]
pub(in crate::cli) struct CommonArgs {
    /// The configuration file [default: bulkhead.toml, if it is there]
    #[arg(long, value_name = "FILE", env = "BULKHEAD_CONFIG")]
    pub(in crate::cli) config: Option<PathBuf>,
    /// How long running calls may go on after Ctrl-C, as 30s [default: 30s]
    #[arg(long, value_name = "DURATION")]
    pub(in crate::cli) grace: Option<String>,
    /// How the log is written [default: human]
    #[arg(long, value_name = "FORMAT")]
    pub(in crate::cli) log_format: Option<LogFormat>,
}

impl CommonArgs {
    pub(in crate::cli) fn flags(&self) -> [Flag; 2] {
        let log_format = self.log_format.map(|format| match format {
            LogFormat::Human => "human",
            LogFormat::Json => "json",
        });
        [("grace", text(&self.grace)), ("log_format", text(&log_format))]
    }
}

/// Where functions, tasks and results are kept.
#[derive(Clone, Debug, Default, clap::Args)]
pub(in crate::cli) struct StoreArgs {
    /// Redis or Valkey that keeps functions, tasks and results; with a password, set BULKHEAD_REDIS instead
    #[arg(long, value_name = "URL")]
    pub(in crate::cli) redis: Option<String>,
    /// What all keys in Redis begin with [default: bulkhead]
    #[arg(long, value_name = "NAME")]
    pub(in crate::cli) redis_namespace: Option<String>,
    /// How long to wait for Redis at the start before giving up [default: 5m]
    #[arg(long, value_name = "DURATION")]
    pub(in crate::cli) wait: Option<String>,
}

impl StoreArgs {
    pub(in crate::cli) fn flags(&self) -> [Flag; 3] {
        [("redis", text(&self.redis)), ("redis_namespace", text(&self.redis_namespace)), ("wait", text(&self.wait))]
    }
}

/// Where requests come in.
#[derive(Clone, Debug, Default, clap::Args)]
pub(in crate::cli) struct FrontArgs {
    /// Address to listen on for requests [default: 127.0.0.1]
    #[arg(long, value_name = "ADDRESS")]
    pub(in crate::cli) host: Option<IpAddr>,
    /// Port to listen on for requests; 0 takes a free one [default: 8000]
    #[arg(long)]
    pub(in crate::cli) port: Option<u16>,
    /// Listen beyond this machine although anybody who reaches the port may register and run code
    #[arg(long)]
    pub(in crate::cli) allow_unauthenticated: bool,
}

impl FrontArgs {
    pub(in crate::cli) fn flags(&self) -> [Flag; 3] {
        [
            ("host", text(&self.host)),
            ("port", self.port.map(|port| i64::from(port).into())),
            ("allow_unauthenticated", self.allow_unauthenticated.then_some(true.into())),
        ]
    }
}

/// What sandboxes need.
#[derive(Clone, Debug, Default, clap::Args)]
pub(in crate::cli) struct ExecutorArgs {
    /// Folder for what is kept on this machine; made when missing [default: bulkhead-data]
    #[arg(long, value_name = "DIR")]
    pub(in crate::cli) data: Option<PathBuf>,
    /// The runner's executable [default: bulkhead-runner beside this one]
    #[arg(long, value_name = "FILE")]
    pub(in crate::cli) runner: Option<PathBuf>,
    /// How much of the sandbox must hold: minimal, standard or strict [default: standard]
    #[arg(long, value_name = "LEVEL")]
    pub(in crate::cli) sandbox_floor: Option<Floor>,
    /// Start even where layers of the sandbox are below the floor
    #[arg(long)]
    pub(in crate::cli) allow_weaker_sandbox: bool,
}

impl ExecutorArgs {
    pub(in crate::cli) fn flags(&self) -> [Flag; 4] {
        [
            ("data", path(&self.data)),
            ("runner", path(&self.runner)),
            ("sandbox_floor", text(&self.sandbox_floor.map(Floor::as_str))),
            ("allow_weaker_sandbox", self.allow_weaker_sandbox.then_some(true.into())),
        ]
    }
}

/// What dispatcher and workers prove to each other.
#[derive(Clone, Debug, Default, clap::Args)]
pub(in crate::cli) struct LinkArgs {
    /// File with the join key that dispatcher and workers share; or set BULKHEAD_JOIN_KEY
    #[arg(long, value_name = "FILE")]
    pub(in crate::cli) join_key_file: Option<PathBuf>,
}

impl LinkArgs {
    pub(in crate::cli) fn flags(&self) -> [Flag; 1] {
        [("join_key_file", path(&self.join_key_file))]
    }
}

/// The configuration that flags make, over nothing else.
#[cfg(test)]
pub(in crate::cli) fn config_of(flags: Table) -> crate::config::Config {
    let folder = tempfile::tempdir().unwrap();
    let empty = folder.path().join("bulkhead.toml");
    std::fs::write(&empty, "").unwrap();
    crate::config::load(Some(&empty), [], flags).unwrap()
}
