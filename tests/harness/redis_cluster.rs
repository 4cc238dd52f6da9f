//! Redis Clusters of real nodes.

use super::command::Ended;
use super::deadline::eventually;
use super::redis::{Persistence, Redis, RedisOptions};

/// Nodes that have keys of their own.
const MASTERS: usize = 3;

/// A Redis Cluster of three nodes, each with a third of the keys. Killed when dropped.
pub struct RedisCluster {
    /// The nodes, and behind them their replicas, if there are any.
    pub nodes: Vec<Redis>,
}

impl RedisCluster {
    /// Starts one of three nodes, with nobody behind them, and waits until it is whole.
    #[track_caller]
    pub fn start(persistence: Persistence) -> Self {
        Self::create(persistence, 0)
    }

    /// Starts one with a replica for each of the three, and waits until it is whole.
    #[track_caller]
    pub fn start_with_replicas(persistence: Persistence) -> Self {
        Self::create(persistence, 1)
    }

    #[track_caller]
    fn create(persistence: Persistence, replicas: usize) -> Self {
        let options = RedisOptions { persistence, cluster: true, ..RedisOptions::default() };
        let nodes: Vec<Redis> = (0..MASTERS * (1 + replicas)).map(|_| Redis::start(options.clone())).collect();
        let addresses: Vec<String> = nodes.iter().map(address).collect();
        let addresses: Vec<&str> = addresses.iter().map(String::as_str).collect();
        let (create, replicas) = (["--cluster", "create"], replicas.to_string());
        let create = [&create[..], &addresses, &["--cluster-replicas", &replicas, "--cluster-yes"]].concat();
        nodes[0].cli(&create).expect(0);
        let cluster = Self { nodes };
        cluster.wait_until_whole();
        cluster
    }

    /// Waits until every node says that all are there.
    #[track_caller]
    pub fn wait_until_whole(&self) {
        let known = format!("cluster_known_nodes:{}", self.nodes.len());
        for node in &self.nodes {
            eventually("the cluster is whole", || {
                let info = node.cli(&["CLUSTER", "INFO"]).stdout;
                let whole = ["cluster_state:ok", "cluster_slots_ok:16384", &known];
                if whole.iter().all(|fact| info.contains(fact)) { Ok(()) } else { Err(info) }
            });
        }
    }

    /// What `--redis` takes.
    pub fn url(&self) -> String {
        url_of(&self.nodes)
    }
}

/// What `--redis` takes for a cluster of these nodes.
pub(super) fn url_of(nodes: &[Redis]) -> String {
    format!("redis+cluster://{}", nodes.iter().map(address).collect::<Vec<_>>().join(","))
}

/// Whether a node has keys of its own now.
#[track_caller]
pub fn is_master(node: &Redis) -> bool {
    role(node).stdout.starts_with("master")
}

/// Waits until a node has replicas and all of them have all that it was told: any may take its place.
#[track_caller]
pub fn wait_until_replicated(node: &Redis) {
    eventually("replicas have everything", || {
        let said = node.cli(&["INFO", "replication"]).expect(0).stdout;
        let number = |line: &str, name: &str| -> Option<u64> {
            line.split([',', '\r', '\n']).find_map(|part| part.strip_prefix(name)?.parse().ok())
        };
        let own = said.lines().find_map(|line| number(line, "master_repl_offset:"));
        let mut replicas = said.lines().filter(|line| line.starts_with("slave") && line.contains(":ip=")).peekable();
        let has_some = replicas.peek().is_some();
        let is_whole = replicas.all(|line| line.contains("state=online") && number(line, "offset=") == own);
        if own.is_some() && has_some && is_whole { Ok(()) } else { Err(said) }
    });
}

/// Puts a new, empty node behind the ones that are left: a replica of whichever has none.
#[track_caller]
pub fn join_as_replica(new: &Redis, member: &Redis) {
    eventually("a node joins", || {
        let ended = member.cli(&["--cluster", "add-node", &address(new), &address(member), "--cluster-slave"]);
        if ended.code == Some(0) { Ok(()) } else { Err(format!("{ended:?}")) }
    });
    // Not only in name: one that has nothing yet may be made a master, too.
    eventually("the new node has what another has", || {
        let said = new.cli(&["INFO", "replication"]).expect(0).stdout;
        if said.contains("role:slave") && said.contains("master_link_status:up") { Ok(()) } else { Err(said) }
    });
}

#[track_caller]
fn role(node: &Redis) -> Ended {
    node.cli(&["ROLE"]).expect(0)
}

fn address(node: &Redis) -> String {
    format!("{}:{}", node.address(), node.port())
}
