//! ZMQ sockets: the process's context, the options that both sides set, and a monitor that says when a
//! connection came or went.

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::bounds::{FRAMES_IN_LIBZMQ, KEEPALIVE_IDLE, KEEPALIVE_INTERVAL, KEEPALIVE_PROBES};
use super::endpoint::zmq_address;
use super::session::MAX_SEALED_BYTES;

/// Connections that wait to be accepted.
const BACKLOG: i32 = 256;
/// How long ZMTP's own handshake may take.
const HANDSHAKE_TIME: Duration = Duration::from_secs(5);
/// Milliseconds to the next try at connecting: three weeks, and every socket is closed long before.
const NEVER: i32 = i32::MAX;
/// How long a closed socket's monitor is read for its last event.
const MONITOR_STOP_TIME: Duration = Duration::from_secs(1);

/// libzmq's I/O thread, shared by all sockets of the process. Lives as long as the process: ending a
/// context waits for every socket, and nothing needs that.
static CONTEXT: LazyLock<zmq::Context> = LazyLock::new(zmq::Context::new);

/// Makes monitors' addresses unique.
static MONITORS: AtomicU64 = AtomicU64::new(0);

/// A socket with its monitor. Never leaves the thread that made it.
pub(super) struct Watched {
    /// The socket. Dropped before the monitor.
    pub(super) socket: zmq::Socket,
    /// Where its events come.
    pub(super) monitor: Monitor,
}

/// What a monitor says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Happened {
    /// A connection is established; ZMTP's handshake follows.
    Connected,
    /// An established connection broke or was ended.
    Disconnected,
    /// A connection could not be established.
    Failed,
    /// The other side does not speak ZMTP.
    HandshakeFailed,
    /// The socket is gone; nothing more will be said.
    Stopped,
}

impl Watched {
    /// A ROUTER that listens at an address of libzmq's.
    pub(super) fn router(address: &str) -> zmq::Result<Self> {
        // Allows IPv6, and is in the way of IPv4 where the address itself is.
        let watched = Self::new(zmq::ROUTER, address.starts_with("tcp://["), &[zmq::SocketEvent::DISCONNECTED])?;
        let socket = &watched.socket;
        // Without it, what cannot be delivered would vanish.
        socket.set_router_mandatory(true)?;
        socket.set_backlog(BACKLOG)?;
        socket.bind(address)?;
        Ok(watched)
    }

    /// A DEALER that connects to an address once and never again.
    pub(super) fn dealer(address: SocketAddr, timeout: Duration) -> zmq::Result<Self> {
        let events = [
            zmq::SocketEvent::CONNECTED,
            zmq::SocketEvent::DISCONNECTED,
            zmq::SocketEvent::CLOSED,
            zmq::SocketEvent::HANDSHAKE_FAILED_PROTOCOL,
            zmq::SocketEvent::HANDSHAKE_FAILED_AUTH,
        ];
        let watched = Self::new(zmq::DEALER, address.is_ipv6(), &events)?;
        let socket = &watched.socket;
        // A second connection would be a session that nobody greeted for. libzmq can also be told not to
        // connect again (-1), but then, as with ZMQ_IMMEDIATE, it drops what is unread when the
        // connection ends, and with it the last words of the other side.
        socket.set_reconnect_ivl(NEVER)?;
        socket.set_connect_timeout(millis(timeout))?;
        socket.connect(&zmq_address(address))?;
        Ok(watched)
    }

    fn new(kind: zmq::SocketType, ipv6: bool, events: &[zmq::SocketEvent]) -> zmq::Result<Self> {
        let socket = CONTEXT.socket(kind)?;
        socket.set_linger(0)?;
        socket.set_ipv6(ipv6)?;
        socket.set_maxmsgsize(MAX_SEALED_BYTES as i64)?;
        socket.set_sndhwm(FRAMES_IN_LIBZMQ)?;
        socket.set_rcvhwm(FRAMES_IN_LIBZMQ)?;
        socket.set_handshake_ivl(millis(HANDSHAKE_TIME))?;
        socket.set_tcp_keepalive(1)?;
        socket.set_tcp_keepalive_idle(KEEPALIVE_IDLE as i32)?;
        socket.set_tcp_keepalive_intvl(KEEPALIVE_INTERVAL as i32)?;
        socket.set_tcp_keepalive_cnt(KEEPALIVE_PROBES as i32)?;
        let monitor = Monitor::new(&socket, events)?;
        Ok(Self { socket, monitor })
    }

    /// Closes the socket. What libzmq has taken may still leave for `linger`.
    pub(super) fn close(self, linger: Duration) {
        // Fails for no valid socket; then nothing lingers.
        let _ = self.socket.set_linger(millis(linger));
    }
}

/// A duration as libzmq takes it.
fn millis(duration: Duration) -> i32 {
    i32::try_from(duration.as_millis()).unwrap_or(i32::MAX)
}

/// Sends a frame to a routing id; `Some` gives it back: that peer takes no more for now.
///
/// # Errors
/// `EHOSTUNREACH` when the peer has gone.
pub(super) fn send_to(socket: &zmq::Socket, route: &[u8], frame: Vec<u8>) -> zmq::Result<Option<Vec<u8>>> {
    match retry(|| socket.send(route, zmq::SNDMORE | zmq::DONTWAIT)) {
        // The peer's pipe has room for the rest of a message that it took the head of.
        Ok(()) => {
            let frame = zmq::Message::from(frame);
            socket.send(frame, zmq::DONTWAIT).map(|()| None)
        }
        Err(zmq::Error::EAGAIN) => Ok(Some(frame)),
        Err(error) => Err(error),
    }
}

/// Sends a frame on a socket with one connection; `Some` gives it back: nothing is taken for now.
pub(super) fn send(socket: &zmq::Socket, frame: Vec<u8>) -> zmq::Result<Option<Vec<u8>>> {
    // By reference, as a frame that is not taken is needed again.
    match retry(|| socket.send(frame.as_slice(), zmq::DONTWAIT)) {
        Ok(()) => Ok(None),
        Err(zmq::Error::EAGAIN) => Ok(Some(frame)),
        Err(error) => Err(error),
    }
}

/// Calls again what a signal interrupted.
fn retry<T>(mut call: impl FnMut() -> zmq::Result<T>) -> zmq::Result<T> {
    loop {
        match call() {
            Err(zmq::Error::EINTR) => {}
            result => return result,
        }
    }
}

/// One frame of a message, and whether more of the same message follow; none when nothing is there.
pub(super) fn receive(socket: &zmq::Socket) -> zmq::Result<Option<(zmq::Message, bool)>> {
    match retry(|| socket.recv_msg(zmq::DONTWAIT)) {
        Ok(frame) => {
            let more = frame.get_more();
            Ok(Some((frame, more)))
        }
        Err(zmq::Error::EAGAIN) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Takes the rest of a message, of which nothing is wanted.
pub(super) fn skip_rest(socket: &zmq::Socket) -> zmq::Result<()> {
    // All frames of a message arrive together.
    while receive(socket)?.is_some_and(|(_, more)| more) {}
    Ok(())
}

/// Waits for any of the items; an interruption by a signal is an early end.
pub(super) fn poll(items: &mut [zmq::PollItem<'_>], timeout: Option<Duration>) -> zmq::Result<()> {
    // Rounded up, so that no deadline is looked at before its time over and over.
    let timeout = timeout.map_or(-1, |timeout| timeout.as_nanos().div_ceil(1_000_000).min(1 << 30) as i64);
    match zmq::poll(items, timeout) {
        Ok(_) | Err(zmq::Error::EINTR) => Ok(()),
        Err(error) => Err(error),
    }
}

/// A socket's events. They must be read for as long as the socket lives: libzmq's I/O thread waits when too
/// many are unread.
pub(super) struct Monitor {
    /// A PAIR, to the one that libzmq writes to. Counted so that it can be kept open for good.
    pair: Rc<zmq::Socket>,
}

impl Monitor {
    fn new(socket: &zmq::Socket, events: &[zmq::SocketEvent]) -> zmq::Result<Self> {
        let address = format!("inproc://bulkhead-link-monitor-{}", MONITORS.fetch_add(1, Ordering::Relaxed));
        // First this end, as libzmq would wait for it with its first event.
        let pair = CONTEXT.socket(zmq::PAIR)?;
        pair.set_linger(0)?;
        pair.connect(&address)?;
        let mask = events.iter().fold(zmq::SocketEvent::MONITOR_STOPPED.to_raw(), |mask, event| mask | event.to_raw());
        socket.monitor(&address, i32::from(mask))?;
        Ok(Self { pair: Rc::new(pair) })
    }

    /// What to poll.
    pub(super) fn as_poll_item(&self) -> zmq::PollItem<'_> {
        self.pair.as_poll_item(zmq::POLLIN)
    }

    /// The next event; none when nothing is there.
    pub(super) fn next(&self) -> zmq::Result<Option<Happened>> {
        // Events are two frames: a number with a value, and an address.
        let Some((frame, more)) = receive(&self.pair)? else { return Ok(None) };
        if more {
            skip_rest(&self.pair)?;
        }
        // libzmq announces a connection that ended in ZMTP's handshake as an ended one, too.
        let event = frame.first_chunk::<2>().map_or(0, |event| u16::from_ne_bytes(*event));
        let is = |expected: zmq::SocketEvent| event == expected.to_raw();
        Ok(Some(if is(zmq::SocketEvent::DISCONNECTED) {
            Happened::Disconnected
        } else if is(zmq::SocketEvent::CONNECTED) {
            Happened::Connected
        } else if is(zmq::SocketEvent::CLOSED) {
            Happened::Failed
        } else if is(zmq::SocketEvent::MONITOR_STOPPED) {
            Happened::Stopped
        } else {
            Happened::HandshakeFailed
        }))
    }
}

impl Drop for Monitor {
    /// Reads until libzmq has let go of the other end, which it does when the socket is gone. Closing
    /// this end before would leave one of its threads writing to nobody, forever.
    fn drop(&mut self) {
        loop {
            match self.next() {
                Ok(Some(Happened::Stopped)) => return,
                Ok(Some(_)) => continue,
                Ok(None) | Err(_) => {}
            }
            let mut items = [self.as_poll_item()];
            let waited = zmq::poll(&mut items, i64::from(millis(MONITOR_STOP_TIME)));
            if !matches!(waited, Ok(1..) | Err(zmq::Error::EINTR)) {
                tracing::error!("libzmq does not let go of a closed socket");
                std::mem::forget(self.pair.clone());
                return;
            }
        }
    }
}
