//! A real server in any setting: the built executable, real signals, what it holds of the machine.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::os::unix::fs::chown;
use std::path::Path;
use std::sync::Arc;

use nix::sys::signal::Signal;
use serde_json::Value;
use tempfile::TempDir;

use super::client::Client;
use super::command::{CommandLine, Ended};
use super::deadline::{LONG, eventually};
use super::footprint::{Footprint, Process, cgroups_of};
use super::member::{Executables, Launch, Member, User};
use super::port::unused_port;
use super::redis_store::RedisStore;
use super::setting::{Backend, Mode, Setting};

/// How a server is started.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Whom it runs as; none: as the tests themselves.
    pub user: Option<User>,
    /// Arguments of the part that answers requests, beside those that it needs here.
    pub arguments: Vec<String>,
    /// Its configuration file.
    pub config: String,
}

impl Options {
    /// A server with this configuration file.
    pub fn config(text: &str) -> Self {
        Self { config: text.to_owned(), ..Self::default() }
    }

    /// A server with that many slots.
    pub fn slots(slots: u32) -> Self {
        Self::config(&format!("slots = {slots}\n"))
    }

    /// The same as another user.
    #[must_use]
    pub fn user(self, user: Option<User>) -> Self {
        Self { user, ..self }
    }

    /// The slots of its configuration, or one for each CPU.
    fn slots_there(&self) -> String {
        let said = self.config.lines().find_map(|line| line.strip_prefix("slots = "));
        let cpus = || std::thread::available_parallelism().map_or(1, std::num::NonZero::get).to_string();
        said.map_or_else(cpus, str::to_owned)
    }
}

/// A server that was started, whatever it consists of. Killed when dropped.
pub struct Server {
    executables: Executables,
    setting: Setting,
    options: Options,
    url: String,
    /// Its processes in the order in which a user ends them: those that run calls, those that hand them
    /// out, the one that answers requests.
    members: Vec<Member>,
    /// Its data, its folder for temporary files, its configuration.
    folder: Arc<TempDir>,
    /// What remembers its tasks, if that is not in its folder.
    redis: Option<RedisStore>,
}

impl Server {
    /// Starts a server and waits until it listens and has all its parts.
    #[track_caller]
    pub fn start(executables: &Executables, setting: Setting, options: Options) -> Self {
        let folder = tempfile::Builder::new().prefix("bulkhead-test-").tempdir().expect("a temporary folder");
        for name in ["data", "tmp"] {
            std::fs::create_dir(folder.path().join(name)).expect("a folder");
        }
        if let Some(User { id }) = options.user {
            for name in ["", "data", "tmp"] {
                chown(folder.path().join(name), Some(id), Some(id)).expect("a folder can be given away");
            }
        }
        let redis = match setting.store {
            Backend::Embedded => None,
            Backend::Redis => Some(RedisStore::unused()),
            Backend::RedisCluster => Some(RedisStore::unused_in_cluster()),
        };
        Self::start_in(executables, setting, options, Arc::new(folder), redis)
    }

    #[track_caller]
    fn start_in(
        executables: &Executables,
        setting: Setting,
        options: Options,
        folder: Arc<TempDir>,
        redis: Option<RedisStore>,
    ) -> Self {
        std::fs::write(folder.path().join("bulkhead.toml"), &options.config).expect("a configuration");
        let start = |name: &str, arguments: Vec<OsString>| {
            let launch = Launch::new(executables, folder.path(), arguments);
            let variables = redis.iter().map(|redis| ("BULKHEAD_REDIS_NAMESPACE", redis.namespace.clone().into()));
            Member::start(name, Launch { user: options.user, variables: variables.collect(), ..launch })
        };
        let data = folder.path().join("data");
        let (port, url) = (unused_port().to_string(), redis.as_ref().map(RedisStore::url));
        let mode = setting.mode.as_str();
        let mut front: Vec<&str> = Vec::new();
        let mut members = Vec::new();
        match (setting.mode, url.as_deref()) {
            (Mode::Local, None) => front.extend(["up"]),
            (Mode::Local, Some(url)) => front.extend(["up", "--redis", url]),
            (_, None) => front.extend(["up", "--mode", mode, "--dispatcher-port", &port, "--no-worker"]),
            (_, Some(url)) => {
                let dispatcher = ["dispatcher", "-m", mode, "-p", &port, "--redis", url];
                members.push(start("the dispatcher", dispatcher.map(Into::into).into()));
                front.extend(["gateway", "--redis", url]);
            }
        }
        let mut front: Vec<OsString> = front.into_iter().map(Into::into).collect();
        front.extend(["--port".into(), "0".into(), "--data".into(), data.join("front").into()]);
        front.extend(options.arguments.iter().map(Into::into));
        if setting.mode != Mode::Local {
            let address = format!("tcp://127.0.0.1:{port}");
            let worker = ["worker", mode, &options.slots_there(), &address, "--data"];
            let mut worker: Vec<OsString> = worker.map(Into::into).into();
            worker.push(data.join("worker").into());
            members.insert(0, start("the worker", worker));
        }
        members.push(start("the server", front));
        let (executables, url) = (executables.clone(), String::new());
        let mut server = Self { executables, setting, options, url, members, folder, redis };
        let listening = server.wait_for("listening");
        server.url = listening["url"].as_str().expect("the line has the address").to_owned();
        server.wait_for_worker();
        server
    }

    /// A server that hands out calls has nobody to hand them to before its worker has come.
    #[track_caller]
    fn wait_for_worker(&self) {
        if self.setting.mode == Mode::Local {
            return;
        }
        let client = self.client();
        eventually("the worker has joined", || {
            let workers = client.get("/v1/workers").expect(200).json();
            if workers["workers"].as_array().is_some_and(|workers| workers.len() == 1) {
                return Ok(());
            }
            Err(format!("{workers}\n{}", self.log()))
        });
    }

    /// Starts it again on the same folder and store, after its end.
    #[track_caller]
    pub fn restart(self) -> Self {
        let Self { executables, setting, options, members, folder, redis, .. } = self;
        // Their end was asked for by the test; those that still run are killed.
        drop(members);
        Self::start_in(&executables, setting, options, folder, redis)
    }

    /// What runs behind it.
    pub fn setting(&self) -> Setting {
        self.setting
    }

    /// Its address.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// A client of it.
    pub fn client(&self) -> Client {
        Client::new(&self.url)
    }

    /// Its own processes, without those that it starts for calls.
    pub fn pids(&self) -> Vec<u32> {
        self.members.iter().map(Member::pid).collect()
    }

    /// The processes that it started.
    pub fn processes(&self) -> Vec<Process> {
        self.members.iter().flat_map(Member::processes).collect()
    }

    /// The folder that holds its `data`, `tmp` and `bulkhead.toml`.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// What it holds of the machine now.
    #[track_caller]
    pub fn footprint(&self) -> Footprint {
        Footprint::of(&self.pids(), self.folder.path())
    }

    /// How many packages it keeps for registered functions.
    #[track_caller]
    pub fn packages(&self) -> usize {
        let files = || self.folder().join("data/front/packages").read_dir().map_or(0, Iterator::count);
        self.redis.as_ref().map_or_else(files, RedisStore::packages)
    }

    /// The command line as a user of this server has it.
    pub fn command_line(&self) -> CommandLine {
        CommandLine::new(&self.executables, self.folder.path()).variable("BULKHEAD_URL", &self.url)
    }

    /// Runs `bulkhead` against this server.
    #[track_caller]
    pub fn cli(&self, arguments: &[&str]) -> Ended {
        self.command_line().run(arguments)
    }

    /// The part that answers requests.
    pub fn front(&mut self) -> &mut Member {
        self.members.last_mut().expect("there always is one")
    }

    /// The part that runs calls, where that is another.
    pub fn worker(&mut self) -> &mut Member {
        assert!(!self.setting.runs_where_it_answers(), "there is no worker of its own");
        &mut self.members[0]
    }

    /// Waits for a line with this message in the log of the part that answers requests.
    #[track_caller]
    pub fn wait_for(&self, message: &str) -> Value {
        self.members.last().expect("there always is one").wait_for(message)
    }

    /// Everything that it has logged.
    pub fn log(&self) -> String {
        let logs = self.members.iter().map(|member| format!("--- {}\n{}", member.name(), member.log()));
        logs.collect::<Vec<_>>().join("\n")
    }

    /// Everything that it has printed, which is little: its log is elsewhere.
    pub fn output(&self) -> String {
        self.members.iter().map(Member::output).collect()
    }

    /// Ends it by a signal, part after part, and checks that each ends well and that nothing is left.
    #[track_caller]
    pub fn end_by(&mut self, signal: Signal) {
        let (pids, processes) = (self.pids(), self.processes());
        for member in &mut self.members {
            member.signal(signal);
            let status = member.wait_within(LONG);
            assert_eq!(status.code(), Some(0), "{} ended with {status}:\n{}", member.name(), member.log());
        }
        for process in processes {
            eventually("processes of the server end with it", || process.is_gone());
        }
        for pid in pids {
            assert_eq!(cgroups_of(pid), BTreeSet::new(), "control groups are left");
        }
        let temporary = self.folder().join("tmp").read_dir().expect("it is there").count();
        assert_eq!(temporary, 0, "temporary files are left");
    }

    /// Asks it to end, and checks that it ends well and leaves nothing running.
    #[track_caller]
    pub fn stop(mut self) {
        self.end_by(Signal::SIGTERM);
    }

    /// `kill -9` of all its processes.
    #[track_caller]
    pub fn kill(&mut self) {
        for member in &self.members {
            member.signal(Signal::SIGKILL);
        }
        for member in &mut self.members {
            let status = member.wait();
            assert_eq!(status.code(), None, "{} ended with {status}:\n{}", member.name(), member.log());
        }
    }
}
