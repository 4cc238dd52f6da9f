//! A cluster of separate processes, each of which can be killed, paused, cut off and started again.

use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::Value;
use tempfile::TempDir;

use super::client::Client;
use super::command::CommandLine;
use super::deadline::{SHORT, eventually};
use super::member::{Executables, Launch, Member};
use super::net::Host;
use super::port::unused_port;
use super::redis::{Redis, RedisOptions};
use super::setting::Mode;

/// Where the parts of a cluster run.
#[derive(Clone, Debug)]
pub struct Hosts {
    /// Gateways and Redis.
    pub front: Host,
    /// Dispatchers.
    pub dispatcher: Host,
    /// Workers, one after the other.
    pub workers: Vec<Host>,
}

/// What a cluster consists of.
#[derive(Clone, Debug)]
pub struct Layout {
    /// How tasks get to workers; not [`Mode::Local`].
    pub mode: Mode,
    /// Its gateways.
    pub gateways: usize,
    /// Its dispatchers.
    pub dispatchers: usize,
    /// Its workers, spread over the dispatchers.
    pub workers: usize,
    /// Slots of each worker.
    pub slots: u32,
    /// How its Redis keeps what it is given.
    pub redis: RedisOptions,
    /// The configuration file of all.
    pub config: String,
    /// Where they run; none: all on this machine.
    pub hosts: Option<Hosts>,
    /// What dispatchers and workers prove to each other.
    pub join_key: Option<String>,
}

impl Layout {
    /// One of each, with a Redis that loses nothing.
    pub fn new(mode: Mode) -> Self {
        Self {
            mode,
            gateways: 1,
            dispatchers: 1,
            workers: 1,
            slots: 1,
            redis: RedisOptions::durable(),
            config: String::new(),
            hosts: None,
            join_key: None,
        }
    }

    /// With that many workers.
    #[must_use]
    pub fn workers(self, workers: usize) -> Self {
        Self { workers, ..self }
    }

    /// With that many slots in each worker.
    #[must_use]
    pub fn slots(self, slots: u32) -> Self {
        Self { slots, ..self }
    }
}

/// A cluster that was started. Killed when dropped.
pub struct Cluster {
    executables: Executables,
    layout: Layout,
    /// What clients talk to.
    pub gateways: Vec<Member>,
    /// What hands out tasks.
    pub dispatchers: Vec<Member>,
    /// What runs tasks; `worker-0` and so on by name.
    pub workers: Vec<Member>,
    /// What remembers tasks: one Redis server, or the nodes of a Redis Cluster.
    pub redis: Vec<Redis>,
    /// The address of each gateway.
    urls: Vec<String>,
    /// The address of each dispatcher, for workers.
    addresses: Vec<String>,
    /// Everybody's configuration, data and temporary files.
    folder: Arc<TempDir>,
}

impl Cluster {
    /// Starts one and waits until all of it is there.
    #[track_caller]
    pub fn start(executables: &Executables, layout: Layout) -> Self {
        let redis = Redis::start(layout.redis.clone());
        let url = redis.url();
        Self::start_on(executables, layout, vec![redis], &url)
    }

    /// The same on Redis servers that are there, with the address that gateways and dispatchers are to use.
    #[track_caller]
    pub fn start_on(executables: &Executables, layout: Layout, redis: Vec<Redis>, redis_url: &str) -> Self {
        let folder = tempfile::Builder::new().prefix("bulkhead-test-").tempdir().expect("a temporary folder");
        fs::create_dir(folder.path().join("tmp")).expect("a folder");
        fs::write(folder.path().join("bulkhead.toml"), &layout.config).expect("a configuration");
        let mut cluster = Self {
            executables: executables.clone(),
            gateways: Vec::new(),
            dispatchers: Vec::new(),
            workers: Vec::new(),
            urls: Vec::new(),
            addresses: Vec::new(),
            redis,
            layout,
            folder: Arc::new(folder),
        };
        for _ in 0..cluster.layout.dispatchers {
            cluster.add_dispatcher(redis_url);
        }
        for _ in 0..cluster.layout.gateways {
            cluster.add_gateway(redis_url);
        }
        for _ in 0..cluster.layout.workers {
            cluster.add_worker();
        }
        cluster.wait_for_workers(cluster.layout.workers);
        cluster
    }

    #[track_caller]
    fn add_gateway(&mut self, redis_url: &str) {
        let (number, port) = (self.gateways.len(), unused_port());
        let host = self.layout.hosts.as_ref().map(|hosts| hosts.front.clone());
        let address = host.as_ref().map_or_else(|| "127.0.0.1".to_owned(), |host| host.address().to_string());
        let mut arguments: Vec<OsString> = vec!["gateway".into(), "--redis".into(), redis_url.into()];
        arguments.extend(["--port".into(), port.to_string().into(), "--data".into()]);
        arguments.push(self.folder.path().join(format!("gateway-{number}")).into());
        if host.is_some() {
            arguments.extend(["--host".into(), address.clone().into(), "--allow-unauthenticated".into()]);
        }
        self.urls.push(format!("http://{address}:{port}"));
        let member = Member::start(format!("gateway {number}"), self.launch(host, arguments));
        member.wait_for("listening");
        self.gateways.push(member);
    }

    #[track_caller]
    fn add_dispatcher(&mut self, redis_url: &str) {
        let (number, port) = (self.dispatchers.len(), unused_port());
        let host = self.layout.hosts.as_ref().map(|hosts| hosts.dispatcher.clone());
        let address = host.as_ref().map_or_else(|| "127.0.0.1".to_owned(), |host| host.address().to_string());
        let mut arguments: Vec<OsString> = vec!["dispatcher".into(), "-m".into(), self.layout.mode.as_str().into()];
        arguments.extend(["-p".into(), port.to_string().into(), "--redis".into(), redis_url.into()]);
        self.addresses.push(format!("tcp://{address}:{port}"));
        let mut launch = self.launch(host, arguments);
        launch.variables.push(("BULKHEAD_DISPATCHER_HOST", address.into()));
        self.dispatchers.push(Member::start(format!("dispatcher {number}"), launch));
    }

    /// Starts another worker. It may not have joined yet on return.
    #[track_caller]
    pub fn add_worker(&mut self) {
        let launch = self.worker_launch(self.workers.len());
        self.workers.push(Member::start(format!("worker {}", self.workers.len()), launch));
    }

    /// How a worker of this cluster is started.
    pub fn worker_launch(&self, number: usize) -> Launch {
        let host = self.layout.hosts.as_ref().map(|hosts| hosts.workers[number % hosts.workers.len()].clone());
        let address = &self.addresses[number % self.addresses.len()];
        let slots = self.layout.slots.to_string();
        let mut arguments: Vec<OsString> =
            ["worker", self.layout.mode.as_str(), &slots, address].map(Into::into).into();
        arguments.extend(["--name".into(), format!("worker-{number}").into(), "--data".into()]);
        arguments.push(self.worker_data(number).into());
        self.launch(host, arguments)
    }

    /// The folder of a worker's cache.
    pub fn worker_data(&self, number: usize) -> std::path::PathBuf {
        self.folder.path().join(format!("worker-{number}"))
    }

    fn launch(&self, host: Option<Host>, arguments: Vec<OsString>) -> Launch {
        let mut launch = Launch::new(&self.executables, self.folder.path(), arguments);
        launch.variables.extend(self.layout.join_key.as_ref().map(|key| ("BULKHEAD_JOIN_KEY", key.into())));
        Launch { host, ..launch }
    }

    /// Where everybody's data are.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The address of a gateway.
    pub fn url(&self, gateway: usize) -> &str {
        &self.urls[gateway]
    }

    /// The address of a dispatcher, for workers.
    pub fn address(&self, dispatcher: usize) -> &str {
        &self.addresses[dispatcher]
    }

    /// A client of the first gateway.
    pub fn client(&self) -> Client {
        self.client_of(0)
    }

    /// A client of a gateway.
    pub fn client_of(&self, gateway: usize) -> Client {
        Client::new(self.url(gateway))
    }

    /// The command line of a user of the first gateway.
    pub fn command_line(&self) -> CommandLine {
        CommandLine::new(&self.executables, self.folder.path()).variable("BULKHEAD_URL", self.url(0))
    }

    /// The workers that have joined, as `GET /v1/workers` lists them.
    #[track_caller]
    pub fn joined(&self) -> Vec<Value> {
        let listed = self.client().get("/v1/workers").expect(200).json();
        listed["workers"].as_array().expect("a list").clone()
    }

    /// Waits until exactly that many workers have joined.
    #[track_caller]
    pub fn wait_for_workers(&self, count: usize) {
        eventually("workers have joined", || {
            let joined = self.joined();
            if joined.len() == count { Ok(()) } else { Err(format!("{count} awaited, {joined:?}\n{}", self.log())) }
        });
    }

    /// The worker that runs a task now, by its place in [`Cluster::workers`].
    #[track_caller]
    pub fn runner_of(&self, task: &str) -> usize {
        let client = self.client();
        eventually("the task runs on a worker", || {
            let view = client.get(&format!("/v1/tasks/{task}")).expect(200).json();
            let worker = self.joined().into_iter().find(|worker| worker["worker_id"] == view["worker_id"]);
            let name =
                worker.as_ref().and_then(|worker| worker["name"].as_str()?.strip_prefix("worker-")?.parse().ok());
            match name {
                Some(number) if view["status"] == "RUNNING" => Ok(number),
                _ => Err(format!("{view} among {:?}", self.joined())),
            }
        })
    }

    /// All members.
    pub fn members(&mut self) -> impl Iterator<Item = &mut Member> {
        self.workers.iter_mut().chain(&mut self.dispatchers).chain(&mut self.gateways)
    }

    /// Everything that its members have logged.
    pub fn log(&self) -> String {
        let members = self.workers.iter().chain(&self.dispatchers).chain(&self.gateways);
        let logs = members.map(|member| format!("--- {}\n{}", member.name(), member.log()));
        logs.collect::<Vec<_>>().join("\n")
    }

    /// Asks all members to end, workers first, and checks that each ends well.
    #[track_caller]
    pub fn stop(mut self) {
        for member in self.members() {
            member.signal(Signal::SIGTERM);
            let status = member.wait_within(SHORT + GRACE);
            assert_eq!(status.code(), Some(0), "{} ended with {status}:\n{}", member.name(), member.log());
        }
    }
}

/// How long members wait for what still runs, unless the configuration says something else.
const GRACE: Duration = Duration::from_secs(30);
