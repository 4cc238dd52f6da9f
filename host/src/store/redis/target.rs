//! How connections are made: to one server, to the master that sentinels know, or to a cluster.

use std::time::Duration;

use redis::aio::{MultiplexedConnection, PubSub};
use redis::cluster::{ClusterClient, ClusterClientBuilder};
use redis::cluster_async::ClusterConnection;
use redis::cluster_routing::{Route, RoutingInfo, SingleNodeRoutingInfo, SlotAddr};
use redis::io::tcp::TcpSettings;
use redis::sentinel::{SentinelClient, SentinelClientBuilder, SentinelServerType};
use redis::{AsyncConnectionConfig, Client, Cmd, ConnectionInfo, ErrorKind, RedisError, RedisResult, TlsMode, Value};
use tokio::sync::Mutex;

use super::address::{Address, Topology};

/// Longest wait for a new connection, the question who is master included.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// Longest wait for a connection to one node of several.
const NODE_TIMEOUT: Duration = Duration::from_secs(1);

/// Commands that wait in a connection for their turn to be written.
const PIPELINE_BUFFER: usize = 1024;

/// How often a cluster's connection follows a moved slot or a lost node before it gives up a command. A
/// command may so be carried out twice; every script bears that.
const CLUSTER_RETRIES: u32 = 4;

/// What stands behind the URL.
pub(super) enum Target {
    /// One server.
    Single(Client),
    /// The master of a set that sentinels watch; they are asked anew for each connection.
    Sentinel(Mutex<SentinelClient>),
    /// A cluster.
    Cluster {
        /// Makes connections.
        client: ClusterClient,
        /// The nodes that the URL names, each by itself.
        nodes: Vec<Client>,
    },
}

/// A connection that many use at once. Cheap to clone.
#[derive(Clone)]
pub(super) enum Connection {
    /// To one server.
    Single(MultiplexedConnection),
    /// To all nodes of a cluster.
    Cluster(ClusterConnection),
}

impl Target {
    pub(super) fn new(address: &Address) -> RedisResult<Self> {
        if address.is_tls {
            // Fails when someone else chose before, which is as good.
            let _ = rustls::crypto::ring::default_provider().install_default();
        }
        match &address.topology {
            Topology::Single => Ok(Self::Single(client(&address.nodes[0], address)?)),
            Topology::Sentinel { master } => Ok(Self::Sentinel(Mutex::new(sentinel_client(master, address)?))),
            Topology::Cluster => {
                let mut builder = ClusterClientBuilder::new(address.nodes.iter().cloned())
                    .retries(CLUSTER_RETRIES)
                    .min_retry_wait(50)
                    .max_retry_wait(500)
                    .connection_timeout(NODE_TIMEOUT)
                    // The callers have deadlines of their own.
                    .overall_response_timeout(None)
                    .response_timeout(Duration::from_secs(60))
                    .tcp_settings(TcpSettings::default().set_nodelay(true));
                if let Some(certificates) = &address.certificates {
                    builder = builder.certs(certificates.clone());
                }
                let nodes = address.nodes.iter().map(|node| client(node, address)).collect::<RedisResult<_>>()?;
                Ok(Self::Cluster { client: builder.build()?, nodes })
            }
        }
    }

    /// A new connection for commands.
    pub(super) async fn connect(&self) -> RedisResult<Connection> {
        within(CONNECT_TIMEOUT, async {
            // The callers have deadlines of their own.
            let config = AsyncConnectionConfig::new()
                .set_connection_timeout(None)
                .set_response_timeout(None)
                .set_pipeline_buffer_size(PIPELINE_BUFFER);
            match self {
                Self::Single(client) => {
                    client.get_multiplexed_async_connection_with_config(&config).await.map(Connection::Single)
                }
                Self::Sentinel(client) => {
                    let mut client = client.lock().await;
                    client.get_async_connection_with_config(&config).await.map(Connection::Single)
                }
                Self::Cluster { client, .. } => client.get_async_connection().await.map(Connection::Cluster),
            }
        })
        .await
    }

    /// A new connection for messages. In a cluster any node will do, as they pass messages on; `turn` says
    /// which to ask first, so that a dead one is not asked for ever.
    pub(super) async fn listen(&self, turn: usize) -> RedisResult<PubSub> {
        match self {
            Self::Single(client) => within(CONNECT_TIMEOUT, client.get_async_pubsub()).await,
            Self::Sentinel(client) => {
                within(CONNECT_TIMEOUT, async {
                    let client = client.lock().await.async_get_client().await?;
                    client.get_async_pubsub().await
                })
                .await
            }
            Self::Cluster { nodes, .. } => within(NODE_TIMEOUT, nodes[turn % nodes.len()].get_async_pubsub()).await,
        }
    }
}

impl Connection {
    /// Sends one command.
    pub(super) async fn ask(&mut self, command: &Cmd) -> RedisResult<Value> {
        match self {
            Self::Single(connection) => command.query_async(connection).await,
            Self::Cluster(connection) => command.query_async(connection).await,
        }
    }

    /// Sends several commands at once, in a cluster all for keys of one slot.
    pub(super) async fn ask_all(&mut self, commands: &redis::Pipeline) -> RedisResult<Vec<Value>> {
        match self {
            Self::Single(connection) => commands.query_async(connection).await,
            Self::Cluster(connection) => commands.query_async(connection).await,
        }
    }

    /// Sends a command without a key to the server that has `key`.
    pub(super) async fn ask_owner(&mut self, command: Cmd, key: &str) -> RedisResult<Value> {
        match self {
            Self::Single(connection) => command.query_async(connection).await,
            Self::Cluster(connection) => {
                let route = SingleNodeRoutingInfo::SpecificNode(Route::with_key(key, SlotAddr::Master));
                connection.route_command(command, RoutingInfo::SingleNode(route)).await?.extract_error()
            }
        }
    }
}

fn client(node: &ConnectionInfo, address: &Address) -> RedisResult<Client> {
    match &address.certificates {
        Some(certificates) => Client::build_with_tls(node.clone(), certificates.clone()),
        None => Client::open(node.clone()),
    }
}

fn sentinel_client(master: &str, address: &Address) -> RedisResult<SentinelClient> {
    let sentinels = address.nodes.iter().map(|node| node.addr().clone());
    let redis = address.nodes[0].redis_settings();
    let tcp = || TcpSettings::default().set_nodelay(true);
    let mut builder = SentinelClientBuilder::new(sentinels, master, SentinelServerType::Master)?
        .set_client_to_redis_db(redis.db())
        .set_client_to_redis_tcp_settings(tcp())
        .set_client_to_sentinel_tcp_settings(tcp());
    if let Some(username) = redis.username() {
        builder = builder.set_client_to_redis_username(username);
    }
    if let Some(password) = redis.password() {
        builder = builder.set_client_to_redis_password(password);
    }
    if address.is_tls {
        builder =
            builder.set_client_to_redis_tls_mode(TlsMode::Secure).set_client_to_sentinel_tls_mode(TlsMode::Secure);
    }
    if let Some(certificates) = &address.certificates {
        builder = builder
            .set_client_to_redis_certificates(certificates.clone())
            .set_client_to_sentinel_certificates(certificates.clone());
    }
    builder.build()
}

async fn within<T>(limit: Duration, work: impl Future<Output = RedisResult<T>>) -> RedisResult<T> {
    tokio::time::timeout(limit, work).await.unwrap_or_else(|_| {
        Err(RedisError::from((ErrorKind::Io, "no connection", format!("not within {} s", limit.as_secs()))))
    })
}
