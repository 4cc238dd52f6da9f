//! What the handles of a dealer share with its thread: the outbox.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bulkhead_protocol::codec;
use bulkhead_protocol::worker_message::ToDispatcher;
use tokio::sync::Notify;

use crate::link::bounds::{DEALER_OUTBOX_BYTES, DEALER_OUTBOX_MESSAGES};
use crate::link::close::SendError;
use crate::link::outbox::{Encoded, Outbox, OutboxBounds};
use crate::link::wake::Waker;

/// What may wait.
const BOUNDS: OutboxBounds = OutboxBounds { bytes: DEALER_OUTBOX_BYTES, messages: DEALER_OUTBOX_MESSAGES };

/// The outbox of the connection.
pub(super) struct Shared {
    /// Wakes the thread.
    pub(super) waker: Arc<Waker>,
    /// Wakes those who wait for room.
    pub(super) room: Notify,
    /// Under the lock.
    state: Mutex<State>,
}

/// What is under the lock.
#[derive(Default)]
struct State {
    /// What waits.
    outbox: Outbox,
    /// Whether the connection is over, or about to be.
    stop: bool,
}

impl Shared {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self { waker: Arc::new(Waker::new()?), room: Notify::new(), state: Mutex::default() })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Every change under the lock is whole before anything that could panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// By a handle: adds to the outbox. What could fit later comes back with the error.
    pub(super) fn push(&self, encoded: Encoded) -> Result<(), (SendError, Option<Encoded>)> {
        let mut state = self.state();
        if state.stop {
            return Err((SendError::Closed, None));
        }
        if !state.outbox.has_room(&encoded, BOUNDS) {
            let ever = Outbox::default().has_room(&encoded, BOUNDS);
            return Err((SendError::Full, ever.then_some(encoded)));
        }
        state.outbox.push(encoded);
        self.waker.wake();
        Ok(())
    }

    /// By a handle, or by the thread when it ends: no more is sent.
    pub(super) fn stop(&self) {
        self.state().stop = true;
        self.waker.wake();
        self.room.notify_waiters();
    }

    /// By the thread: whether a handle asked for the end.
    pub(super) fn is_stopped(&self) -> bool {
        self.state().stop
    }

    /// By the thread: the next batch.
    pub(super) fn take_batch(&self) -> Result<Option<Vec<u8>>, codec::Error> {
        let taken = self.state().outbox.take_batch::<ToDispatcher>();
        self.room.notify_waiters();
        taken
    }

    /// By the thread: a heartbeat, in the middle of a batch.
    pub(super) fn take_heartbeat(&self) -> Result<Option<Vec<u8>>, codec::Error> {
        self.state().outbox.take_heartbeat::<ToDispatcher>()
    }
}
