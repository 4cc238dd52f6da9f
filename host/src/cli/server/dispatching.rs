//! The dispatcher of a process, with the hands that it may have beside it: an executor in local mode,
//! a worker over loopback in pull and push mode.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use bulkhead_protocol::worker_message::WorkerMode;
use bytes::Bytes;
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;

use crate::config::{Config, Mode};
use crate::dispatcher::{self, Handle};
use crate::executor::Executor;
use crate::gateway;
use crate::link::{Endpoint, JoinKey};
use crate::store::Store;
use crate::worker::{self, Worker};

/// How often ended tasks are looked through for expired ones.
const EXPIRE_EVERY: Duration = Duration::from_secs(60);

/// Who runs what a dispatcher hands out.
pub(in crate::cli) enum Hands {
    /// The executor of this process.
    Executor(Executor),
    /// Workers that connect: `own` slots of them are in this process, maybe none.
    Workers {
        /// How tasks come to them.
        mode: WorkerMode,
        /// What seals their links.
        join_key: Option<JoinKey>,
        /// Slots of the worker of this process; none when 0.
        own: u32,
    },
}

/// A dispatcher that works.
pub(in crate::cli) struct Dispatching {
    /// Asks it.
    handle: Handle,
    /// Ends after a drain, and before it only by a panic.
    working: JoinHandle<()>,
    /// Removes expired tasks.
    expiring: JoinHandle<()>,
    /// The worker of this process.
    worker: Option<Worker>,
}

impl Dispatching {
    /// Starts a dispatcher, and its worker if it has one.
    ///
    /// # Errors
    /// A port that cannot be had, and what keeps a worker from starting.
    pub(in crate::cli) async fn start(
        config: &Config,
        store: &Store,
        hands: Hands,
        function_configs: Arc<HashMap<String, Bytes>>,
    ) -> anyhow::Result<Self> {
        let settings = |mode| dispatcher::Config { mode, function_configs, ..dispatcher::Config::default() };
        let (handle, working, worker) = match hands {
            Hands::Executor(executor) => {
                let settings = settings(dispatcher::Mode::default());
                let (handle, working) = dispatcher::start(store.clone(), Some(executor), settings)?;
                (handle, working, None)
            }
            Hands::Workers { mode, join_key, own } => {
                let listen = Endpoint::new(SocketAddr::new(config.dispatcher_host, config.dispatcher_port));
                let remote = dispatcher::Remote::new(listen, join_key.clone());
                let settings = settings(match mode {
                    WorkerMode::Pull => dispatcher::Mode::Pull(remote),
                    WorkerMode::Push => dispatcher::Mode::Push(remote),
                });
                let (handle, working) = dispatcher::start(store.clone(), None, settings)?;
                let address = handle.address().context("the dispatcher has no address")?;
                let worker = match own {
                    0 => None,
                    slots => Some(start_worker(config, mode, address, join_key, slots).await?),
                };
                (handle, working, worker)
            }
        };
        let expiring = tokio::spawn(expire(store.clone(), config.result_ttl.0));
        Ok(Self { handle, working, expiring, worker })
    }

    /// Asks it.
    pub(in crate::cli) fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Where workers join it; none in local mode.
    pub(in crate::cli) fn endpoint(&self) -> Option<Endpoint> {
        self.handle.address().map(|address| Endpoint::new(plain(address)))
    }

    /// Waits until it fails.
    pub(super) async fn failed(&mut self) -> anyhow::Error {
        let worker = async {
            if let Some(worker) = &mut self.worker {
                worker.left().await?;
                tracing::warn!("the worker of this process has left, as it was asked to; others may join");
            }
            Ok::<Infallible, worker::Error>(std::future::pending().await)
        };
        tokio::select! {
            // Tasks that nobody runs would be taken, and never end.
            _ = &mut self.working => anyhow::anyhow!("the dispatcher failed; the log says why"),
            ended = worker => match ended {
                Ok(never) => match never {},
                Err(error) => anyhow::Error::new(error).context("the worker of this process failed"),
            },
        }
    }

    /// Begins nothing new, and waits until what runs has ended or is given back.
    pub(super) async fn drain(&mut self, grace: Duration) {
        self.expiring.abort();
        let worker = self.worker.take();
        let worker = async {
            if let Some(worker) = worker {
                worker.drain(grace).await;
            }
        };
        tokio::join!(self.handle.drain(grace), worker);
    }
}

async fn start_worker(
    config: &Config,
    mode: WorkerMode,
    dispatcher: SocketAddr,
    join_key: Option<JoinKey>,
    slots: u32,
) -> anyhow::Result<Worker> {
    let settings = worker::Config::new(Endpoint::new(reachable(dispatcher)), mode, slots, config.data.join("worker"));
    let settings = worker::Config {
        join_key,
        runner: config.runner.clone(),
        floor: config.sandbox_floor,
        allow_weaker_sandbox: config.allow_weaker_sandbox,
        ..settings
    };
    Ok(worker::start(settings).await?)
}

/// Where this machine reaches an address that it listens on.
fn reachable(address: SocketAddr) -> SocketAddr {
    let address = plain(address);
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

/// An address with IPv4 written as IPv4: a socket for both says otherwise.
fn plain(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

impl Mode {
    /// How tasks come to workers; none when there are no workers.
    pub(in crate::cli) fn of_workers(self) -> Option<WorkerMode> {
        match self {
            Self::Local => None,
            Self::Pull => Some(WorkerMode::Pull),
            Self::Push => Some(WorkerMode::Push),
        }
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_beside_its_dispatcher_connects_to_where_that_listens() {
        let reach = |text: &str| reachable(text.parse().unwrap()).to_string();
        assert_eq!(reach("0.0.0.0:5555"), "127.0.0.1:5555");
        assert_eq!(reach("[::]:5555"), "[::1]:5555");
        assert_eq!(reach("[::ffff:0.0.0.0]:5555"), "127.0.0.1:5555");
        assert_eq!(reach("[::ffff:10.0.0.7]:1"), "10.0.0.7:1");
        assert_eq!(reach("10.0.0.7:1"), "10.0.0.7:1");
    }
}
