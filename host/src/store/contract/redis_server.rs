//! Real Redis servers for tests, each in a folder of its own. A server ends with the test process however
//! that ends: a shell beside it waits for the end of a pipe that only this process holds.

use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// A server, a sentinel or a node of a cluster.
pub(in crate::store) struct RedisServer {
    /// The shell that ends it.
    shell: Child,
    /// The server's process.
    pid: Pid,
    /// The port; 0 when it listens on a socket only.
    pub(in crate::store) port: u16,
}

/// The socket of [`shared`], below its folder.
const SOCKET: &str = "redis.sock";

/// No server takes longer to start.
const START_DEADLINE: Duration = Duration::from_secs(20);

/// The URL of the one server that all tests share which bring their own namespace.
pub(in crate::store) fn shared() -> String {
    static SHARED: OnceLock<(RedisServer, tempfile::TempDir)> = OnceLock::new();
    let (_, folder) = SHARED.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join(SOCKET);
        let server = RedisServer::start(folder.path(), 0, &["--unixsocket", socket.to_str().unwrap()]);
        cli(&["-s", socket.to_str().unwrap()], &["PING"], "PONG");
        (server, folder)
    });
    format!("redis+unix://{}", folder.path().join(SOCKET).display())
}

/// The URL of the one cluster of three nodes that all tests share.
pub(super) fn shared_cluster() -> String {
    static SHARED: OnceLock<(Vec<RedisServer>, tempfile::TempDir)> = OnceLock::new();
    let (nodes, _) = SHARED.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let nodes = (0..3).map(|number| cluster_node(&folder.path().join(number.to_string()))).collect::<Vec<_>>();
        join_cluster(&nodes, 0);
        (nodes, folder)
    });
    cluster_url(nodes)
}

/// Starts a server that may become a node of a cluster.
pub(in crate::store) fn cluster_node(folder: &Path) -> RedisServer {
    // Longer than a loaded machine lets a living node wait.
    RedisServer::start_on_free_port(folder, &["--cluster-enabled", "yes", "--cluster-node-timeout", "4000"])
}

/// Makes a cluster of nodes.
pub(in crate::store) fn join_cluster(nodes: &[RedisServer], replicas: usize) {
    let mut command = Command::new("redis-cli");
    command.args(["--cluster", "create"]).args(nodes.iter().map(RedisServer::address));
    command.args(["--cluster-replicas", &replicas.to_string(), "--cluster-yes"]);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    for node in nodes {
        cli(&["-p", &node.port.to_string()], &["CLUSTER", "INFO"], "cluster_state:ok");
    }
}

/// The URL of a cluster.
pub(in crate::store) fn cluster_url(nodes: &[RedisServer]) -> String {
    let hosts: Vec<_> = nodes.iter().map(RedisServer::address).collect();
    format!("redis+cluster://{}", hosts.join(","))
}

/// Asks a server until the answer contains `expected`.
pub(in crate::store) fn cli(server: &[&str], command: &[&str], expected: &str) {
    let deadline = Instant::now() + START_DEADLINE;
    loop {
        let output = Command::new("redis-cli").args(server).args(command).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        if text.contains(expected) {
            return;
        }
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(Instant::now() < deadline, "{command:?} does not answer {expected:?}: {text} {error}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

impl RedisServer {
    /// Starts a server on `port`, with nothing on disk unless `options` say so.
    pub(in crate::store) fn start(folder: &Path, port: u16, options: &[&str]) -> Self {
        let mut arguments = vec!["--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--loglevel", "warning"];
        arguments.extend(["--dir", folder.to_str().unwrap()]);
        arguments.extend(options);
        Self::spawn(folder, port, &arguments)
    }

    /// Starts a sentinel that watches a server under the name `main`.
    pub(in crate::store) fn start_sentinel(folder: &Path, watched: &Self) -> Self {
        std::fs::create_dir_all(folder).unwrap();
        let file = folder.join("sentinel.conf");
        let lines = [
            format!("sentinel monitor main 127.0.0.1 {} 1", watched.port),
            "sentinel down-after-milliseconds main 3000".to_owned(),
            "sentinel failover-timeout main 6000".to_owned(),
        ];
        std::fs::write(&file, lines.join("\n")).unwrap();
        let sentinel = Self::spawn(folder, free_port(), &[file.to_str().unwrap(), "--sentinel"]);
        cli(&["-p", &sentinel.port.to_string()], &["SENTINEL", "MASTERS"], "main");
        sentinel
    }

    fn spawn(folder: &Path, port: u16, arguments: &[&str]) -> Self {
        install();
        std::fs::create_dir_all(folder).unwrap();
        let mut command = Command::new("sh");
        command
            .args(["-c", r#""$@" >"$0/log" 2>&1 & echo $!; read -r _; kill -9 $!; rm -rf "$0""#])
            .arg(folder)
            .arg("redis-server")
            .args(arguments)
            .args(["--port", &port.to_string(), "--daemonize", "no"]);
        let mut shell = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(shell.stdout.take().unwrap()).read_line(&mut line).unwrap();
        Self { shell, pid: Pid::from_raw(line.trim().parse().unwrap()), port }
    }

    /// Starts a server on a port that nobody uses.
    pub(in crate::store) fn start_on_free_port(folder: &Path, options: &[&str]) -> Self {
        let server = Self::start(folder, free_port(), options);
        cli(&["-p", &server.port.to_string()], &["PING"], "PONG");
        server
    }

    /// `host:port`.
    pub(in crate::store) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Its URL.
    pub(in crate::store) fn url(&self) -> String {
        format!("redis://{}", self.address())
    }

    /// Sends its process a signal.
    pub(in crate::store) fn signal(&self, signal: Signal) {
        kill(self.pid, signal).unwrap();
    }

    /// Kills it, and keeps what it has on disk.
    pub(in crate::store) fn kill(mut self) {
        // The shell first, which would delete the folder.
        self.shell.kill().unwrap();
        self.shell.wait().unwrap();
        self.signal(Signal::SIGKILL);
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        // The shell kills the server at the end of its input.
        drop(self.shell.stdin.take());
        let _ = self.shell.wait();
    }
}

/// A port that nobody uses, below those that the system gives to connections; a node of a cluster listens
/// on the one 10,000 above it as well.
fn free_port() -> u16 {
    static NEXT: Mutex<u16> = Mutex::new(0);
    let mut next = NEXT.lock().unwrap();
    if *next == 0 {
        // Test processes that run side by side begin at different places.
        *next = 10_000 + u16::try_from(std::process::id() % 500).unwrap() * 20;
    }
    loop {
        *next += 1;
        let is_free = |port| TcpListener::bind(("127.0.0.1", port)).is_ok();
        if is_free(*next) && is_free(*next + 10_000) {
            return *next;
        }
    }
}

/// Makes sure that there is a `redis-server`. These tests are never skipped.
fn install() {
    static INSTALLED: OnceLock<()> = OnceLock::new();
    INSTALLED.get_or_init(|| {
        let is_there = || Command::new("redis-server").arg("--version").stdout(Stdio::null()).status().is_ok();
        if is_there() {
            return;
        }
        assert!(nix::unistd::geteuid().is_root(), "redis-server is missing: apt-get install redis-server");
        let install = Command::new("apt-get").args(["install", "-y", "redis-server"]).output();
        assert!(is_there(), "redis-server is missing and apt-get install redis-server fails: {install:?}");
    });
}
