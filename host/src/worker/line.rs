//! The connection to the dispatcher, in whatever state it is.

use std::time::Duration;

use bulkhead_protocol::worker_message::ToDispatcher;
use tokio::time::Instant;

use super::connecting::{Connecting, Connection};
use crate::link::{ConnectError, Dealer, DealerEvent, Events, SendError};

/// The state of the connection.
pub(super) enum Line {
    /// There is none yet.
    Connecting(Connecting),
    /// There is one, and the worker has said hello over it.
    Open(Open),
}

/// A connection.
pub(super) struct Open {
    /// To speak.
    dealer: Dealer,
    /// To hear.
    events: Events<DealerEvent>,
    /// Whether the dispatcher has answered the hello.
    pub(super) is_welcomed: bool,
    /// When it was made.
    pub(super) since: Instant,
    /// When the dispatcher was last heard.
    pub(super) heard: Instant,
    /// When something was last said.
    pub(super) said: Instant,
}

/// What happened on the line.
pub(super) enum Event {
    /// A try to connect ended.
    Tried(Result<Connection, ConnectError>),
    /// The connection told something; none when its thread has ended.
    Told(Option<DealerEvent>),
}

impl Line {
    /// What happens next.
    ///
    /// # Cancel safety
    /// Nothing is lost when the future is dropped.
    pub(super) async fn next(&mut self) -> Event {
        match self {
            Self::Connecting(connecting) => Event::Tried(connecting.ended().await),
            Self::Open(open) => Event::Told(open.events.recv().await),
        }
    }

    /// What has happened already.
    pub(super) fn try_next(&mut self) -> Option<DealerEvent> {
        self.open_mut()?.events.try_recv()
    }

    /// The connection, if there is one.
    pub(super) fn open_mut(&mut self) -> Option<&mut Open> {
        match self {
            Self::Connecting(_) => None,
            Self::Open(open) => Some(open),
        }
    }

    /// The connection, if the dispatcher has welcomed the worker on it.
    pub(super) fn welcomed_mut(&mut self) -> Option<&mut Open> {
        self.open_mut().filter(|open| open.is_welcomed)
    }

    /// Whether the dispatcher has welcomed the worker.
    pub(super) fn is_welcomed(&self) -> bool {
        matches!(self, Self::Open(open) if open.is_welcomed)
    }

    /// Ends the connection once what was said has left.
    pub(super) async fn close(self) {
        if let Self::Open(open) = self {
            open.dealer.close().await;
        }
    }
}

impl Open {
    pub(super) fn new((dealer, events): Connection, now: Instant) -> Self {
        Self { dealer, events, is_welcomed: false, since: now, heard: now, said: now }
    }

    /// To give to whoever speaks.
    pub(super) fn dealer(&self) -> &Dealer {
        &self.dealer
    }

    /// Says one thing at once.
    pub(super) fn say(&mut self, now: Instant, message: ToDispatcher) -> Result<(), SendError> {
        self.said = now;
        self.dealer.send(vec![message])
    }

    /// When the dispatcher is taken for dead.
    pub(super) fn dead_at(&self, dead_after: Duration) -> Instant {
        self.heard + dead_after
    }
}
