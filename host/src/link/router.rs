//! The dispatcher's side of the link.

mod peer;
mod shared;
mod thread;

use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener, ToSocketAddrs};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread::JoinHandle;

use bulkhead_protocol::worker_message::{ToDispatcher, ToWorker};

use self::shared::Shared;
use self::thread::{BindFailure, Front, Thread};
use super::bounds::RouterBounds;
use super::close::{CloseReason, SendError};
use super::endpoint::{Endpoint, is_loopback};
use super::events::{Events, events};
use super::key::JoinKey;
use super::outbox::Encoded;

/// One connection of a worker. Never used again for another.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerId(u64);

impl fmt::Debug for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "peer-{}", self.0)
    }
}

#[cfg(test)]
impl PeerId {
    /// An id for tests of modules that only pass ids on.
    pub(crate) fn for_tests(number: u64) -> Self {
        Self(number)
    }
}

/// What happens at a [`Router`]. For each peer: one `Opened`, any number of `Messages`, one `Closed`.
#[derive(Debug)]
pub enum PeerEvent {
    /// A worker has connected and greeted; it has the join key, if there is one.
    Opened {
        /// Its connection.
        peer: PeerId,
        /// Its IP address, where libzmq knows it.
        address: Option<String>,
    },
    /// It says something. At least one message, each within its own bounds.
    Messages {
        /// Its connection.
        peer: PeerId,
        /// What it says, in order; a heartbeat may have overtaken others.
        messages: Vec<ToDispatcher>,
    },
    /// The connection is over, whoever ended it. Nothing more comes from it or goes to it.
    Closed {
        /// The connection.
        peer: PeerId,
        /// Why.
        reason: CloseReason,
    },
}

/// What waits to be sent to a peer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backlog {
    /// Encoded bytes.
    pub bytes: usize,
    /// Messages, heartbeats aside.
    pub messages: usize,
}

/// Why a router cannot listen.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Without a join key only this machine may connect.
    #[error("{endpoint} can be reached from other machines, and for that a join key is needed")]
    KeyNeeded {
        /// Where it was to listen.
        endpoint: Endpoint,
    },
    /// The host's name leads to no address.
    #[error("{endpoint} names no address of this machine")]
    Unresolved {
        /// Where it was to listen.
        endpoint: Endpoint,
        /// What the resolver says.
        #[source]
        source: Option<io::Error>,
    },
    /// Somebody else listens there.
    #[error("{endpoint} is in use by another process")]
    InUse {
        /// Where it was to listen.
        endpoint: Endpoint,
    },
    /// The system refuses.
    #[error("failed to listen on {endpoint}")]
    System {
        /// Where it was to listen.
        endpoint: Endpoint,
        /// What it says.
        #[source]
        source: io::Error,
    },
    /// libzmq refuses.
    #[error("failed to listen on {endpoint}")]
    Socket {
        /// Where it was to listen.
        endpoint: Endpoint,
        /// What it says.
        #[source]
        source: zmq::Error,
    },
    /// The system gives no thread or no eventfd.
    #[error("failed to start the thread of the worker link")]
    Thread(#[source] io::Error),
}

/// Listens for workers. A handle: clones are the same router. It listens until [`Router::shutdown`], or until
/// the last clone or the [`Events`] are dropped.
#[derive(Clone)]
pub struct Router {
    /// What all clones share.
    inner: Arc<Inner>,
}

/// What all clones of a handle share.
struct Inner {
    /// Shared with the thread.
    shared: Arc<Shared>,
    /// Where it listens.
    address: String,
    /// The thread, until it is waited for.
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl fmt::Debug for Router {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Router").field("address", &self.inner.address).finish_non_exhaustive()
    }
}

impl Router {
    /// Listens at `endpoint` for workers that have the same join key, or none if there is none.
    ///
    /// Blocks for as long as it takes to look up a name.
    ///
    /// # Errors
    /// [`BindError`]; [`BindError::KeyNeeded`] for an address that is not loopback, without a key.
    pub fn bind(
        endpoint: &Endpoint,
        key: Option<&JoinKey>,
        bounds: RouterBounds,
    ) -> Result<(Self, Events<PeerEvent>), BindError> {
        let address = resolve(endpoint)?;
        if key.is_none() && !is_loopback(address.ip()) {
            return Err(BindError::KeyNeeded { endpoint: endpoint.clone() });
        }
        let front = match key {
            // Whoever may connect to a plain link is on this machine, and could do worse than fill memory.
            None => Front::Direct(address),
            Some(_) => Front::Gated(TcpListener::bind(address).map_err(|error| not_bound(endpoint, error))?),
        };
        let shared = Arc::new(Shared::new(&bounds).map_err(BindError::Thread)?);
        let (sender, events) = events(bounds.events, bounds.event_bytes, shared.waker.clone());
        let (bound, is_bound) = mpsc::sync_channel(1);
        let (thread_shared, key) = (shared.clone(), key.cloned());
        // The socket is made on the thread that keeps it.
        let thread = std::thread::Builder::new().name("bulkhead-link".to_owned()).spawn(move || {
            match Thread::bind(front, key, bounds, thread_shared, sender) {
                Ok((thread, address)) => {
                    let _ = bound.send(Ok(address));
                    thread.run();
                }
                Err(error) => drop(bound.send(Err(error))),
            }
        });
        let thread = thread.map_err(BindError::Thread)?;
        match is_bound.recv() {
            Ok(Ok(address)) => {
                let inner = Inner { shared, address, thread: Mutex::new(Some(thread)) };
                Ok((Self { inner: Arc::new(inner) }, events))
            }
            Ok(Err(BindFailure::System(error))) => Err(not_bound(endpoint, error)),
            Ok(Err(BindFailure::Socket(error))) => {
                let endpoint = endpoint.clone();
                Err(match error {
                    zmq::Error::EADDRINUSE => BindError::InUse { endpoint },
                    zmq::Error::EADDRNOTAVAIL | zmq::Error::ENODEV => BindError::Unresolved { endpoint, source: None },
                    source => BindError::Socket { endpoint, source },
                })
            }
            Err(mpsc::RecvError) => Err(BindError::Thread(io::Error::other("the thread ended early"))),
        }
    }

    /// Where it listens, as `tcp://127.0.0.1:5555`: with the port that the system chose, if it was to.
    pub fn address(&self) -> String {
        self.inner.address.clone()
    }

    /// Sends messages to a peer, or has them wait until it takes them. Never blocks. Messages arrive
    /// in order and all of them, or the connection ends; a heartbeat may overtake the others.
    ///
    /// # Errors
    /// [`SendError`]. With [`SendError::Full`] the peer is closed as well.
    pub fn send(&self, peer: PeerId, messages: Vec<ToWorker>) -> Result<(), SendError> {
        self.inner.shared.push(peer, Encoded::new(&messages)?)
    }

    /// How much waits for a peer: large messages are better held back than closing the peer. None when
    /// the connection is over.
    pub fn backlog(&self, peer: PeerId) -> Option<Backlog> {
        self.inner.shared.backlog(peer)
    }

    /// Ends a connection when what was sent before has left, or two seconds from now. Its
    /// [`PeerEvent::Closed`] comes at once. Does nothing to a connection that is over.
    pub fn close(&self, peer: PeerId) {
        self.inner.shared.close(peer);
    }

    /// Stops listening, and ends every connection as [`Router::close`] does. Comes back when the
    /// socket is closed and its port free.
    pub async fn shutdown(self) {
        self.inner.shared.stop();
        let thread = self.inner.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            // A panic of the thread has been reported by its hook.
            let _ = tokio::task::spawn_blocking(move || thread.join()).await;
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.shared.stop();
    }
}

fn not_bound(endpoint: &Endpoint, source: io::Error) -> BindError {
    let endpoint = endpoint.clone();
    match source.kind() {
        io::ErrorKind::AddrInUse => BindError::InUse { endpoint },
        io::ErrorKind::AddrNotAvailable => BindError::Unresolved { endpoint, source: Some(source) },
        _ => BindError::System { endpoint, source },
    }
}

fn resolve(endpoint: &Endpoint) -> Result<SocketAddr, BindError> {
    let unresolved = |source| BindError::Unresolved { endpoint: endpoint.clone(), source };
    let mut addresses =
        (endpoint.host(), endpoint.port()).to_socket_addrs().map_err(|error| unresolved(Some(error)))?;
    addresses.next().ok_or_else(|| unresolved(None))
}
