//! The worker's side of the link.

mod shared;
mod thread;

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bulkhead_protocol::worker_message::{ToDispatcher, ToWorker};
use tokio::sync::oneshot;

use self::shared::Shared;
use self::thread::Thread;
use super::bounds::{DEALER_EVENT_BYTES, DEALER_EVENTS};
use super::close::{CloseReason, SendError};
use super::endpoint::{Endpoint, is_loopback};
use super::events::{Events, events};
use super::key::JoinKey;
use super::outbox::Encoded;

/// What happens at a [`Dealer`]: any number of `Messages`, one `Closed`.
#[derive(Debug)]
pub enum DealerEvent {
    /// The dispatcher says something: at least one message, each within its own bounds, in order; a
    /// heartbeat may have overtaken others.
    Messages(Vec<ToWorker>),
    /// The connection is over, whoever ended it.
    Closed {
        /// Why.
        reason: CloseReason,
    },
}

/// Why a worker cannot connect.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The two speak different versions of the protocol.
    #[error(
        "the dispatcher speaks version {theirs} of the worker protocol and this worker version {ours}: \
         run the same release on both"
    )]
    WrongVersion {
        /// The worker's version.
        ours: u16,
        /// The dispatcher's version.
        theirs: u16,
    },
    /// The dispatcher has a join key and this worker has none.
    #[error("the dispatcher asks for a join key, and this worker has none")]
    KeyNeeded,
    /// This worker has a join key and the dispatcher has none.
    #[error("the dispatcher has no join key, and this worker has one")]
    KeyUnexpected,
    /// The join keys differ.
    #[error("the join key is not the dispatcher's")]
    WrongKey,
    /// The dispatcher has as many workers as it takes.
    #[error("the dispatcher has as many workers as it takes")]
    Full,
    /// Whoever listens there is no dispatcher.
    #[error("whoever listens there does not speak as a dispatcher does")]
    NotOurs,
    /// Without a join key only dispatchers on this machine are connected to.
    #[error("{endpoint} is on another machine, and for that a join key is needed")]
    NotLoopback {
        /// Where the dispatcher was to be.
        endpoint: Endpoint,
    },
    /// The host's name leads to no address.
    #[error("no address is known for {endpoint}")]
    Unresolved {
        /// Where the dispatcher was to be.
        endpoint: Endpoint,
        /// What the resolver says.
        #[source]
        source: Option<io::Error>,
    },
    /// Nobody listens there, or the network does not lead there.
    #[error("nobody answers at {endpoint}")]
    Unreachable {
        /// Where the dispatcher was to be.
        endpoint: Endpoint,
    },
    /// The dispatcher ended the connection before it greeted: it is about to stop, or has just died.
    #[error("the dispatcher ended the connection before it greeted")]
    Dropped,
    /// The dispatcher did not greet in time.
    #[error("the dispatcher did not greet within {} ms", within.as_millis())]
    Timeout {
        /// The time it had.
        within: Duration,
    },
    /// The system gives no thread or no eventfd.
    #[error("failed to start the thread of the worker link")]
    Thread(#[source] io::Error),
    /// libzmq refuses.
    #[error("failed to open a socket")]
    Socket(#[from] zmq::Error),
    /// The key exchange cannot be computed.
    #[error("failed to seal the link")]
    Noise(#[from] snow::Error),
}

/// A worker's connection to its dispatcher. A handle: clones are the same connection. It stands until
/// [`Dealer::close`], or until the last clone or the [`Events`] are dropped.
#[derive(Clone)]
pub struct Dealer {
    /// What all clones share.
    inner: Arc<Inner>,
}

/// What all clones of a handle share.
struct Inner {
    /// Shared with the thread.
    shared: Arc<Shared>,
    /// The thread, until it is waited for.
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl fmt::Debug for Dealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dealer").finish_non_exhaustive()
    }
}

impl Dealer {
    /// Connects and greets. Every address that the host's name leads to is tried, one after the other,
    /// until one can be reached; the time is for all of them together.
    ///
    /// # Errors
    /// [`ConnectError`].
    ///
    /// # Cancel safety
    /// A connection that stands when the future is dropped is ended.
    pub async fn connect(
        endpoint: &Endpoint,
        key: Option<&JoinKey>,
        timeout: Duration,
    ) -> Result<(Self, Events<DealerEvent>), ConnectError> {
        let deadline = Instant::now() + timeout;
        let mut failed = ConnectError::Unresolved { endpoint: endpoint.clone(), source: None };
        for address in resolve(endpoint, timeout).await? {
            if key.is_none() && !is_loopback(address.ip()) {
                return Err(ConnectError::NotLoopback { endpoint: endpoint.clone() });
            }
            let left = deadline.saturating_duration_since(Instant::now());
            match Self::connect_to(address, key, left).await {
                // Another address of the same host may do.
                Err(Refused::Unreachable) => failed = ConnectError::Unreachable { endpoint: endpoint.clone() },
                Err(Refused::Timeout) => return Err(ConnectError::Timeout { within: timeout }),
                Err(Refused::Error(error)) => return Err(error),
                Ok(connected) => return Ok(connected),
            }
        }
        Err(failed)
    }

    async fn connect_to(
        address: SocketAddr,
        key: Option<&JoinKey>,
        timeout: Duration,
    ) -> Result<(Self, Events<DealerEvent>), Refused> {
        let shared = Arc::new(Shared::new().map_err(ConnectError::Thread)?);
        let (sender, events) = events(DEALER_EVENTS, DEALER_EVENT_BYTES, shared.waker.clone());
        let (connected, is_connected) = oneshot::channel();
        let (thread_shared, key) = (shared.clone(), key.cloned());
        let thread = std::thread::Builder::new().name("bulkhead-link".to_owned()).spawn(move || {
            // The socket is made on the thread that keeps it.
            match Thread::connect(address, key.as_ref(), timeout, thread_shared, sender) {
                // When nobody waits any more the handle is gone as well, and the thread ends by that.
                Ok(thread) => {
                    let _ = connected.send(Ok(()));
                    thread.run();
                }
                Err(refused) => drop(connected.send(Err(refused))),
            }
        });
        let thread = thread.map_err(ConnectError::Thread)?;
        let dealer = Self { inner: Arc::new(Inner { shared, thread: Mutex::new(Some(thread)) }) };
        match is_connected.await {
            Ok(Ok(())) => Ok((dealer, events)),
            Ok(Err(refused)) => Err(refused),
            Err(_) => Err(ConnectError::Thread(io::Error::other("the thread ended early")).into()),
        }
    }

    /// Sends messages, or has them wait until the dispatcher takes them. Never blocks. Messages arrive
    /// in order and all of them, or the connection ends; a heartbeat may overtake the others.
    ///
    /// # Errors
    /// [`SendError`]. With [`SendError::Full`] none of the messages was taken and the connection stands;
    /// [`Dealer::send_when_room`] waits instead.
    pub fn send(&self, messages: Vec<ToDispatcher>) -> Result<(), SendError> {
        self.inner.shared.push(Encoded::new(&messages)?).map_err(|(error, _)| error)
    }

    /// As [`Dealer::send`], but waits for room. Who waits may be overtaken by later sends.
    ///
    /// # Errors
    /// [`SendError`]; [`SendError::Full`] only for more messages than ever fit.
    ///
    /// # Cancel safety
    /// Of a dropped future's messages either all or none are sent.
    pub async fn send_when_room(&self, messages: Vec<ToDispatcher>) -> Result<(), SendError> {
        let mut encoded = Encoded::new(&messages)?;
        loop {
            // Before the try, so that room that comes in between is not missed.
            let room = self.inner.shared.room.notified();
            match self.inner.shared.push(encoded) {
                Ok(()) => return Ok(()),
                Err((SendError::Full, Some(back))) => encoded = back,
                Err((error, _)) => return Err(error),
            }
            room.await;
        }
    }

    /// Ends the connection when everything sent before has left, or two seconds from now. Comes back
    /// when the socket is closed.
    pub async fn close(self) {
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

/// Why the connection to one address failed.
enum Refused {
    /// It cannot be reached.
    Unreachable,
    /// It took too long.
    Timeout,
    /// Anything else, which concerns the dispatcher rather than the address.
    Error(ConnectError),
}

impl<E: Into<ConnectError>> From<E> for Refused {
    fn from(error: E) -> Self {
        Self::Error(error.into())
    }
}

async fn resolve(endpoint: &Endpoint, timeout: Duration) -> Result<Vec<SocketAddr>, ConnectError> {
    let looked_up = tokio::time::timeout(timeout, tokio::net::lookup_host((endpoint.host(), endpoint.port()))).await;
    match looked_up {
        Ok(Ok(addresses)) => Ok(addresses.collect()),
        Ok(Err(error)) => Err(ConnectError::Unresolved { endpoint: endpoint.clone(), source: Some(error) }),
        Err(_) => Err(ConnectError::Timeout { within: timeout }),
    }
}
