//! The server's configuration: command-line flags over `BULKHEAD_*` variables over `bulkhead.toml`
//! over defaults. A key that is not known is refused, in whichever of them it stands.

mod layer;
mod link;
mod secret;
mod size;

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use bulkhead_protocol::function::Isolation;
use bulkhead_protocol::limits::{self, Grants, Limits};
use bulkhead_protocol::runner_message::MAX_SLOTS;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

pub use layer::{Error, load};
pub use link::Mode;
pub use secret::{JoinKeyText, StoreUrl};
pub use size::Size;

use crate::executor::Floor;
use crate::gateway::{self, api::DurationText};

/// The file that is read when no other is named, if it is there.
pub const DEFAULT_FILE: &str = "bulkhead.toml";

/// Everything that can be set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Folder of the store and the executor's cache; made when missing.
    pub data: PathBuf,
    /// Address to listen on.
    pub host: IpAddr,
    /// Port to listen on; 0 takes a free one.
    pub port: u16,
    /// Attempts that run at once, at most [`MAX_SLOTS`]; 0 means one for each CPU.
    pub slots: u32,
    /// The Redis or Valkey that keeps everything; the embedded store in `data` when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub redis: Option<StoreUrl>,
    /// What the names of all keys in Redis begin with; servers with different ones do not see each other.
    pub redis_namespace: String,
    /// How long a part waits for Redis at its start before it gives up.
    pub wait: DurationText,
    /// Where queued tasks run.
    pub mode: Mode,
    /// Address on which the dispatcher listens for workers, in pull and push mode.
    pub dispatcher_host: IpAddr,
    /// Port on which the dispatcher listens for workers; 0 takes a free one.
    pub dispatcher_port: u16,
    /// Attempts that run at once in the process of a `bulkhead dispatcher`, at most [`MAX_SLOTS`]. When absent,
    /// `slots` in local mode and none in pull and push mode.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workers: Option<u32>,
    /// Run nothing in the process of a `bulkhead up` in pull and push mode.
    pub no_worker: bool,
    /// What dispatcher and workers prove to each other, and seal their links with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub join_key: Option<JoinKeyText>,
    /// The file that holds the join key in its first line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub join_key_file: Option<PathBuf>,
    /// The runner's executable; beside this one when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub runner: Option<PathBuf>,
    /// How much of the sandbox must hold.
    pub sandbox_floor: Floor,
    /// Start even where layers of the sandbox are below the floor.
    pub allow_weaker_sandbox: bool,
    /// Listen beyond this machine although anybody who reaches the port may register and run code.
    pub allow_unauthenticated: bool,
    /// Names, beside those of this machine itself, that clients may use in `Host` while the server
    /// listens on loopback only.
    pub allowed_hosts: Vec<String>,
    /// How the log is written.
    pub log_format: LogFormat,
    /// How long running calls may go on after Ctrl-C or SIGTERM.
    pub grace: DurationText,
    /// How long tasks, results and logs are kept after their end.
    pub result_ttl: DurationText,
    /// Bounds of the HTTP front.
    pub gateway: GatewayBounds,
    /// What a function may use when its author asks for nothing else.
    pub defaults: FunctionDefaults,
    /// The most that an author can ask for.
    pub caps: FunctionCaps,
    /// Settings by function name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub functions: BTreeMap<String, FunctionSettings>,
}

/// How the log is written to stderr.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Lines for people, in colour on a terminal.
    #[default]
    Human,
    /// One JSON object per event.
    Json,
}

/// Bounds of the HTTP front.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GatewayBounds {
    /// Connections at once; more wait to be taken.
    pub connections: usize,
    /// How long a connection may take to send a request's head, or say nothing between requests.
    pub head_timeout: DurationText,
    /// Synchronous calls at once; more are answered 429.
    pub sync_calls: usize,
    /// Registrations that are checked at once; more wait. Each can need the size of a package and of
    /// its library in memory.
    pub registrations: usize,
    /// Largest package, at most [`limits::MAX_PACKAGE_BYTES`].
    pub package_bytes: Size,
    /// Largest input of a task, at most [`limits::MAX_INPUT_BYTES`].
    pub input_bytes: Size,
    /// Largest body of a batch of tasks.
    pub batch_bytes: Size,
    /// Most tasks in one batch.
    pub batch_tasks: usize,
    /// Memory for request bodies of more than 64 KiB, all together, packages apart; more wait.
    pub body_memory: Size,
    /// How long one body may take to arrive.
    pub body_timeout: DurationText,
    /// Longest `wait` of a request; longer ones are cut to it.
    pub wait: DurationText,
}

/// What a function may use when its author asks for nothing else; see [`Limits`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FunctionDefaults {
    /// Wall time.
    pub timeout: DurationText,
    /// Memory.
    pub memory: Size,
    /// CPU time over all threads; bounded by the wall time alone when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu: Option<DurationText>,
    /// Threads.
    pub threads: u32,
    /// Open file descriptors.
    pub open_files: u32,
    /// Bytes in the private temporary folder.
    pub tmp: Size,
    /// Files and folders in the private temporary folder.
    pub tmp_inodes: u64,
    /// Output that is kept of one call.
    pub log: Size,
    /// Output at which a call is killed.
    pub output: Size,
    /// Largest result, at most [`limits::MAX_RESULT_BYTES`].
    pub result: Size,
}

/// The most that an author can ask for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FunctionCaps {
    /// Wall time.
    pub timeout: DurationText,
    /// Memory.
    pub memory: Size,
    /// CPU time over all threads.
    pub cpu: DurationText,
    /// Threads.
    pub threads: u32,
    /// Bytes in the private temporary folder.
    pub tmp: Size,
    /// Whether functions may ask for the network: this host's, with all that it reaches.
    pub network: bool,
    /// Whether functions may ask to make processes.
    pub processes: bool,
    /// Whether functions may ask for new executable memory.
    pub jit: bool,
    /// The weakest isolation that an author can ask for.
    pub isolation: Isolation,
}

/// Settings of one function.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FunctionSettings {
    /// Passed to every call of the function as a JSON object.
    pub config: toml::Table,
}

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;
const GIB: u64 = 1024 * MIB;
const MINUTE_S: u64 = 60;
const HOUR_S: u64 = 60 * MINUTE_S;

impl Default for Config {
    fn default() -> Self {
        Self {
            data: PathBuf::from("bulkhead-data"),
            host: IpAddr::from([127, 0, 0, 1]),
            port: 8000,
            slots: 0,
            redis: None,
            redis_namespace: "bulkhead".to_owned(),
            wait: seconds(5 * MINUTE_S),
            mode: Mode::default(),
            dispatcher_host: IpAddr::from([127, 0, 0, 1]),
            dispatcher_port: 5555,
            workers: None,
            no_worker: false,
            join_key: None,
            join_key_file: None,
            runner: None,
            sandbox_floor: Floor::default(),
            allow_weaker_sandbox: false,
            allow_unauthenticated: false,
            allowed_hosts: Vec::new(),
            log_format: LogFormat::default(),
            grace: seconds(30),
            result_ttl: seconds(24 * HOUR_S),
            gateway: GatewayBounds::default(),
            defaults: FunctionDefaults::default(),
            caps: FunctionCaps::default(),
            functions: BTreeMap::new(),
        }
    }
}

impl Default for GatewayBounds {
    fn default() -> Self {
        Self {
            connections: 4096,
            head_timeout: seconds(60),
            sync_calls: 1024,
            registrations: 2,
            package_bytes: Size(limits::MAX_PACKAGE_BYTES),
            input_bytes: Size(limits::MAX_INPUT_BYTES),
            batch_bytes: Size(limits::MAX_INPUT_BYTES),
            batch_tasks: 10_000,
            body_memory: Size(GIB),
            body_timeout: seconds(5 * MINUTE_S),
            wait: seconds(5 * MINUTE_S),
        }
    }
}

impl Default for FunctionDefaults {
    fn default() -> Self {
        let limits = Limits::default();
        Self {
            timeout: DurationText(limits.timeout()),
            memory: Size(limits.memory_bytes),
            cpu: limits.cpu_ms.map(|cpu_ms| DurationText(Duration::from_millis(cpu_ms))),
            threads: limits.threads,
            open_files: limits.open_files,
            tmp: Size(limits.tmp_bytes),
            tmp_inodes: limits.tmp_inodes,
            log: Size(limits.log_bytes),
            output: Size(limits.output_bytes),
            result: Size(limits.result_bytes),
        }
    }
}

impl Default for FunctionCaps {
    fn default() -> Self {
        Self {
            timeout: seconds(HOUR_S),
            memory: Size(4 * GIB),
            cpu: seconds(HOUR_S),
            threads: 512,
            tmp: Size(GIB),
            network: false,
            processes: false,
            jit: false,
            isolation: Isolation::Reuse,
        }
    }
}

impl FunctionDefaults {
    /// The same as limits of a call.
    pub fn limits(&self) -> Limits {
        Limits {
            timeout_ms: milliseconds(self.timeout),
            memory_bytes: self.memory.0,
            cpu_ms: self.cpu.map(milliseconds),
            threads: self.threads,
            open_files: self.open_files,
            tmp_bytes: self.tmp.0,
            tmp_inodes: self.tmp_inodes,
            log_bytes: self.log.0,
            output_bytes: self.output.0,
            result_bytes: self.result.0,
            // Nobody has these without asking.
            grants: Grants::default(),
        }
    }
}

impl Config {
    /// Checks what no single key can be checked for alone.
    ///
    /// # Errors
    /// [`Error::Value`] for a value out of its range.
    pub fn check(&self) -> Result<(), Error> {
        let at_most = |key: &str, value: Size, most: u64| {
            if (1..=most).contains(&value.0) {
                return Ok(());
            }
            Err(Error::Value {
                key: key.to_owned(),
                reason: format!("{value} is not between 1 byte and {}", Size(most)),
            })
        };
        at_most("gateway.package_bytes", self.gateway.package_bytes, limits::MAX_PACKAGE_BYTES)?;
        at_most("gateway.input_bytes", self.gateway.input_bytes, limits::MAX_INPUT_BYTES)?;
        at_most("gateway.batch_bytes", self.gateway.batch_bytes, limits::MAX_PACKAGE_BYTES)?;
        at_most("defaults.result", self.defaults.result, limits::MAX_RESULT_BYTES)?;
        for (key, value) in [
            ("gateway.connections", self.gateway.connections),
            ("gateway.sync_calls", self.gateway.sync_calls),
            ("gateway.registrations", self.gateway.registrations),
            ("gateway.batch_tasks", self.gateway.batch_tasks),
        ] {
            // The semaphores behind them hold no more.
            if !(1..=MAX_AT_ONCE).contains(&value) {
                let reason = format!("{value} is not between 1 and {MAX_AT_ONCE}");
                return Err(Error::Value { key: key.to_owned(), reason });
            }
        }
        for (key, slots) in [("slots", Some(self.slots)), ("workers", self.workers)] {
            if let Some(slots) = slots.filter(|slots| *slots > MAX_SLOTS) {
                return Err(Error::Value { key: key.to_owned(), reason: format!("{slots} is more than {MAX_SLOTS}") });
            }
        }
        self.check_link()?;
        let largest = self.gateway.package_bytes.0.max(self.gateway.input_bytes.0);
        let needed = Size(gateway::in_base64_bytes(largest).max(self.gateway.batch_bytes.0));
        if self.gateway.body_memory < needed {
            let reason = format!("{} holds no single body of {needed}", self.gateway.body_memory);
            return Err(Error::Value { key: "gateway.body_memory".to_owned(), reason });
        }
        let (defaults, caps) = (&self.defaults, &self.caps);
        for (key, fits) in [
            ("defaults.timeout", defaults.timeout <= caps.timeout && !defaults.timeout.0.is_zero()),
            ("defaults.memory", defaults.memory <= caps.memory && defaults.memory.0 > 0),
            ("defaults.cpu", defaults.cpu.is_none_or(|cpu| cpu <= caps.cpu && !cpu.0.is_zero())),
            ("defaults.threads", (1..=caps.threads).contains(&defaults.threads)),
            // A tmpfs takes 0 for no bound at all, tmpfs(5).
            ("defaults.tmp", defaults.tmp <= caps.tmp && defaults.tmp.0 > 0),
            ("defaults.tmp_inodes", defaults.tmp_inodes > 0),
        ] {
            if !fits {
                return Err(Error::Value { key: key.to_owned(), reason: "it is zero or above its cap".to_owned() });
            }
        }
        Ok(())
    }

    /// Checks that the HTTP port of this configuration may be opened.
    ///
    /// # Errors
    /// [`Error::Unauthenticated`] for an address beyond this machine.
    pub fn check_front(&self) -> Result<(), Error> {
        if self.host.is_loopback() || self.allow_unauthenticated {
            return Ok(());
        }
        Err(Error::Unauthenticated { host: self.host })
    }

    /// What calls are configured with, a JSON object by function name.
    pub fn function_configs(&self) -> HashMap<String, Bytes> {
        let configured = self.functions.iter().filter(|(_, settings)| !settings.config.is_empty());
        let json = |settings: &FunctionSettings| json_of(&toml::Value::Table(settings.config.clone())).to_string();
        configured.map(|(name, settings)| (name.clone(), Bytes::from(json(settings)))).collect()
    }

    /// Attempts that run at once, with 0 resolved to the number of CPUs.
    pub fn slots(&self) -> u32 {
        if self.slots > 0 {
            return self.slots;
        }
        std::thread::available_parallelism()
            .map_or(1, |cpus| u32::try_from(cpus.get()).map_or(MAX_SLOTS, |cpus| cpus.min(MAX_SLOTS)))
    }
}

/// TOML as JSON. Its times have no counterpart there and become text.
fn json_of(value: &toml::Value) -> serde_json::Value {
    match value {
        toml::Value::String(text) => text.as_str().into(),
        toml::Value::Integer(number) => (*number).into(),
        toml::Value::Float(number) => (*number).into(),
        toml::Value::Boolean(truth) => (*truth).into(),
        toml::Value::Datetime(time) => time.to_string().into(),
        toml::Value::Array(values) => values.iter().map(json_of).collect(),
        toml::Value::Table(table) => table.iter().map(|(key, value)| (key.clone(), json_of(value))).collect(),
    }
}

/// Most of anything that is counted at once.
const MAX_AT_ONCE: usize = 1_000_000;

fn seconds(seconds: u64) -> DurationText {
    DurationText(Duration::from_secs(seconds))
}

/// The milliseconds of a duration; the longest possible for what does not fit.
pub(crate) fn milliseconds(duration: DurationText) -> u64 {
    u64::try_from(duration.0.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
