//! The layers of the configuration and how they are laid over each other.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use toml::{Table, Value};

use super::{Config, DEFAULT_FILE};

/// What every variable of the configuration begins with.
const PREFIX: &str = "BULKHEAD_";

/// Every key, as a path in `bulkhead.toml`; `gateway.wait` is `BULKHEAD_GATEWAY_WAIT` as a variable.
/// `[functions.NAME.config]` is of the file only.
pub(super) const KEYS: &[&str] = &[
    "allow_unauthenticated",
    "allow_weaker_sandbox",
    "allowed_hosts",
    "caps.cpu",
    "caps.isolation",
    "caps.jit",
    "caps.memory",
    "caps.network",
    "caps.processes",
    "caps.threads",
    "caps.timeout",
    "caps.tmp",
    "data",
    "defaults.cpu",
    "defaults.log",
    "defaults.memory",
    "defaults.open_files",
    "defaults.output",
    "defaults.result",
    "defaults.threads",
    "defaults.timeout",
    "defaults.tmp",
    "defaults.tmp_inodes",
    "dispatcher_host",
    "dispatcher_port",
    "gateway.batch_bytes",
    "gateway.batch_tasks",
    "gateway.body_memory",
    "gateway.body_timeout",
    "gateway.connections",
    "gateway.head_timeout",
    "gateway.input_bytes",
    "gateway.package_bytes",
    "gateway.registrations",
    "gateway.sync_calls",
    "gateway.wait",
    "grace",
    "host",
    "join_key",
    "join_key_file",
    "log_format",
    "mode",
    "no_worker",
    "port",
    "redis",
    "redis_namespace",
    "result_ttl",
    "runner",
    "sandbox_floor",
    "slots",
    "wait",
    "workers",
];

/// Variables with the prefix that other parts read: the log filter, the file's own path, what the
/// command line needs to reach a server, and what `bulkhead build` is told.
const OTHER_VARIABLES: &[&str] = &[
    "BULKHEAD_CONFIG",
    "BULKHEAD_KEY",
    "BULKHEAD_LOG",
    "BULKHEAD_SDK",
    "BULKHEAD_SDK_PATH",
    "BULKHEAD_TARGET_DIR",
    "BULKHEAD_URL",
];
/// What the variables of the tests begin with; a server that a test starts inherits them.
const TEST_PREFIXES: &[&str] = &["BULKHEAD_TEST_", "BULKHEAD_STORE_TEST_"];

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be read.
    #[error("failed to read the configuration file {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The file holds a key or value that is not known.
    #[error("failed to understand the configuration file {path}")]
    File {
        /// The file.
        path: PathBuf,
        /// Where and why.
        #[source]
        source: Box<toml::de::Error>,
    },
    /// A variable is not known.
    #[error("{name} is not known; the known variables are {}", known_variables())]
    UnknownVariable {
        /// Its name.
        name: String,
    },
    /// A variable's value is not of its kind.
    #[error("failed to understand the variable {name}: {reason}")]
    Variable {
        /// Its name.
        name: String,
        /// Why.
        reason: String,
    },
    /// A value is out of its range.
    #[error("failed to use {key}: {reason}")]
    Value {
        /// The key.
        key: String,
        /// Why.
        reason: String,
    },
    /// The file with the join key cannot be read.
    #[error("failed to read the join key from {path}")]
    JoinKeyFile {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// Workers on other machines could reach the dispatcher, and so could everybody else.
    #[error(
        "refused to listen for workers on {host} without a join key: whoever reaches the port could take tasks and \
         give results. Make one with `head -c 32 /dev/urandom | base64 > join.key`, copy the file to every worker, \
         and pass --join-key-file join.key on both sides"
    )]
    JoinKeyNeeded {
        /// The address.
        host: IpAddr,
    },
    /// The address is reachable from other machines, and there is no authentication yet.
    #[error(
        "refused to listen on {host}: whoever reaches the port can register code and run it, and this version has \
         no keys yet to keep others out. Listen on 127.0.0.1, or pass --allow-unauthenticated when something \
         else (a firewall, a proxy with authentication) guards the port"
    )]
    Unauthenticated {
        /// The address.
        host: IpAddr,
    },
}

fn known_variables() -> String {
    KEYS.iter().map(|key| variable_of(key)).collect::<Vec<_>>().join(", ")
}

/// The variable that sets a key.
fn variable_of(key: &str) -> String {
    format!("{PREFIX}{}", key.replace('.', "_").to_uppercase())
}

/// Reads the configuration: `flags` over `variables` over the file over defaults, checked. `file`
/// names the file; without it [`DEFAULT_FILE`] is read if it is there.
///
/// # Errors
/// See [`Error`].
pub fn load(
    file: Option<&Path>,
    variables: impl IntoIterator<Item = (String, String)>,
    flags: Table,
) -> Result<Config, Error> {
    let mut merged = read_file(file)?;
    for (name, text) in variables {
        let is_of_tests = TEST_PREFIXES.iter().any(|prefix| name.starts_with(prefix));
        if !name.starts_with(PREFIX) || OTHER_VARIABLES.contains(&name.as_str()) || is_of_tests {
            continue;
        }
        lay_over(&mut merged, read_variable(&name, &text)?);
    }
    lay_over(&mut merged, flags);
    // Each layer was checked where it came from, so that what is left to fail is a flag.
    let config = Config::deserialize(merged)
        .map_err(|error| Error::Value { key: "the flags".to_owned(), reason: error.message().to_owned() })?;
    config.check()?;
    Ok(config)
}

fn read_file(named: Option<&Path>) -> Result<Table, Error> {
    let path = named.unwrap_or(Path::new(DEFAULT_FILE));
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if named.is_none() && error.kind() == std::io::ErrorKind::NotFound => return Ok(Table::new()),
        Err(source) => return Err(Error::Read { path: path.to_owned(), source }),
    };
    let failed = |source| Error::File { path: path.to_owned(), source: Box::new(source) };
    // Read as a configuration first: only then do errors point at the line.
    toml::from_str::<Config>(&text).map_err(failed)?;
    toml::from_str(&text).map_err(failed)
}

/// A table with the one key that a variable sets.
fn read_variable(name: &str, text: &str) -> Result<Table, Error> {
    let key = KEYS.iter().find(|key| variable_of(key) == name);
    let key = key.ok_or_else(|| Error::UnknownVariable { name: name.to_owned() })?;
    // A variable has no types of its own: whichever reading fits the key is meant.
    let mut reason = String::new();
    for value in readings(text) {
        let table = at_path(key, value);
        match Config::deserialize(table.clone()) {
            Ok(_) => return Ok(table),
            // The first reading is the text as it stands; what is said of it reads best.
            Err(error) if reason.is_empty() => error.message().clone_into(&mut reason),
            Err(_) => {}
        }
    }
    Err(Error::Variable { name: name.to_owned(), reason })
}

/// Everything that a text can mean, text first, so that a folder named `7` stays a folder.
fn readings(text: &str) -> impl Iterator<Item = Value> {
    let list = text.split(',').map(str::trim).filter(|item| !item.is_empty());
    let list = Value::Array(list.map(|item| Value::String(item.to_owned())).collect());
    [Value::String(text.to_owned())]
        .into_iter()
        .chain(text.parse().ok().map(Value::Integer))
        .chain(text.parse().ok().map(Value::Boolean))
        .chain([list])
}

fn at_path(key: &str, value: Value) -> Table {
    match key.split_once('.') {
        Some((table, rest)) => Table::from_iter([(table.to_owned(), Value::Table(at_path(rest, value)))]),
        None => Table::from_iter([(key.to_owned(), value)]),
    }
}

fn lay_over(under: &mut Table, over: Table) {
    for (key, value) in over {
        match (under.get_mut(&key), value) {
            (Some(Value::Table(under)), Value::Table(over)) => lay_over(under, over),
            (_, value) => {
                under.insert(key, value);
            }
        }
    }
}
