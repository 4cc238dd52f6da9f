//! What the end-to-end tests stand on: real servers and clusters from the built executables, Redis
//! servers, hosts as network namespaces, an HTTP client, the command line, packages built once per run,
//! and what a server holds of the machine.
//!
//! Everything here panics where a test cannot go on, with what the server had logged by then.

mod client;
mod cluster;
mod command;
mod daemon;
mod deadline;
mod footprint;
pub mod hostile;
mod installed;
mod layers;
mod member;
mod net;
mod packages;
mod port;
mod redis;
mod redis_cluster;
mod redis_store;
mod server;
mod setting;
pub mod simulator;
mod sleepers;
mod small_disk;

pub use client::{Answer, Client, Part, block_on};
pub use cluster::{Cluster, Hosts, Layout};
pub use command::{CommandLine, Ended, run_within};
pub use daemon::Daemon;
pub use deadline::{LONG, SHORT, eventually, eventually_within};
pub use footprint::{Footprint, Process, cgroups_of, processes_below};
pub use installed::program;
pub use layers::{is_root, require_or_skip};
pub use member::{Executables, Launch, Member, User};
pub use net::{Capture, Host, Network};
pub use packages::{Packages, cargo, checkout};
pub use port::unused_port;
pub use redis::{Persistence, Redis, RedisOptions};
pub use redis_cluster::{RedisCluster, is_master, join_as_replica, wait_until_replicated};
pub use redis_store::RedisStore;
pub use server::{Options, Server};
pub use setting::{Backend, Mode, Setting};
pub use sleepers::Sleepers;
pub use small_disk::SmallDisk;
