//! What the router's thread knows of one peer.

use std::sync::Arc;
use std::time::Instant;

use bulkhead_protocol::worker_message::ToWorker;

use super::PeerId;
use super::shared::Shared;
use crate::link::close::{CloseReason, Violation};
use crate::link::frame::{Cutter, Joiner, whole};
use crate::link::outbox::Outbox;
use crate::link::session::{Session, closed_notice};

/// The name that libzmq gave to a connection.
pub(super) type Route = Arc<[u8]>;

/// A connection that has greeted.
pub(super) struct Peer {
    /// Its id.
    pub(super) id: PeerId,
    /// Its name within libzmq.
    pub(super) route: Route,
    /// Its IP address.
    pub(super) address: Option<String>,
    /// How far it is.
    pub(super) stage: Stage,
    /// Opens what comes and seals what goes.
    pub(super) session: Session,
    /// Puts together what comes.
    pub(super) joiner: Joiner,
    /// The batch that is being sent.
    cutter: Option<Cutter>,
    /// A frame that is ready and that libzmq did not take yet.
    pub(super) ready: Option<Vec<u8>>,
    /// Whether it waits for the next try.
    pub(super) blocked: bool,
}

/// How far a connection is.
pub(super) enum Stage {
    /// It has a session and must show that it knows it, until then.
    Greeted(Instant),
    /// It is a [`super::PeerEvent`]'s peer.
    Open,
    /// Its end is announced; what was sent before may leave until then.
    Closing {
        /// Until when.
        until: Instant,
        /// What was sent before.
        rest: Outbox,
        /// Whether the notice of the end is made.
        noticed: bool,
    },
}

impl Peer {
    /// A connection whose greeting was accepted with `reply`.
    pub(super) fn new(id: PeerId, route: Route, session: Session, reply: Vec<u8>, until: Instant) -> Self {
        Self {
            id,
            route,
            address: None,
            stage: Stage::Greeted(until),
            session,
            joiner: Joiner::default(),
            cutter: None,
            ready: Some(reply),
            blocked: false,
        }
    }

    /// The next frame to send; none when nothing waits.
    pub(super) fn next_frame(&mut self, shared: &Shared) -> Result<Option<Vec<u8>>, CloseReason> {
        if let Some(frame) = self.ready.take() {
            return Ok(Some(frame));
        }
        let codec = |error: bulkhead_protocol::codec::Error| Violation::Batch { reason: error.to_string() };
        if self.cutter.is_some()
            && let Some(heartbeat) = shared.take_heartbeat(self.id).map_err(codec)?
        {
            return self.seal(whole(&heartbeat)).map(Some);
        }
        if let Some(frame) = self.cutter.as_mut().and_then(Cutter::next) {
            return self.seal(frame).map(Some);
        }
        let batch = match &mut self.stage {
            Stage::Greeted(_) => None,
            Stage::Open => shared.take_batch(self.id).map_err(codec)?,
            Stage::Closing { rest, .. } => rest.take_batch::<ToWorker>().map_err(codec)?,
        };
        self.cutter = batch.map(Cutter::new);
        if let Some(frame) = self.cutter.as_mut().and_then(Cutter::next) {
            return self.seal(frame).map(Some);
        }
        if let Stage::Closing { noticed, .. } = &mut self.stage
            && !std::mem::replace(noticed, true)
        {
            return Ok(Some(closed_notice()));
        }
        Ok(None)
    }

    /// Whether all is sent of a connection whose end is announced, the notice included.
    pub(super) fn is_done(&self) -> bool {
        matches!(self.stage, Stage::Closing { noticed: true, .. }) && self.ready.is_none()
    }

    fn seal(&mut self, frame: Vec<u8>) -> Result<Vec<u8>, CloseReason> {
        self.session.seal(frame).map_err(|_| Violation::Seal.into())
    }
}
