//! What a session makes of what it hears: of the line and the dispatcher on it, and of attempts that end.

use std::time::Duration;

use bulkhead_protocol::outcome::Report;
use bulkhead_protocol::worker_message::{Assignment, AttemptId, Hello, ToDispatcher, ToWorker};
use tokio::time::Instant;

use super::{Session, WELCOME_WITHIN};
use crate::link::{ConnectError, DealerEvent};
use crate::telemetry::stage::{self, Stage};
use crate::worker::config::{Config, Error};
use crate::worker::connecting::{Connecting, Connection};
use crate::worker::fetches::Wanted;
use crate::worker::hand::{Assigned, Cancelled};
use crate::worker::line::{Event, Line, Open};

/// Bounds of how often a dispatcher may want to hear something.
const HEARTBEAT: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(60));
/// Bounds of how long a dispatcher may want to be silent.
const DEAD_AFTER: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(600));
/// How long a connection must last for its end to be no sign of more to come.
const LASTED: Duration = Duration::from_secs(5);

impl Session {
    /// Follows what happened on the line.
    pub(super) fn follow(&mut self, event: Event) {
        match event {
            Event::Tried(Ok(connection)) => self.greet(connection),
            Event::Tried(Err(error)) => self.not_connected(error),
            Event::Told(Some(DealerEvent::Messages(messages))) => {
                if let Some(open) = self.line.open_mut() {
                    open.heard = Instant::now();
                }
                for message in messages {
                    self.hear(message);
                }
            }
            Event::Told(Some(DealerEvent::Closed { reason })) => self.lose(&reason.to_string()),
            Event::Told(None) => self.lose("the link ended"),
        }
    }

    /// A try to connect failed. At the start there is an end to trying, and errors that stay are told
    /// at once; later the dispatcher may be one that is being set right.
    fn not_connected(&mut self, error: ConnectError) {
        let now = Instant::now();
        let Line::Connecting(connecting) = &mut self.line else { return };
        if self.joined.is_some() {
            let endpoint = self.config.endpoint.clone();
            if is_lasting(&error) {
                return self.give_up(Error::Connect { endpoint, source: error });
            }
            if now.duration_since(self.began) >= self.config.connect_wait {
                let waited = self.config.connect_wait;
                return self.give_up(Error::GaveUp { endpoint, waited, source: error });
            }
        }
        connecting.again(now, &error);
    }

    fn give_up(&mut self, error: Error) {
        if let Some(joined) = self.joined.take() {
            // Whoever started the worker may be gone.
            let _ = joined.send(Err(error));
        }
        self.is_over = true;
    }

    /// Says hello over a new connection.
    fn greet(&mut self, connection: Connection) {
        if let Line::Connecting(connecting) = &self.line {
            self.failures = connecting.failures();
        }
        let now = Instant::now();
        let mut open = Open::new(connection, now);
        let hello = Hello { in_hand: self.hand.ids(), ..self.hello.clone() };
        let said = open.say(now, ToDispatcher::Hello(hello));
        self.line = Line::Open(open);
        self.dead_after = WELCOME_WITHIN;
        if let Err(error) = said {
            self.lose(&error.to_string());
        }
    }

    /// The connection is over, or not worth keeping. What runs goes on.
    pub(super) fn lose(&mut self, reason: &str) {
        let now = Instant::now();
        let Some(open) = self.line.open_mut() else { return };
        let lasted = now.duration_since(open.since) >= LASTED;
        self.failures = if lasted { 0 } else { self.failures.saturating_add(1) };
        // A worker that leaves and has nothing in hand is done with it.
        if self.leaving.is_none() || !self.hand.is_empty() {
            let endpoint = &self.config.endpoint;
            tracing::warn!(%endpoint, reason, "the connection to the dispatcher ended; connecting again");
        }
        let Config { endpoint, join_key, .. } = &self.config;
        self.line = Line::Connecting(Connecting::new(endpoint.clone(), join_key.clone(), self.failures));
        self.fetches.disconnected();
        self.outbox.clear();
    }

    /// Closes a connection whose other side breaks the rules.
    fn violated(&mut self, what: &str) {
        self.lose(&format!("the dispatcher broke the rules: {what}"));
    }

    fn hear(&mut self, message: ToWorker) {
        let now = Instant::now();
        let mut asked = Vec::new();
        match message {
            ToWorker::Welcome { heartbeat_ms, dead_after_ms } => self.welcomed(now, heartbeat_ms, dead_after_ms),
            ToWorker::Refused { reason } => self.refused(reason),
            ToWorker::Assign(assignment) => self.assigned(assignment),
            ToWorker::Cancel { id } => match self.hand.cancel(id) {
                Cancelled::Ended => self.say_end(id),
                Cancelled::Killed => {}
                Cancelled::Unknown => {
                    tracing::debug!(task_id = %id.task, attempt = id.attempt, "to cancel, and not here");
                }
            },
            ToWorker::Acknowledged { id } => {
                let was_unfinished = self.hand.report(id).is_none();
                self.hand.acknowledged(id);
                if was_unfinished && self.hand.report(id).is_some() {
                    self.say_end(id);
                }
            }
            ToWorker::Heartbeat => {}
            ToWorker::Chunk { package, offset, total, bytes } => {
                self.fetches.chunk(now, package, (offset, total), &bytes, &mut asked);
            }
            ToWorker::NoPackage { package, reason, retryable } => {
                self.fetches.refused(now, package, (reason, retryable), &mut asked);
            }
            ToWorker::Drain => self.leave(None),
            // A new hello is the first word of a new connection.
            ToWorker::Evicted => self.lose("the dispatcher has given this worker up"),
            ToWorker::Dismissed => self.dismissed(),
        }
        self.say_all(asked);
    }

    /// The dispatcher takes the worker: from here on it hears everything that it may not know.
    fn welcomed(&mut self, now: Instant, heartbeat_ms: u64, dead_after_ms: u64) {
        match self.line.open_mut() {
            Some(open) if !open.is_welcomed => open.is_welcomed = true,
            _ => return self.violated("it welcomed the worker twice"),
        }
        self.heartbeat = Duration::from_millis(heartbeat_ms).clamp(HEARTBEAT.0, HEARTBEAT.1);
        self.dead_after =
            Duration::from_millis(dead_after_ms).clamp(DEAD_AFTER.0.max(2 * self.heartbeat), DEAD_AFTER.1);
        let Config { endpoint, slots, .. } = &self.config;
        let in_hand = self.hand.len();
        tracing::info!(worker_id = %self.hello.worker, %endpoint, slots, in_hand, "joined the dispatcher");
        self.outbox.clear();
        self.appetite.welcomed();
        if self.leaving.is_some() {
            self.outbox.push(ToDispatcher::Goodbye);
        }
        for (id, running) in self.hand.running_mut() {
            running.told = None;
            if let Some(at_ms) = running.begun_at_ms {
                self.outbox.push(ToDispatcher::Started { id, at_ms });
            }
        }
        self.hand.ends().for_each(|id| self.outbox.push_end(id));
        let mut asked = Vec::new();
        self.fetches.connected(now, &mut asked);
        self.say_all(asked);
        if let Some(joined) = self.joined.take() {
            // Whoever started the worker may be gone; then so is the sender of commands.
            let _ = joined.send(Ok(()));
        }
    }

    /// The dispatcher does not take the worker. At the start that is the end; later it may change its
    /// mind, as another dispatcher may stand at its address.
    fn refused(&mut self, reason: String) {
        if self.joined.is_some() {
            return self.give_up(Error::Refused { endpoint: self.config.endpoint.clone(), reason });
        }
        self.lose(&format!("the dispatcher refused this worker: {reason}"));
    }

    fn assigned(&mut self, assignment: Box<Assignment>) {
        if !self.line.is_welcomed() {
            // It would believe that the worker has it, and never hear of it again.
            return self.violated("it assigned an attempt before it welcomed the worker");
        }
        let id = assignment.id;
        match self.hand.assign(assignment) {
            Assigned::Taken => self.appetite.assigned(),
            Assigned::Known => {}
            Assigned::Ended => self.say_end(id),
            Assigned::TooMany => self.violated("it assigned more than a worker may have in hand"),
        }
    }

    pub(super) fn ended(&mut self, ended: Result<(AttemptId, Report), tokio::task::JoinError>) {
        // Panics are caught inside the task, and nothing aborts one.
        let Ok((id, report)) = ended else { return };
        stage::reached(Stage::Reported, id.task);
        if let Some(took) = self.hand.ended(Instant::now(), id, report) {
            self.appetite.ran(took);
            self.say_patient_end(id);
        }
    }

    pub(super) fn fetch(&mut self, wanted: Wanted) {
        let mut asked = Vec::new();
        self.fetches.begin(Instant::now(), wanted, &mut asked);
        self.say_all(asked);
    }
}

/// Whether waiting would not help.
fn is_lasting(error: &ConnectError) -> bool {
    match error {
        ConnectError::WrongVersion { .. }
        | ConnectError::KeyNeeded
        | ConnectError::KeyUnexpected
        | ConnectError::WrongKey
        | ConnectError::NotOurs
        | ConnectError::NotLoopback { .. }
        | ConnectError::Noise(_) => true,
        ConnectError::Full
        | ConnectError::Unresolved { .. }
        | ConnectError::Unreachable { .. }
        | ConnectError::Dropped
        | ConnectError::Timeout { .. }
        | ConnectError::Thread(_)
        | ConnectError::Socket(_) => false,
    }
}
