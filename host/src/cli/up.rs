//! `bulkhead up`: store, executor, dispatcher and gateway in one process.

use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use futures_util::FutureExt;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::sandbox::SandboxArgs;
use crate::config::{self, Config, LogFormat};
use crate::executor::{self, Executor};
use crate::gateway::{self, Gateway};
use crate::store::Store;
use crate::{dispatcher, shutdown, telemetry};

/// How often ended tasks are looked through for expired ones.
const EXPIRE_EVERY: Duration = Duration::from_secs(60);
/// Open files that a server wants to be allowed.
const OPEN_FILES: u64 = 65_536;
/// How long answers may take to leave after everything that runs has ended.
const LAST_ANSWERS: Duration = Duration::from_secs(2);
/// How long after the grace what was killed may take to be reaped, and its end to be stored. A sandbox
/// that is just being started takes up to 10 s; a store that does not answer may take for ever.
const LAST_WRITES: Duration = Duration::from_secs(20);
/// How long the sandboxes may take to end.
const LAST_REAPS: Duration = Duration::from_secs(10);

/// Arguments of `bulkhead up`. What is absent comes from `BULKHEAD_*`, then from the file.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(after_help = "\
Examples:
  bulkhead up
  bulkhead up --samples
  bulkhead up --data /var/lib/bulkhead --port 9000 --log-format json

Every setting is also a variable (BULKHEAD_PORT) and a key of bulkhead.toml (port).")]
pub struct Args {
    /// The configuration file [default: bulkhead.toml, if it is there]
    #[arg(long, value_name = "FILE", env = "BULKHEAD_CONFIG")]
    pub config: Option<PathBuf>,
    /// Folder for functions, tasks and results; made when missing [default: bulkhead-data]
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Address to listen on [default: 127.0.0.1]
    #[arg(long, value_name = "ADDRESS")]
    pub host: Option<IpAddr>,
    /// Port to listen on; 0 takes a free one [default: 8000]
    #[arg(long)]
    pub port: Option<u16>,
    /// Calls that run at once [default: one for each CPU]
    #[arg(long, value_name = "N")]
    pub slots: Option<u32>,
    /// The runner's executable [default: bulkhead-runner beside this one]
    #[arg(long, value_name = "FILE")]
    pub runner: Option<PathBuf>,
    /// How long running calls may go on after Ctrl-C, as 30s [default: 30s]
    #[arg(long, value_name = "DURATION")]
    pub grace: Option<String>,
    /// How the log is written [default: human]
    #[arg(long, value_name = "FORMAT")]
    pub log_format: Option<LogFormat>,
    /// Start even where layers of the sandbox are missing
    #[arg(long)]
    pub allow_weaker_sandbox: bool,
    /// Listen beyond this machine although anybody who reaches the port may register and run code
    #[arg(long)]
    pub allow_unauthenticated: bool,
    /// Build and register the sample functions once the server listens
    #[arg(long)]
    pub samples: bool,
}

impl Args {
    /// The flags that were given, as the uppermost layer of the configuration.
    fn flags(&self) -> toml::Table {
        let path = |path: &PathBuf| toml::Value::from(path.to_string_lossy().into_owned());
        let log_format = |format: LogFormat| match format {
            LogFormat::Human => "human",
            LogFormat::Json => "json",
        };
        let given = [
            ("data", self.data.as_ref().map(path)),
            ("host", self.host.map(|host| host.to_string().into())),
            ("port", self.port.map(|port| i64::from(port).into())),
            ("slots", self.slots.map(|slots| i64::from(slots).into())),
            ("runner", self.runner.as_ref().map(path)),
            ("grace", self.grace.clone().map(Into::into)),
            ("log_format", self.log_format.map(|format| log_format(format).into())),
            ("allow_weaker_sandbox", self.allow_weaker_sandbox.then_some(true.into())),
            ("allow_unauthenticated", self.allow_unauthenticated.then_some(true.into())),
        ];
        given.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))).collect()
    }
}

/// Runs a server until Ctrl-C or SIGTERM.
///
/// # Errors
/// Whatever keeps the server from starting: a configuration that is refused, a port or folder in
/// use, a folder that cannot be written, a sandbox below its floor.
pub async fn run(args: Args) -> anyhow::Result<()> {
    let variables =
        std::env::vars_os().filter_map(|(name, text)| Some((name.into_string().ok()?, text.into_string().ok()?)));
    let config = config::load(args.config.as_deref(), variables, args.flags())?;
    telemetry::init(config.log_format)?;
    raise_open_files();
    let requested = shutdown::listen().context("failed to listen for signals")?;
    let mut server = Server::start(&config).await?;
    server.announce(&config);
    let samples = args.samples.then(|| {
        let sandbox = SandboxArgs { runner: config.runner.clone(), allow_weaker_sandbox: config.allow_weaker_sandbox };
        tokio::spawn(register_samples(server.url(), sandbox))
    });
    let ended = tokio::select! {
        () = requested.cancelled() => Ok(()),
        // Tasks that nobody runs would be taken, and never end.
        _ = &mut server.dispatching => Err(anyhow::anyhow!("the dispatcher failed; the log says why")),
    };
    if let Some(samples) = samples {
        samples.abort();
    }
    ended.and(server.stop(config.grace.0).await)
}

/// A server that listens.
struct Server {
    /// Where it listens.
    address: SocketAddr,
    /// Remembers.
    store: Store,
    /// Runs.
    executor: Executor,
    /// Gives queued tasks to the executor.
    dispatcher: dispatcher::Handle,
    /// Ends after a drain, and before it only by a panic.
    dispatching: JoinHandle<()>,
    /// Answers.
    gateway: Arc<Gateway>,
    /// Cancelled when no more connections are taken.
    closing: CancellationToken,
    /// Serves connections until the last one is closed.
    serving: JoinHandle<()>,
    /// Removes expired tasks.
    expiring: JoinHandle<()>,
}

impl Server {
    async fn start(config: &Config) -> anyhow::Result<Self> {
        // The port first: a second server on it is told so before it touches anything.
        let listener = listen(SocketAddr::new(config.host, config.port)).await?;
        let address = listener.local_addr().context("failed to read the own address")?;
        let store = Store::open_embedded(&config.data).await?;
        let executor = start_executor(config, &store).await?;
        let function_configs = Arc::new(config.function_configs());
        let dispatching =
            dispatcher::Config { function_configs: Arc::clone(&function_configs), ..dispatcher::Config::default() };
        let (dispatcher, dispatching) = dispatcher::start(store.clone(), executor.clone(), dispatching);
        let gateway = Gateway::new(config, store.clone(), executor.clone(), dispatcher.clone(), function_configs);
        let closing = CancellationToken::new();
        let serving = gateway::serve(listener, gateway::service(&gateway), config.gateway.clone(), closing.clone());
        let serving = tokio::spawn(serving);
        let expiring = tokio::spawn(expire(store.clone(), config.result_ttl.0));
        Ok(Self { address, store, executor, dispatcher, dispatching, gateway, closing, serving, expiring })
    }

    fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    fn announce(&self, config: &Config) {
        let (url, slots, data) = (self.url(), self.executor.slots(), config.data.display());
        tracing::info!(url, slots, data = %data, "listening");
        if config.log_format == LogFormat::Json {
            return;
        }
        eprintln!(
            "\n  Bulkhead {} listens on {url}\n\
             \n  docs    {url}/docs\
             \n  try     bulkhead new hello && bulkhead register hello\
             \n          bulkhead invoke hello --data '{{\"name\": \"Ada\"}}'\
             \n  stop    Ctrl-C\n",
            env!("CARGO_PKG_VERSION"),
        );
    }

    /// Ends in order: no new work, then what runs finishes or is requeued, then its processes end,
    /// then the last answers leave, then everything is on disk.
    async fn stop(self, grace: Duration) -> anyhow::Result<()> {
        let Self { store, executor, dispatcher, gateway, closing, mut serving, expiring, .. } = self;
        closing.cancel();
        expiring.abort();
        let running = async { tokio::join!(dispatcher.drain(grace), gateway.drain(grace)) };
        // Synchronous calls are nobody's but their connections'.
        let connections = tokio::time::timeout(grace, &mut serving);
        let running = tokio::time::timeout(grace.saturating_add(LAST_WRITES), running);
        let (drained, connections) = tokio::join!(running, connections);
        if drained.is_err() {
            tracing::error!("the end of some tasks is not stored; the next start runs them again");
        }
        if tokio::time::timeout(LAST_REAPS, executor.shutdown(Duration::ZERO)).await.is_err() {
            tracing::error!("some sandboxes are not reaped; they end with this process");
        }
        // Calls that outlived their wait only during the drain were killed just now.
        let _ = tokio::time::timeout(LAST_ANSWERS, gateway.drain(Duration::ZERO)).await;
        if connections.is_err() && tokio::time::timeout(LAST_ANSWERS, &mut serving).await.is_err() {
            serving.abort();
        }
        store.close().await.context("failed to close the store")?;
        tracing::info!("ended");
        Ok(())
    }
}

/// Raises the soft limit on open files: every connection and every running call takes some, and the
/// usual 1024 are fewer than the bounds allow. Runners set limits of their own.
fn raise_open_files() {
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else { return };
    let wanted = hard.min(OPEN_FILES);
    if soft < wanted
        && let Err(error) = setrlimit(Resource::RLIMIT_NOFILE, wanted, hard)
    {
        tracing::warn!(soft, wanted, %error, "the limit on open files stays low");
    }
}

async fn listen(address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.map_err(|error| {
        let why = match error.kind() {
            ErrorKind::AddrInUse => "the port is in use; --port 0 takes a free one".to_owned(),
            ErrorKind::PermissionDenied => "ports below 1024 need privileges; choose a higher one".to_owned(),
            _ => error.to_string(),
        };
        anyhow::anyhow!("failed to listen on {address}: {why}")
    })
}

async fn start_executor(config: &Config, store: &Store) -> anyhow::Result<Executor> {
    let packages = store.clone();
    let fetch: executor::FetchPackage = Arc::new(move |id| {
        let packages = packages.clone();
        async move { packages.package(id).await.map_err(|error| error.to_string()) }.boxed()
    });
    let executor = executor::Config {
        slots: config.slots(),
        cache: config.data.join("cache"),
        runner: config.runner.clone(),
        allow_weaker_sandbox: config.allow_weaker_sandbox,
    };
    Ok(Executor::start(executor, fetch).await?)
}

async fn expire(store: Store, ttl: Duration) {
    let mut timer = tokio::time::interval(EXPIRE_EVERY);
    timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        timer.tick().await;
        match store.expire(gateway::unix_ms(), ttl).await {
            Ok(0) => {}
            Ok(tasks) => tracing::info!(tasks, "removed expired tasks"),
            Err(error) => tracing::error!(error = &error as &dyn std::error::Error, "expired tasks stay for now"),
        }
    }
}

/// Registers the sample functions with the server at `url`.
async fn register_samples(url: String, sandbox: SandboxArgs) {
    if let Err(error) = super::samples::run(&url, &sandbox).await {
        tracing::error!(error = format!("{error:#}"), "the samples are not registered");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_that_were_not_given_say_nothing() {
        assert!(Args::default().flags().is_empty());
    }

    #[test]
    fn every_flag_is_a_key_of_the_configuration() {
        let args = Args {
            data: Some("d".into()),
            host: Some(IpAddr::from([0, 0, 0, 0])),
            port: Some(1),
            slots: Some(2),
            runner: Some("r".into()),
            grace: Some("5s".to_owned()),
            log_format: Some(LogFormat::Json),
            allow_weaker_sandbox: true,
            allow_unauthenticated: true,
            ..Args::default()
        };
        let folder = tempfile::tempdir().unwrap();
        let empty = folder.path().join("bulkhead.toml");
        std::fs::write(&empty, "").unwrap();
        let config = config::load(Some(&empty), [], args.flags()).unwrap();
        assert_eq!((config.port, config.slots, config.grace.0), (1, 2, Duration::from_secs(5)));
        assert_eq!((config.log_format, config.runner), (LogFormat::Json, Some("r".into())));
        assert!(config.allow_weaker_sandbox && config.allow_unauthenticated);
    }

    #[tokio::test]
    async fn a_port_in_use_is_told_with_a_way_out() {
        let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = taken.local_addr().unwrap();
        let message = listen(address).await.unwrap_err().to_string();
        assert!(message.contains(&address.to_string()) && message.contains("in use"), "{message}");
    }
}
