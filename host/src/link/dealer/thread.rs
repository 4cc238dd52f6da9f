//! The dealer's thread: the only one that touches its socket.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bulkhead_protocol::codec;
use bulkhead_protocol::worker_message::MAX_BATCH_BYTES;

use super::shared::Shared;
use super::{ConnectError, DealerEvent, Refused};
use crate::link::bounds::{CLOSING_TIME, FRAMES_PER_ROUND, LINGER};
use crate::link::close::{CloseReason, Violation};
use crate::link::events::EventSender;
use crate::link::frame::{Arrived, Cutter, Joiner, ready, whole};
use crate::link::key::JoinKey;
use crate::link::outbox;
use crate::link::session::{Introduction, Session, closed_notice, is_closed_notice};
use crate::link::socket::{self, Happened, Watched};

/// The thread's state.
pub(super) struct Thread {
    /// The socket.
    watched: Watched,
    /// Shared with the handles.
    shared: Arc<Shared>,
    /// Where events go.
    events: EventSender<DealerEvent>,
    /// Opens what comes and seals what goes.
    session: Session,
    /// Puts together what comes.
    joiner: Joiner,
    /// The batch that is being sent.
    cutter: Option<Cutter>,
    /// A frame that is ready and that libzmq did not take yet.
    ready: Option<Vec<u8>>,
    /// Whether the connection broke; what came before is still read.
    lost: bool,
    /// Since when the end is awaited.
    stopping: Option<Instant>,
    /// Whether the notice of the end is made.
    noticed: bool,
}

impl Thread {
    /// Connects and greets.
    pub(super) fn connect(
        address: SocketAddr,
        key: Option<&JoinKey>,
        timeout: Duration,
        shared: Arc<Shared>,
        events: EventSender<DealerEvent>,
    ) -> Result<Self, Refused> {
        let deadline = Instant::now() + timeout;
        let (introduction, greeting) = Introduction::begin(key)?;
        let watched = Watched::dealer(address, timeout)?;
        let answer = greet(&watched, greeting, deadline, &shared)?;
        let mut session = introduction.finish(&answer)?;
        let ready = Some(session.seal(ready()).map_err(ConnectError::Noise)?);
        Ok(Self {
            watched,
            shared,
            events,
            session,
            joiner: Joiner::default(),
            cutter: None,
            ready,
            lost: false,
            stopping: None,
            noticed: false,
        })
    }

    /// Works until the connection, the handles or the receiver of the events are gone.
    pub(super) fn run(mut self) {
        let reason = loop {
            match self.turn() {
                Ok(true) => {}
                Ok(false) => break CloseReason::Asked,
                Err(reason) => break reason,
            }
        };
        if let CloseReason::Socket(error) = &reason {
            tracing::error!(%error, "the socket of the worker link failed");
        }
        self.shared.stop();
        let linger = if reason == CloseReason::Asked { LINGER } else { Duration::ZERO };
        self.watched.close(linger);
        self.events.push(DealerEvent::Closed { reason }, 0);
        self.events.finish(CLOSING_TIME);
    }

    /// One round: waits, then does whatever there is to do. Gives whether to go on.
    fn turn(&mut self) -> Result<bool, CloseReason> {
        self.wait()?;
        self.shared.waker.clear();
        if self.stopping.is_none() && (self.shared.is_stopped() || self.events.is_closed()) {
            self.shared.stop();
            self.stopping = Some(Instant::now());
        }
        let drained = self.read()?;
        if self.lost && drained {
            return Err(CloseReason::Lost);
        }
        // After the read, so that what came before the connection broke is read in the next turn.
        while let Some(happened) = self.watched.monitor.next()? {
            self.lost |= happened == Happened::Disconnected;
        }
        let all_sent = self.write()?;
        Ok(self.stopping.is_none_or(|since| !all_sent && since.elapsed() < CLOSING_TIME))
    }

    fn wait(&self) -> zmq::Result<()> {
        let timeout = self.stopping.map(|since| CLOSING_TIME.saturating_sub(since.elapsed()));
        // After a turn that sent as much as it may, more is sent as soon as there is room.
        let (read, write) = (self.events.is_clear(), self.ready.is_some() || self.cutter.is_some());
        // Once it is lost there is nothing to wait for but room for its last words.
        let timeout = if self.lost && read { Some(Duration::ZERO) } else { timeout };
        let mut events = zmq::PollEvents::empty();
        events.set(zmq::POLLIN, read);
        events.set(zmq::POLLOUT, write && !self.lost);
        let mut items = [
            zmq::PollItem::from_fd(self.shared.waker.raw_fd(), zmq::POLLIN),
            self.watched.monitor.as_poll_item(),
            self.watched.socket.as_poll_item(events),
        ];
        let count = if events.is_empty() { 2 } else { 3 };
        socket::poll(&mut items[..count], timeout)
    }

    /// Reads what has come, up to a bound. Gives whether that was all.
    fn read(&mut self) -> Result<bool, CloseReason> {
        for _ in 0..FRAMES_PER_ROUND {
            if !self.events.flush() {
                return Ok(false);
            }
            let Some((frame, more)) = socket::receive(&self.watched.socket)? else { return Ok(true) };
            if more {
                return Err(Violation::Multipart.into());
            }
            // Empty frames only try whether the connection stands.
            if !frame.is_empty() {
                self.take_frame(&frame)?;
            }
        }
        Ok(false)
    }

    fn take_frame(&mut self, frame: &[u8]) -> Result<(), CloseReason> {
        if is_closed_notice(frame) {
            return Err(CloseReason::ByOtherSide);
        }
        let frame = self.session.open(frame)?;
        match self.joiner.take(&frame, MAX_BATCH_BYTES)? {
            Arrived::Batch(batch) => {
                let messages = outbox::decode(&batch)?;
                if !messages.is_empty() && self.stopping.is_none() {
                    self.events.push(DealerEvent::Messages(messages), batch.len());
                }
                Ok(())
            }
            Arrived::Part => Ok(()),
            // The dispatcher has nothing to prove.
            Arrived::Ready => Err(Violation::Head.into()),
        }
    }

    /// Sends what waits, as far as libzmq takes it. Gives whether nothing is left.
    fn write(&mut self) -> Result<bool, CloseReason> {
        for _ in 0..FRAMES_PER_ROUND {
            let Some(frame) = self.next_frame()? else { return Ok(true) };
            if let Some(frame) = socket::send(&self.watched.socket, frame)? {
                self.ready = Some(frame);
                return Ok(false);
            }
        }
        // The rest after the other things that there are to do.
        self.ready = self.next_frame()?;
        Ok(self.ready.is_none())
    }

    /// The next frame to send; none when nothing waits.
    fn next_frame(&mut self) -> Result<Option<Vec<u8>>, CloseReason> {
        if let Some(frame) = self.ready.take() {
            return Ok(Some(frame));
        }
        let codec = |error: codec::Error| Violation::Batch { reason: error.to_string() };
        let mut frame = match self.cutter {
            Some(_) => self.shared.take_heartbeat().map_err(codec)?.map(|heartbeat| whole(&heartbeat)),
            None => None,
        };
        if frame.is_none() {
            frame = self.cutter.as_mut().and_then(Cutter::next);
        }
        if frame.is_none() {
            self.cutter = self.shared.take_batch().map_err(codec)?.map(Cutter::new);
            frame = self.cutter.as_mut().and_then(Cutter::next);
        }
        match frame {
            Some(frame) => self.session.seal(frame).map(Some).map_err(|_| Violation::Seal.into()),
            None if self.stopping.is_some() && !std::mem::replace(&mut self.noticed, true) => Ok(Some(closed_notice())),
            None => Ok(None),
        }
    }
}

/// Sends the greeting and waits for the answer.
fn greet(watched: &Watched, greeting: Vec<u8>, deadline: Instant, shared: &Shared) -> Result<Vec<u8>, Refused> {
    let Watched { socket, monitor } = watched;
    let mut greeting = Some(greeting);
    let mut connected = false;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(if connected { Refused::Timeout } else { Refused::Unreachable });
        }
        let mut events = zmq::POLLIN;
        events.set(zmq::POLLOUT, greeting.is_some());
        let waker = zmq::PollItem::from_fd(shared.waker.raw_fd(), zmq::POLLIN);
        let mut items = [waker, monitor.as_poll_item(), socket.as_poll_item(events)];
        socket::poll(&mut items, Some(left))?;
        shared.waker.clear();
        if shared.is_stopped() {
            return Err(ConnectError::Dropped.into());
        }
        if let Some(frame) = greeting.take() {
            greeting = socket::send(socket, frame)?;
        }
        while let Some((frame, _)) = socket::receive(socket)? {
            if !frame.is_empty() {
                return Ok(frame.to_vec());
            }
        }
        match monitor.next()? {
            None => {}
            Some(Happened::Connected) => connected = true,
            Some(Happened::Failed) => return Err(Refused::Unreachable),
            Some(Happened::HandshakeFailed) => return Err(ConnectError::NotOurs.into()),
            Some(Happened::Disconnected | Happened::Stopped) => return Err(ConnectError::Dropped.into()),
        }
    }
}
