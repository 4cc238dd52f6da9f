//! Real Redis servers: each on a port and in a folder of its own, with real signals.

use std::io::{BufRead, BufReader, Write};
use std::net::{IpAddr, Ipv4Addr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use nix::sys::signal::Signal;
use tempfile::TempDir;

use super::command::{Ended, run_within};
use super::daemon::Daemon;
use super::deadline::{LONG, SHORT, eventually_within};
use super::installed::program;
use super::net::Host;
use super::port::unused_port;

/// When a write of Redis is on disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Persistence {
    /// Never: the end of the server is the end of the data.
    #[default]
    None,
    /// Before it is answered: `appendonly yes`, `appendfsync always`.
    Always,
}

/// How a Redis server is started.
#[derive(Clone, Debug, Default)]
pub struct RedisOptions {
    /// When a write is on disk.
    pub persistence: Persistence,
    /// What clients have to know.
    pub password: Option<String>,
    /// Whether it is to be a node of a cluster.
    pub cluster: bool,
    /// Whether its connections are encrypted.
    pub tls: bool,
    /// The host that it runs on; none: this one.
    pub host: Option<Host>,
}

impl RedisOptions {
    fn address(&self) -> IpAddr {
        self.host.as_ref().map_or(IpAddr::V4(Ipv4Addr::LOCALHOST), Host::address)
    }

    /// A server that keeps everything that it acknowledged, whatever happens to it.
    pub fn durable() -> Self {
        Self { persistence: Persistence::Always, ..Self::default() }
    }
}

/// Ports that are tried: somebody else may take one before Redis does.
pub(super) const TRIES: usize = 5;

/// A Redis server. Killed when dropped.
pub struct Redis {
    options: RedisOptions,
    port: u16,
    /// Its files.
    folder: TempDir,
    server: Daemon,
}

impl Redis {
    /// Starts one and waits until it answers.
    ///
    /// # Panics
    /// When it cannot be started.
    #[track_caller]
    pub fn start(options: RedisOptions) -> Self {
        let mut said = String::new();
        for _ in 0..TRIES {
            let folder = tempfile::Builder::new().prefix("bulkhead-test-redis-").tempdir().expect("a temporary folder");
            let port = unused_port();
            if options.tls {
                make_certificates(folder.path(), options.address());
            }
            let server = Daemon::start(command(&options, port, folder.path()));
            let mut redis = Self { options: options.clone(), port, folder, server };
            match redis.wait_until_ready() {
                Ok(()) => return redis,
                Err(log) => said = log,
            }
        }
        panic!("Redis does not start:\n{said}");
    }

    /// Its port. That of a cluster's bus is 10,000 higher.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Where it listens.
    pub fn address(&self) -> IpAddr {
        self.options.address()
    }

    /// What `--redis` takes.
    pub fn url(&self) -> String {
        let password = self.options.password.as_ref().map(|password| format!(":{password}@")).unwrap_or_default();
        let at = format!("{password}{}:{}", self.address(), self.port);
        if self.options.tls {
            return format!("rediss://{at}?ca={}", self.folder.path().join(AUTHORITY).display());
        }
        format!("redis://{at}")
    }

    /// Sends its process a signal.
    #[track_caller]
    pub fn signal(&self, signal: Signal) {
        self.server.signal(signal);
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        self.server.kill();
    }

    /// Starts it again on its port and folder, and waits until it answers.
    ///
    /// # Panics
    /// When it cannot be started.
    #[track_caller]
    pub fn restart(&mut self) {
        self.server.kill();
        self.server = Daemon::start(command(&self.options, self.port, self.folder.path()));
        self.wait_until_ready().unwrap_or_else(|log| panic!("Redis does not start again:\n{log}"));
    }

    /// Runs `redis-cli` with it.
    #[track_caller]
    pub fn cli(&self, arguments: &[&str]) -> Ended {
        let mut cli = in_host(self.options.host.as_ref(), &program("redis-cli", "redis-tools"));
        cli.args(["-h", &self.address().to_string(), "-p", &self.port.to_string()]);
        if let Some(password) = &self.options.password {
            cli.env("REDISCLI_AUTH", password);
        }
        if self.options.tls {
            cli.arg("--tls").arg("--cacert").arg(self.folder.path().join(AUTHORITY));
        }
        cli.args(arguments);
        run_within(cli, b"", SHORT)
    }

    /// Waits until it answers; it may have much to read first. An error is what it said before it ended:
    /// something else took its port, or that of the cluster's bus.
    #[track_caller]
    fn wait_until_ready(&mut self) -> Result<(), String> {
        eventually_within(LONG, "Redis answers", || {
            if self.server.ended().is_some() {
                return Ok(Err(self.server.output()));
            }
            let answer = if self.options.tls {
                let ended = self.cli(&["PING"]);
                if ended.stdout == "PONG\n" { Ok(()) } else { Err(format!("{ended:?}")) }
            } else {
                ping((self.address(), self.port), self.options.password.as_deref())
            };
            answer.map(Ok).map_err(|error| format!("{error}\n{}", self.server.output()))
        })
    }
}

/// How a server is started.
pub(super) fn command(options: &RedisOptions, port: u16, folder: &Path) -> Command {
    let mut redis = in_host(options.host.as_ref(), &program("redis-server", "redis-server"));
    redis.args(["--bind", &options.address().to_string(), "--protected-mode", "no"]);
    redis.args(["--save", "", "--dir"]).arg(folder);
    if options.tls {
        redis.args(["--port", "0", "--tls-port", &port.to_string(), "--tls-auth-clients", "no"]);
        redis.arg("--tls-ca-cert-file").arg(folder.join(AUTHORITY));
        redis.arg("--tls-cert-file").arg(folder.join(CERTIFICATE)).arg("--tls-key-file").arg(folder.join(KEY));
    } else {
        redis.args(["--port", &port.to_string()]);
    }
    if options.persistence == Persistence::Always {
        redis.args(["--appendonly", "yes", "--appendfsync", "always"]);
    }
    if let Some(password) = &options.password {
        redis.args(["--requirepass", password]);
    }
    if options.cluster {
        // A failed node of three is to stop what was its own and nothing else.
        redis.args(["--cluster-enabled", "yes", "--cluster-node-timeout", "2000"]);
        redis.args(["--cluster-require-full-coverage", "no"]);
        // On a machine that is busy with other tests a replica may come late to know that it is the last hope.
        redis.args(["--cluster-replica-validity-factor", "0"]);
    }
    redis
}

/// The certificate of whoever signed that of the server, in its folder.
const AUTHORITY: &str = "ca.pem";
/// The server's certificate.
const CERTIFICATE: &str = "redis.pem";
/// The server's private key.
const KEY: &str = "redis.key";

/// Makes an authority, and a certificate of it for an address.
#[track_caller]
fn make_certificates(folder: &Path, address: IpAddr) {
    let make = |arguments: &[&str]| {
        let mut openssl = Command::new(program("openssl", "openssl"));
        openssl.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]);
        openssl.args(arguments).current_dir(folder);
        run_within(openssl, b"", SHORT).expect(0);
    };
    make(&["-subj", "/CN=authority", "-keyout", "ca.key", "-out", AUTHORITY]);
    let names = format!("subjectAltName=IP:{address}");
    let whom = ["-subj", "/CN=redis", "-addext", &names, "-addext", "basicConstraints=critical,CA:FALSE"];
    make(&[&whom[..], &["-CA", AUTHORITY, "-CAkey", "ca.key", "-keyout", KEY, "-out", CERTIFICATE]].concat());
}

fn in_host(host: Option<&Host>, program: &Path) -> Command {
    host.map_or_else(|| Command::new(program), |host| host.command(program))
}

/// Asks a server whether it is ready. Inline commands, as in the protocol's documentation.
pub(super) fn ping(at: (IpAddr, u16), password: Option<&str>) -> Result<(), String> {
    let asked = || -> std::io::Result<String> {
        let mut stream = TcpStream::connect_timeout(&at.into(), Duration::from_secs(1))?;
        stream.set_read_timeout(Some(Duration::from_secs(1)))?;
        let mut answers = BufReader::new(stream.try_clone()?).lines();
        let mut answer = || answers.next().unwrap_or_else(|| Err(std::io::ErrorKind::UnexpectedEof.into()));
        if let Some(password) = password {
            writeln!(stream, "AUTH {password}\r")?;
            answer()?;
        }
        writeln!(stream, "PING\r")?;
        answer()
    };
    match asked() {
        Ok(answer) if answer == "+PONG" => Ok(()),
        Ok(answer) => Err(answer),
        Err(error) => Err(error.to_string()),
    }
}
