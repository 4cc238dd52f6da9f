//! The router's thread: the only one that touches its socket.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::peer::{Peer, Route, Stage};
use super::shared::{Orders, Shared};
use super::{PeerEvent, PeerId};
use crate::link::bounds::{
    CLOSING_TIME, FIRST_RETRY, FRAMES_PER_ROUND, GREETING_TIME, LAST_RETRY, LINGER, MAX_GREETING, PROBE_PAUSES,
    RouterBounds,
};
use crate::link::close::{CloseReason, Violation};
use crate::link::endpoint::zmq_address;
use crate::link::events::EventSender;
use crate::link::frame::Arrived;
use crate::link::gate::{self, Gate, Place};
use crate::link::key::JoinKey;
use crate::link::outbox;
use crate::link::refusals::Refusals;
use crate::link::session::{Answer, Refusal, answer, closed_notice, is_closed_notice};
use crate::link::socket::{self, Happened, Watched};

/// Frames that one peer is sent before it is another's turn.
const FRAMES_PER_TURN: usize = 32;
/// Rounds of reading for which the look for a lost peer may be put off, so that its last words are heard
/// first. Enough for as many frames as libzmq holds of a thousand peers.
const PROBE_PATIENCE: u32 = 32;

/// Where connections come from.
pub(super) enum Front {
    /// libzmq accepts them itself.
    Direct(SocketAddr),
    /// A [`Gate`] does, from here.
    Gated(TcpListener),
}

/// Why the thread cannot listen.
pub(super) enum BindFailure {
    /// libzmq says.
    Socket(zmq::Error),
    /// The system says.
    System(io::Error),
}

impl From<zmq::Error> for BindFailure {
    fn from(error: zmq::Error) -> Self {
        Self::Socket(error)
    }
}

impl From<io::Error> for BindFailure {
    fn from(error: io::Error) -> Self {
        Self::System(error)
    }
}

/// The thread's state.
pub(super) struct Thread {
    /// The socket.
    watched: Watched,
    /// Before the socket, on a sealed link.
    gate: Option<Gate>,
    /// The join key; without one links are not sealed.
    key: Option<JoinKey>,
    /// What it holds at most.
    bounds: RouterBounds,
    /// Shared with the handles.
    shared: Arc<Shared>,
    /// Where events go.
    events: EventSender<PeerEvent>,
    /// Every connection that has greeted.
    peers: HashMap<PeerId, Peer>,
    /// Their names within libzmq.
    routes: HashMap<Route, PeerId>,
    /// How many connections have greeted so far.
    greetings: u64,
    /// Those in [`Stage::Greeted`], the oldest first.
    greeted: VecDeque<PeerId>,
    /// Those in [`Stage::Closing`], the oldest first.
    closing: VecDeque<PeerId>,
    /// Bytes of batches of all peers that are being put together.
    unfinished_bytes: usize,
    /// Peers to which frames are to be sent now.
    writable: Vec<PeerId>,
    /// Peers that took no frames at the last try.
    blocked: Vec<PeerId>,
    /// When to try them again, and the pause before.
    retry: Option<(Instant, Duration)>,
    /// When to look for a peer that went.
    probe: Option<Probe>,
    /// Since when nobody new is taken, and the end of everything is awaited.
    stopping: Option<Instant>,
    /// What the log says of refused connections.
    refusals: Refusals,
}

/// A look for peers that went.
struct Probe {
    /// When.
    at: Instant,
    /// Which one since a connection broke.
    round: usize,
    /// How often it may be put off.
    patience: u32,
}

impl Probe {
    fn round(round: usize, now: Instant) -> Option<Self> {
        let pause = PROBE_PAUSES.get(round)?;
        Some(Self { at: now + *pause, round, patience: PROBE_PATIENCE })
    }
}

impl Thread {
    /// Listens; gives the address as well.
    pub(super) fn bind(
        front: Front,
        key: Option<JoinKey>,
        bounds: RouterBounds,
        shared: Arc<Shared>,
        events: EventSender<PeerEvent>,
    ) -> Result<(Self, String), BindFailure> {
        let (watched, address, gate) = match front {
            Front::Direct(address) => {
                let watched = Watched::router(&zmq_address(address))?;
                // The error is for text that is not UTF-8, which libzmq does not write here.
                let address = watched.socket.get_last_endpoint()?.unwrap_or_else(|_| zmq_address(address));
                (watched, address, None)
            }
            Front::Gated(listener) => {
                let address = zmq_address(listener.local_addr()?);
                let place = Place::new()?;
                let watched = Watched::router(&place.zmq_address())?;
                let gate = Gate::open(listener, place, bounds.peers)?;
                (watched, address, Some(gate))
            }
        };
        let thread = Self {
            watched,
            gate,
            key,
            bounds,
            shared,
            events,
            peers: HashMap::new(),
            routes: HashMap::new(),
            greetings: 0,
            greeted: VecDeque::new(),
            closing: VecDeque::new(),
            unfinished_bytes: 0,
            writable: Vec::new(),
            blocked: Vec::new(),
            retry: None,
            probe: None,
            stopping: None,
            refusals: Refusals::default(),
        };
        Ok((thread, address))
    }

    /// Works until the handles or the receiver of the events are gone.
    pub(super) fn run(mut self) {
        loop {
            match self.turn() {
                Ok(true) => {}
                Ok(false) => break,
                Err(error) => {
                    tracing::error!(%error, "the socket of the worker link failed");
                    let peers: Vec<PeerId> = self.peers.keys().copied().collect();
                    peers.into_iter().for_each(|peer| self.end(peer, CloseReason::Socket(error)));
                    break;
                }
            }
        }
        self.watched.close(LINGER);
        if let Some(gate) = self.gate {
            gate.close();
        }
        self.events.finish(CLOSING_TIME);
    }

    /// One round: waits, then does whatever there is to do. Gives whether to go on.
    fn turn(&mut self) -> zmq::Result<bool> {
        self.wait()?;
        self.shared.waker.clear();
        let now = Instant::now();
        let orders = self.shared.take_orders();
        self.carry_out(orders, now);
        let drained = self.read(now)?;
        self.keep_time(now, drained)?;
        // Last, so that what came before a connection broke is read before anybody looks for it.
        self.look_at_monitor(now)?;
        for peer in std::mem::take(&mut self.writable) {
            self.write(peer)?;
        }
        if !self.blocked.is_empty() && self.retry.is_none() {
            self.retry = Some((now + FIRST_RETRY, FIRST_RETRY));
        }
        let over = self.stopping.is_some_and(|since| self.peers.is_empty() || now >= since + CLOSING_TIME);
        Ok(!over)
    }

    fn wait(&self) -> zmq::Result<()> {
        let timeout = if self.writable.is_empty() {
            self.next_deadline().map(|at| at.saturating_duration_since(Instant::now()))
        } else {
            Some(Duration::ZERO)
        };
        let mut items = [
            zmq::PollItem::from_fd(self.shared.waker.raw_fd(), zmq::POLLIN),
            self.watched.monitor.as_poll_item(),
            self.watched.socket.as_poll_item(zmq::POLLIN),
        ];
        // While events find no room the socket is not read, and its peers are made to wait.
        let count = if self.events.is_clear() { 3 } else { 2 };
        socket::poll(&mut items[..count], timeout)
    }

    fn next_deadline(&self) -> Option<Instant> {
        let stage_end = |peer: &PeerId| match self.peers.get(peer)?.stage {
            Stage::Greeted(until) | Stage::Closing { until, .. } => Some(until),
            Stage::Open => None,
        };
        let deadlines = [
            self.greeted.front().and_then(stage_end),
            self.closing.front().and_then(stage_end),
            self.retry.map(|(at, _)| at),
            // While nothing is read there is no use in looking for those who went.
            self.probe.as_ref().filter(|_| self.events.is_clear()).map(|probe| probe.at),
            self.stopping.map(|since| since + CLOSING_TIME),
        ];
        deadlines.into_iter().flatten().min()
    }

    fn carry_out(&mut self, orders: Orders, now: Instant) {
        self.writable.extend(orders.filled);
        for (peer, rest) in orders.close {
            self.begin_closing(peer, rest, now);
        }
        for peer in orders.overflown {
            self.end(peer, CloseReason::Overflow);
        }
        if self.stopping.is_none() && (orders.stop || self.events.is_closed()) {
            self.stopping = Some(now);
            let greeted = std::mem::take(&mut self.greeted);
            greeted.into_iter().for_each(|peer| self.end(peer, CloseReason::Asked));
            let open: Vec<PeerId> = self.peers.keys().copied().collect();
            for peer in open {
                let rest = self.shared.remove(peer);
                self.begin_closing(peer, rest, now);
            }
        }
    }

    /// Announces the end of an open connection, and lets what waits leave.
    fn begin_closing(&mut self, id: PeerId, rest: outbox::Outbox, now: Instant) {
        let Some(peer) = self.peers.get_mut(&id).filter(|peer| matches!(peer.stage, Stage::Open)) else { return };
        self.unfinished_bytes -= std::mem::take(&mut peer.joiner).unfinished_bytes();
        peer.stage = Stage::Closing { until: now + CLOSING_TIME, rest, noticed: false };
        self.closing.push_back(id);
        self.writable.push(id);
        self.events.push(PeerEvent::Closed { peer: id, reason: CloseReason::Asked }, 0);
    }

    /// Ends a connection now. Its other side is told, if it is still there.
    fn end(&mut self, id: PeerId, reason: CloseReason) {
        let Some(peer) = self.peers.remove(&id) else { return };
        self.routes.remove(&peer.route);
        self.unfinished_bytes -= peer.joiner.unfinished_bytes();
        if !matches!(reason, CloseReason::Lost | CloseReason::ByOtherSide) {
            // If it is not taken now, the next frame from there is answered with another.
            let _ = socket::send_to(&self.watched.socket, &peer.route, closed_notice());
        }
        if let Some(gate) = &self.gate {
            gate.cut(&peer.route);
        }
        match peer.stage {
            Stage::Greeted(_) => self.greeted.retain(|other| *other != id),
            Stage::Open => {
                self.shared.remove(id);
                self.events.push(PeerEvent::Closed { peer: id, reason }, 0);
            }
            Stage::Closing { .. } => self.closing.retain(|other| *other != id),
        }
    }

    /// Reads what has come, up to a bound. Gives whether that was all.
    fn read(&mut self, now: Instant) -> zmq::Result<bool> {
        for _ in 0..FRAMES_PER_ROUND {
            if !self.events.flush() {
                return Ok(false);
            }
            let Some((route, more)) = socket::receive(&self.watched.socket)? else { return Ok(true) };
            // A ROUTER gives a name and what was sent under it, together.
            if !more {
                continue;
            }
            let Some((mut frame, more)) = socket::receive(&self.watched.socket)? else { continue };
            if more {
                socket::skip_rest(&self.watched.socket)?;
                if let Some(id) = self.routes.get(&route[..]).copied() {
                    self.end(id, Violation::Multipart.into());
                }
                continue;
            }
            match self.routes.get(&route[..]).copied() {
                // Empty frames only try whether a connection stands.
                _ if frame.is_empty() => {}
                Some(id) => {
                    if let Err(reason) = self.take_frame(id, &frame) {
                        self.end(id, reason);
                    }
                }
                None => {
                    let address = match &self.gate {
                        Some(_) => gate::address(&route),
                        None => frame.gets("Peer-Address").and_then(|address| address.parse().ok()),
                    };
                    // At an IPv6 socket, IPv4 comes written as IPv6.
                    let address = address.map(|address: IpAddr| address.to_canonical().to_string());
                    self.meet(&route, &frame, address, now)?;
                }
            }
        }
        Ok(false)
    }

    /// Takes the first frame of a connection: a greeting, or else nothing of ours.
    fn meet(&mut self, route: &[u8], frame: &[u8], address: Option<String>, now: Instant) -> zmq::Result<()> {
        let established = self.peers.len() - self.greeted.len();
        let room = established < self.bounds.peers && self.stopping.is_none();
        match answer(frame, self.key.as_ref(), room) {
            Answer::Refused { why, reply } => {
                self.refusals.log(now, address.as_deref(), why);
                match socket::send_to(&self.watched.socket, route, reply) {
                    // It can wait for its own timeout if it does not take the answer.
                    Ok(_) | Err(zmq::Error::EHOSTUNREACH) => {}
                    Err(error) => return Err(error),
                }
                if let Some(gate) = &self.gate {
                    gate.cut(route);
                }
                Ok(())
            }
            Answer::Accepted { session, reply } => {
                if self.greeted.len() >= MAX_GREETING
                    && let Some(oldest) = self.greeted.front().copied()
                {
                    self.refuse_silent(oldest, now);
                }
                self.greetings += 1;
                let (id, route) = (PeerId(self.greetings), Route::from(route));
                let mut peer = Peer::new(id, route.clone(), session, reply, now + GREETING_TIME);
                peer.address = address;
                self.routes.insert(route, id);
                self.peers.insert(id, peer);
                self.greeted.push_back(id);
                self.write(id).map(drop)
            }
        }
    }

    fn refuse_silent(&mut self, id: PeerId, now: Instant) {
        let address = self.peers.get(&id).and_then(|peer| peer.address.as_deref());
        self.refusals.log(now, address, Refusal::Silent);
        self.end(id, CloseReason::Asked);
    }

    /// Takes a frame of a connection that has greeted.
    fn take_frame(&mut self, id: PeerId, frame: &[u8]) -> Result<(), CloseReason> {
        let established = self.peers.len() - self.greeted.len();
        let Some(peer) = self.peers.get_mut(&id) else { return Ok(()) };
        if matches!(peer.stage, Stage::Closing { .. }) {
            return Ok(());
        }
        if is_closed_notice(frame) {
            return Err(CloseReason::ByOtherSide);
        }
        let frame = peer.session.open(frame)?;
        let before = peer.joiner.unfinished_bytes();
        let arrived = peer.joiner.take(&frame, self.bounds.unfinished_bytes - self.unfinished_bytes + before);
        self.unfinished_bytes = self.unfinished_bytes - before + peer.joiner.unfinished_bytes();
        match (arrived?, &peer.stage) {
            (Arrived::Ready, Stage::Greeted(_)) => {
                self.greeted.retain(|other| *other != id);
                if established >= self.bounds.peers {
                    // Others were faster since its greeting was answered. As it was never open, this
                    // reason is told to nobody.
                    self.greeted.push_back(id);
                    return Err(CloseReason::Crowded);
                }
                peer.stage = Stage::Open;
                self.shared.open(id);
                self.events.push(PeerEvent::Opened { peer: id, address: peer.address.clone() }, 0);
            }
            (Arrived::Batch(batch), Stage::Open) => {
                let messages = outbox::decode(&batch)?;
                if !messages.is_empty() {
                    self.events.push(PeerEvent::Messages { peer: id, messages }, batch.len());
                }
            }
            (Arrived::Part, Stage::Open) => {}
            _ => return Err(Violation::Head.into()),
        }
        Ok(())
    }

    fn look_at_monitor(&mut self, now: Instant) -> zmq::Result<()> {
        while let Some(happened) = self.watched.monitor.next()? {
            if happened == Happened::Disconnected {
                self.probe = Probe::round(0, now);
            }
        }
        Ok(())
    }

    /// Does what is due.
    fn keep_time(&mut self, now: Instant, drained: bool) -> zmq::Result<()> {
        while let Some(id) = self.greeted.front().copied()
            && self.is_late(id, now)
        {
            self.refuse_silent(id, now);
        }
        while let Some(id) = self.closing.front().copied()
            && self.is_late(id, now)
        {
            self.end(id, CloseReason::Asked);
        }
        if let Some((at, pause)) = self.retry
            && now >= at
        {
            let waiting = std::mem::take(&mut self.blocked);
            let mut moved = false;
            for id in waiting {
                if let Some(peer) = self.peers.get_mut(&id) {
                    peer.blocked = false;
                    moved |= self.write(id)?;
                }
            }
            let pause = if moved { FIRST_RETRY } else { LAST_RETRY.min(2 * pause) };
            self.retry = (!self.blocked.is_empty()).then(|| (now + pause, pause));
        }
        if let Some(probe) = &mut self.probe
            && now >= probe.at
            && self.events.is_clear()
        {
            if !drained && probe.patience > 0 {
                probe.patience -= 1;
            } else {
                let round = probe.round;
                self.find_lost()?;
                self.probe = Probe::round(round + 1, now);
            }
        }
        Ok(())
    }

    fn is_late(&self, id: PeerId, now: Instant) -> bool {
        match self.peers.get(&id).map(|peer| &peer.stage) {
            Some(Stage::Greeted(until) | Stage::Closing { until, .. }) => now >= *until,
            _ => true,
        }
    }

    /// Ends every connection that cannot be sent to any more. libzmq says that one broke, not which.
    fn find_lost(&mut self) -> zmq::Result<()> {
        let mut lost = Vec::new();
        for (id, peer) in &self.peers {
            match socket::send_to(&self.watched.socket, &peer.route, Vec::new()) {
                Ok(_) => {}
                Err(zmq::Error::EHOSTUNREACH) => lost.push(*id),
                Err(error) => return Err(error),
            }
        }
        lost.into_iter().for_each(|id| self.end(id, CloseReason::Lost));
        Ok(())
    }

    /// Sends a peer what waits for it, as far as it takes it and others have their turn. Gives whether it
    /// took anything.
    fn write(&mut self, id: PeerId) -> zmq::Result<bool> {
        let mut moved = false;
        for _ in 0..FRAMES_PER_TURN {
            let Some(peer) = self.peers.get_mut(&id).filter(|peer| !peer.blocked) else { return Ok(moved) };
            match peer.next_frame(&self.shared) {
                Ok(Some(frame)) => match socket::send_to(&self.watched.socket, &peer.route, frame) {
                    Ok(None) => moved = true,
                    Ok(Some(frame)) => {
                        peer.ready = Some(frame);
                        peer.blocked = true;
                        self.blocked.push(id);
                        return Ok(moved);
                    }
                    Err(zmq::Error::EHOSTUNREACH) => {
                        // What it said last may be unread; the look for lost peers comes after.
                        self.probe = Probe::round(0, Instant::now());
                        return Ok(moved);
                    }
                    Err(error) => return Err(error),
                },
                Ok(None) => {
                    if peer.is_done() {
                        // Its end was announced when it began, and the other side has the notice.
                        self.end(id, CloseReason::Lost);
                    }
                    return Ok(moved);
                }
                Err(reason) => {
                    self.end(id, reason);
                    return Ok(moved);
                }
            }
        }
        self.writable.push(id);
        Ok(moved)
    }
}
