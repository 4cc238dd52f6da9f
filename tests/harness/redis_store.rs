//! Stores for the tests of one process: each a namespace in a Redis that all of them share.

use std::net::Ipv4Addr;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{OnceLock, mpsc};

use tempfile::TempDir;

use super::command::run_within;
use super::daemon::Daemon;
use super::deadline::{LONG, SHORT, eventually, eventually_within};
use super::installed::program;
use super::port::unused_port;
use super::redis::{RedisOptions, TRIES, command, ping};

/// A store of its own in a Redis that all tests of this process share.
#[derive(Clone, Debug)]
pub struct RedisStore {
    /// The servers: one, or the nodes of a cluster.
    ports: &'static [u16],
    /// What the names of its keys begin with.
    pub namespace: String,
}

impl RedisStore {
    /// Another one, empty, in a single server.
    #[track_caller]
    pub fn unused() -> Self {
        static PORTS: OnceLock<Vec<u16>> = OnceLock::new();
        Self::in_namespace(PORTS.get_or_init(|| start_shared(1)))
    }

    /// Another one, empty, in a cluster of three nodes.
    #[track_caller]
    pub fn unused_in_cluster() -> Self {
        static PORTS: OnceLock<Vec<u16>> = OnceLock::new();
        Self::in_namespace(PORTS.get_or_init(|| start_shared(3)))
    }

    fn in_namespace(ports: &'static [u16]) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        Self { ports, namespace: format!("test-{}", NEXT.fetch_add(1, Ordering::Relaxed)) }
    }

    /// What `--redis` takes.
    pub fn url(&self) -> String {
        let scheme = if self.ports.len() == 1 { "redis" } else { "redis+cluster" };
        format!("{scheme}://{}", addresses(self.ports).join(","))
    }

    /// How many packages it holds.
    #[track_caller]
    pub fn packages(&self) -> usize {
        let pattern = format!("{{{}:package:*", self.namespace);
        let on = |port: &u16| cli(*port, &["--scan", "--pattern", &pattern]).lines().count();
        self.ports.iter().map(on).sum()
    }
}

fn addresses(ports: &[u16]) -> Vec<String> {
    ports.iter().map(|port| format!("127.0.0.1:{port}")).collect()
}

#[track_caller]
fn cli(port: u16, arguments: &[&str]) -> String {
    let mut cli = Command::new(program("redis-cli", "redis-tools"));
    cli.args(["-p", &port.to_string()]).args(arguments);
    run_within(cli, b"", SHORT).expect(0).stdout
}

/// Starts a server, or the nodes of a cluster.
fn start_shared(count: usize) -> Vec<u16> {
    let (tell, told) = mpsc::channel();
    // What is static is never dropped: the kernel ends the servers with the thread that started them, so
    // this one lives as long as the process.
    std::thread::spawn(move || {
        let options = RedisOptions { cluster: count > 1, ..RedisOptions::default() };
        let servers: Vec<_> = (0..count).map(|_| start_dying(&options)).collect();
        let _ = tell.send(servers.iter().map(|(port, ..)| *port).collect::<Vec<_>>());
        loop {
            std::thread::park();
        }
    });
    let ports = told.recv_timeout(LONG).expect("Redis can be started");
    if let [first, _, ..] = ports[..] {
        let addresses = addresses(&ports);
        let addresses: Vec<&str> = addresses.iter().map(String::as_str).collect();
        cli(first, &[&["--cluster", "create"][..], &addresses, &["--cluster-yes"]].concat());
        for port in &ports {
            eventually("the shared cluster is whole", || {
                let info = cli(*port, &["CLUSTER", "INFO"]);
                if info.contains("cluster_state:ok") { Ok(()) } else { Err(info) }
            });
        }
    }
    ports
}

/// Starts a server that ends with this thread, and waits until it answers. Something else may take its port, or
/// that of the cluster's bus: then it is tried on another.
fn start_dying(options: &RedisOptions) -> (u16, Daemon, TempDir) {
    for _ in 0..TRIES {
        let folder = tempfile::Builder::new().prefix("bulkhead-test-redis-").tempdir().expect("a temporary folder");
        let port = unused_port();
        let redis = command(options, port, folder.path());
        let mut dying = Command::new(program("setpriv", "util-linux"));
        dying.args(["--pdeathsig", "KILL", "--"]).arg(redis.get_program()).args(redis.get_args());
        let mut server = Daemon::start(dying);
        let answers = eventually_within(LONG, "the shared Redis answers", || {
            if server.ended().is_some() {
                return Ok(false);
            }
            ping((Ipv4Addr::LOCALHOST.into(), port), None).map(|()| true)
        });
        if answers {
            return (port, server, folder);
        }
    }
    panic!("Redis does not start");
}
