//! What the handles of a router share with its thread: the outboxes.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bulkhead_protocol::codec;
use bulkhead_protocol::worker_message::ToWorker;

use super::{Backlog, PeerId};
use crate::link::bounds::RouterBounds;
use crate::link::close::SendError;
use crate::link::outbox::{Encoded, Outbox, OutboxBounds};
use crate::link::wake::Waker;

/// The outboxes of all peers, and what the handles ask of the thread.
pub(super) struct Shared {
    /// Wakes the thread.
    pub(super) waker: Arc<Waker>,
    /// Under the lock.
    state: Mutex<State>,
    /// What one peer may have waiting.
    bounds: OutboxBounds,
    /// Bytes that all peers may have waiting.
    all_bytes: usize,
}

/// What is under the lock.
#[derive(Default)]
struct State {
    /// The outboxes of the peers that were opened and neither closed nor asked to.
    outboxes: HashMap<PeerId, Announced>,
    /// What the thread has not seen yet. Holds each peer at most once.
    orders: Orders,
    /// Bytes in all outboxes.
    bytes: usize,
}

/// An outbox, and whether the thread knows that something is in it.
#[derive(Debug, Default)]
struct Announced {
    /// What waits.
    outbox: Outbox,
    /// Whether the peer is in [`Orders::filled`].
    announced: bool,
}

/// What the handles ask of the thread.
#[derive(Debug, Default)]
pub(super) struct Orders {
    /// Peers for which something was added.
    pub(super) filled: Vec<PeerId>,
    /// Peers to close, with what is to be sent before.
    pub(super) close: Vec<(PeerId, Outbox)>,
    /// Peers to close at once, as too much waited for them.
    pub(super) overflown: Vec<PeerId>,
    /// Whether to close everything and end.
    pub(super) stop: bool,
}

impl Shared {
    pub(super) fn new(bounds: &RouterBounds) -> io::Result<Self> {
        Ok(Self {
            waker: Arc::new(Waker::new()?),
            state: Mutex::default(),
            bounds: OutboxBounds { bytes: bounds.outbox_bytes, messages: bounds.outbox_messages },
            all_bytes: bounds.all_outboxes_bytes,
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Every change under the lock is whole before anything that could panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// By a handle: adds to an outbox.
    pub(super) fn push(&self, peer: PeerId, encoded: Encoded) -> Result<(), SendError> {
        let mut state = self.state();
        let state = &mut *state;
        let Some(Announced { outbox, announced }) = state.outboxes.get_mut(&peer) else {
            return Err(SendError::Closed);
        };
        if !outbox.has_room(&encoded, self.bounds) || state.bytes + encoded.bytes > self.all_bytes {
            state.bytes -= outbox.bytes();
            state.outboxes.remove(&peer);
            state.orders.overflown.push(peer);
            self.waker.wake();
            return Err(SendError::Full);
        }
        state.bytes += encoded.bytes;
        outbox.push(encoded);
        if !outbox.is_empty() && !std::mem::replace(announced, true) {
            state.orders.filled.push(peer);
            self.waker.wake();
        }
        Ok(())
    }

    /// By a handle: what waits for a peer.
    pub(super) fn backlog(&self, peer: PeerId) -> Option<Backlog> {
        let state = self.state();
        let Announced { outbox, .. } = state.outboxes.get(&peer)?;
        Some(Backlog { bytes: outbox.bytes(), messages: outbox.messages() })
    }

    /// By a handle: asks for the end of a connection.
    pub(super) fn close(&self, peer: PeerId) {
        let mut state = self.state();
        if let Some(Announced { outbox, .. }) = state.outboxes.remove(&peer) {
            state.bytes -= outbox.bytes();
            state.orders.close.push((peer, outbox));
            self.waker.wake();
        }
    }

    /// By a handle: asks for the end of everything.
    pub(super) fn stop(&self) {
        self.state().orders.stop = true;
        self.waker.wake();
    }

    /// By the thread: what was asked of it since the last time.
    pub(super) fn take_orders(&self) -> Orders {
        let mut state = self.state();
        let state = &mut *state;
        let orders = std::mem::take(&mut state.orders);
        state.orders.stop = orders.stop;
        for peer in &orders.filled {
            if let Some(entry) = state.outboxes.get_mut(peer) {
                entry.announced = false;
            }
        }
        orders
    }

    /// By the thread: from now on messages may be sent to `peer`.
    pub(super) fn open(&self, peer: PeerId) {
        self.state().outboxes.insert(peer, Announced::default());
    }

    /// By the thread: no more may be sent to `peer`. Gives what waits for it.
    pub(super) fn remove(&self, peer: PeerId) -> Outbox {
        let mut state = self.state();
        let Announced { outbox, .. } = state.outboxes.remove(&peer).unwrap_or_default();
        state.bytes -= outbox.bytes();
        outbox
    }

    /// By the thread: the next batch for a peer.
    pub(super) fn take_batch(&self, peer: PeerId) -> Result<Option<Vec<u8>>, codec::Error> {
        self.take(peer, Outbox::take_batch::<ToWorker>)
    }

    /// By the thread: a heartbeat for a peer that is in the middle of a batch.
    pub(super) fn take_heartbeat(&self, peer: PeerId) -> Result<Option<Vec<u8>>, codec::Error> {
        self.take(peer, Outbox::take_heartbeat::<ToWorker>)
    }

    fn take(
        &self,
        peer: PeerId,
        take: impl FnOnce(&mut Outbox) -> Result<Option<Vec<u8>>, codec::Error>,
    ) -> Result<Option<Vec<u8>>, codec::Error> {
        let mut state = self.state();
        let state = &mut *state;
        let Some(Announced { outbox, .. }) = state.outboxes.get_mut(&peer) else { return Ok(None) };
        let before = outbox.bytes();
        let taken = take(outbox);
        state.bytes -= before - outbox.bytes();
        taken
    }
}
