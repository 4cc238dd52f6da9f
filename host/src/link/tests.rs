//! Real sockets on loopback: both sides of the link against each other, and each against peers that
//! break its rules.

mod hostile;
mod loss;
mod pressure;
mod refusal;
mod round_trip;

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use bulkhead_protocol::id::TaskId;
use bulkhead_protocol::outcome::{Outcome, Report};
use bulkhead_protocol::worker_message::{AttemptId, Greeting, ToDispatcher, ToWorker};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use uuid::Uuid;

use super::session::{Introduction, Session};
use super::*;

/// Nothing here takes nearly as long on any machine.
const DEADLINE: Duration = Duration::from_secs(60);

/// Waits, but not forever.
async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, future).await.expect("it takes too long")
}

/// A port of loopback that the system chooses.
fn anywhere() -> Endpoint {
    "tcp://127.0.0.1:0".parse().unwrap()
}

fn key() -> JoinKey {
    JoinKey::from_text("the key of these tests").unwrap()
}

/// A router on loopback.
fn bind(key: Option<&JoinKey>, bounds: RouterBounds) -> (Router, Events<PeerEvent>) {
    Router::bind(&anywhere(), key, bounds).unwrap()
}

fn endpoint(router: &Router) -> Endpoint {
    router.address().parse().unwrap()
}

/// A worker's connection to a router.
async fn connect(router: &Router, key: Option<&JoinKey>) -> (Dealer, Events<DealerEvent>) {
    connect_to(&endpoint(router), key).await
}

async fn connect_to(endpoint: &Endpoint, key: Option<&JoinKey>) -> (Dealer, Events<DealerEvent>) {
    within(Dealer::connect(endpoint, key, DEADLINE)).await.unwrap()
}

/// The peer of the next event, which must be that it has connected.
async fn opened(events: &mut Events<PeerEvent>) -> PeerId {
    match within(events.recv()).await {
        Some(PeerEvent::Opened { peer, address }) => {
            assert_eq!(address.as_deref(), Some("127.0.0.1"));
            peer
        }
        other => panic!("{other:?} in place of an opened connection"),
    }
}

/// What a peer says next.
async fn heard(events: &mut Events<PeerEvent>, from: PeerId) -> Vec<ToDispatcher> {
    match within(events.recv()).await {
        Some(PeerEvent::Messages { peer, messages }) if peer == from => messages,
        other => panic!("{other:?} in place of messages from {from}"),
    }
}

/// Why the next event says that a peer is gone.
async fn closed(events: &mut Events<PeerEvent>, gone: PeerId) -> CloseReason {
    match within(events.recv()).await {
        Some(PeerEvent::Closed { peer, reason }) if peer == gone => reason,
        other => panic!("{other:?} in place of the end of {gone}"),
    }
}

/// What the dispatcher says next.
async fn told(events: &mut Events<DealerEvent>) -> Vec<ToWorker> {
    match within(events.recv()).await {
        Some(DealerEvent::Messages(messages)) => messages,
        other => panic!("{other:?} in place of messages"),
    }
}

/// Why the next event says that the connection is over.
async fn parted(events: &mut Events<DealerEvent>) -> CloseReason {
    match within(events.recv()).await {
        Some(DealerEvent::Closed { reason }) => reason,
        other => panic!("{other:?} in place of the end"),
    }
}

fn attempt(number: u32) -> AttemptId {
    AttemptId { task: TaskId(Uuid::from_u128(7)), attempt: number }
}

/// A numbered message with so many bytes of result.
fn ended(number: u32, bytes: usize) -> ToDispatcher {
    // A length that divides no other here; repeated, as copying is fast in a debug build.
    let pattern: Vec<u8> = (0..=250).collect();
    let mut result = pattern.repeat(bytes.div_ceil(pattern.len()));
    result.truncate(bytes);
    ToDispatcher::Ended {
        id: attempt(number),
        report: Report { result, ..Report::without_process(Outcome::Succeeded) },
    }
}

/// The number of a message made by [`ended`].
fn number(message: &ToDispatcher) -> u32 {
    match message {
        ToDispatcher::Ended { id, .. } => id.attempt,
        other => panic!("{other:?}"),
    }
}

/// A peer that speaks ZMTP and otherwise whatever a test makes it say.
struct RawPeer {
    socket: zmq::Socket,
    session: Session,
}

impl RawPeer {
    /// Connects and says nothing.
    fn connect(address: &str) -> zmq::Socket {
        let socket = zmq::Context::new().socket(zmq::DEALER).unwrap();
        socket.set_linger(1000).unwrap();
        socket.set_rcvtimeo(DEADLINE.as_millis() as i32).unwrap();
        socket.set_sndtimeo(DEADLINE.as_millis() as i32).unwrap();
        socket.connect(address).unwrap();
        socket
    }

    /// Connects and greets, so that it may say its first word.
    fn greet(address: &str, key: Option<&JoinKey>) -> Self {
        let socket = Self::connect(address);
        let (introduction, greeting) = Introduction::begin(key).unwrap();
        socket.send(greeting, 0).unwrap();
        let answer = receive(&socket);
        Self { socket, session: introduction.finish(&answer).unwrap() }
    }

    /// Connects as a worker does.
    fn open(address: &str, key: Option<&JoinKey>) -> Self {
        let mut peer = Self::greet(address, key);
        peer.send(frame::ready());
        peer
    }

    /// Sends a frame under its session.
    fn send(&mut self, frame: Vec<u8>) {
        let sealed = self.session.seal(frame).unwrap();
        self.socket.send(sealed, 0).unwrap();
    }
}

/// The next frame that is not empty: empty ones only try whether the connection stands.
fn receive(socket: &zmq::Socket) -> Vec<u8> {
    loop {
        let frame = socket.recv_bytes(0).unwrap();
        if !frame.is_empty() {
            return frame;
        }
    }
}

fn greeting(socket: &zmq::Socket) -> Greeting {
    Greeting::from_bytes(&receive(socket)).unwrap()
}

/// A TCP relay in front of a router, which notes what passes and can break.
struct Relay {
    address: SocketAddr,
    /// Everything that passed, in both directions.
    passed: mpsc::UnboundedReceiver<Vec<u8>>,
    task: JoinHandle<()>,
}

impl Relay {
    async fn before(router: &Router) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let behind = router.address().strip_prefix("tcp://").unwrap().to_owned();
        let (note, passed) = mpsc::unbounded_channel();
        let task = tokio::spawn(async move {
            let (front, _) = listener.accept().await.unwrap();
            let back = TcpStream::connect(behind).await.unwrap();
            let ((from_front, to_front), (from_back, to_back)) = (front.into_split(), back.into_split());
            tokio::join!(relay(from_front, to_back, note.clone()), relay(from_back, to_front, note));
        });
        Self { address, passed, task }
    }

    fn endpoint(&self) -> Endpoint {
        Endpoint::new(self.address)
    }

    /// Breaks both connections.
    fn break_off(&self) {
        self.task.abort();
    }

    /// All bytes that passed so far.
    fn passed(&mut self) -> Vec<u8> {
        std::iter::from_fn(|| self.passed.try_recv().ok()).flatten().collect()
    }
}

async fn relay(
    mut from: tokio::net::tcp::OwnedReadHalf,
    mut to: tokio::net::tcp::OwnedWriteHalf,
    note: mpsc::UnboundedSender<Vec<u8>>,
) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(length @ 1..) = from.read(&mut buffer).await {
        let _ = note.send(buffer[..length].to_vec());
        if to.write_all(&buffer[..length]).await.is_err() {
            return;
        }
    }
}
