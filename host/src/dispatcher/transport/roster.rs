//! The peers of the link and the workers behind them.

use std::collections::HashMap;
use std::time::Duration;

use bulkhead_dispatch::{Input, WorkerKind, WorkerStats};
use bulkhead_protocol::id::{PackageId, TaskId, WorkerId};
use bulkhead_protocol::outcome::Report;
use bulkhead_protocol::task::Progress;
use bulkhead_protocol::worker_message::{
    AttemptId, CHUNK_BYTES, Hello, MAX_AHEAD, MAX_CHUNKS_ASKED, MAX_IN_HAND, ToDispatcher, ToWorker, WorkerMode,
};
use tokio::time::Instant;

use super::hello::{self, Refused};
use super::packages::Request;
use super::untrusted::{bounded_progress, bounded_report};
use super::worker::{Cancel, End, Worker};
use crate::dispatcher::config::Remote;
use crate::link::{PeerEvent, PeerId, Router, SendError};
use crate::store::WorkerRecord;

/// Chunks that a worker may have asked for and not been sent; whoever asks for more is cut off.
pub(super) const MAX_CHUNKS_WAITING: u32 = 8 * MAX_CHUNKS_ASKED;

/// Bytes of inputs on their way to all workers together, beyond which a large one is kept back. Below
/// what the link lets wait for all peers.
const MAX_ALL_UNSTARTED_BYTES: u64 = 1024 * 1024 * 1024;

/// An input from which on that is counted.
const LARGE_INPUT_BYTES: u64 = 256 * 1024;

/// What the driver makes of what workers say.
#[derive(Debug)]
pub(in crate::dispatcher) enum Heard {
    /// For the state machine as it is.
    Input(Input),
    /// An attempt began. Not said twice.
    Begun {
        /// Where.
        worker: WorkerId,
        /// Which.
        id: AttemptId,
        /// When, by the worker's clock; milliseconds since the Unix epoch.
        at_ms: u64,
    },
    /// An attempt ended. Not said twice.
    Ended {
        /// Where.
        worker: WorkerId,
        /// Which.
        id: AttemptId,
        /// How, within bounds.
        report: Report,
    },
    /// A running function said how far it is.
    Progress {
        /// Whose.
        task: TaskId,
        /// What, within bounds.
        progress: Progress,
    },
    /// A part of a package is wanted.
    Fetch {
        /// The package.
        package: PackageId,
        /// Which part, and by whom.
        request: Request,
    },
}

/// A connection.
#[derive(Debug)]
enum Peer {
    /// It said nothing yet.
    Silent {
        /// When it came.
        since: Instant,
    },
    /// It is a worker's.
    Serves(WorkerId),
}

/// Why a connection is ended by this side, for the log.
#[derive(Debug, thiserror::Error)]
enum Misuse {
    /// It began with something else than an introduction.
    #[error("it did not begin with a hello")]
    NoHello,
    /// It introduced itself twice.
    #[error("it said hello twice")]
    SecondHello,
    /// It asks for more of packages than it may at once.
    #[error("it asked for more than {MAX_CHUNKS_WAITING} chunks at once")]
    TooManyChunks,
    /// It connected and said nothing.
    #[error("it said nothing")]
    Silence,
}

/// The peers of the link and the workers behind them.
pub(in crate::dispatcher) struct Roster {
    /// Sends.
    router: Router,
    /// The workers that are taken.
    takes: WorkerMode,
    /// How often each side says something.
    heartbeat: Duration,
    /// Silence after which each side takes the other for dead.
    dead_after: Duration,
    /// Most workers.
    max_workers: usize,
    /// The open connections.
    peers: HashMap<PeerId, Peer>,
    /// The workers that said hello and were neither evicted nor dismissed.
    workers: HashMap<WorkerId, Worker>,
    /// Workers to which something is to be said.
    touched: Vec<WorkerId>,
    /// Workers with attempts that are kept back, now or before.
    crowded: Vec<WorkerId>,
    /// Whether a worker came, went or changed since this was last asked.
    has_changed: bool,
}

impl Roster {
    pub(in crate::dispatcher) fn new(router: Router, remote: &Remote, takes: WorkerMode) -> Self {
        Self {
            router,
            takes,
            heartbeat: remote.heartbeat,
            dead_after: remote.dead_after,
            max_workers: remote.max_workers,
            peers: HashMap::new(),
            workers: HashMap::new(),
            touched: Vec::new(),
            crowded: Vec::new(),
            has_changed: false,
        }
    }

    /// Takes note of what happened at the link; what comes of it is added to `heard`.
    pub(in crate::dispatcher) fn hear(&mut self, event: PeerEvent, now_ms: u64, heard: &mut Vec<Heard>) {
        match event {
            PeerEvent::Opened { peer, address } => {
                tracing::debug!(%peer, address, "a worker connects");
                self.peers.insert(peer, Peer::Silent { since: Instant::now() });
            }
            PeerEvent::Messages { peer, messages } => {
                // Whatever it says, it lives: a worker that tells of progress sends no heartbeats beside.
                if let Some(Peer::Serves(id)) = self.peers.get(&peer) {
                    heard.push(Heard::Input(Input::Heartbeat { worker: *id }));
                }
                for message in messages {
                    if let Err(misuse) = self.message(peer, message, now_ms, heard) {
                        tracing::warn!(%peer, error = &misuse as &dyn std::error::Error, "a worker is cut off");
                        self.router.close(peer);
                        self.gone(peer, heard);
                        break;
                    }
                }
            }
            PeerEvent::Closed { peer, reason } => {
                tracing::debug!(%peer, error = &reason as &dyn std::error::Error, "a connection ended");
                self.gone(peer, heard);
            }
        }
    }

    /// A connection is over.
    fn gone(&mut self, peer: PeerId, heard: &mut Vec<Heard>) {
        let Some(Peer::Serves(id)) = self.peers.remove(&peer) else { return };
        let Some(worker) = self.workers.get_mut(&id).filter(|worker| worker.peer == Some(peer)) else { return };
        self.has_changed = true;
        tracing::warn!(worker_id = %id, name = worker.name, "the connection to a worker broke");
        worker.disconnected();
        heard.push(Heard::Input(Input::Disconnected { worker: id }));
    }

    fn message(
        &mut self,
        peer: PeerId,
        message: ToDispatcher,
        now_ms: u64,
        heard: &mut Vec<Heard>,
    ) -> Result<(), Misuse> {
        match (self.peers.get(&peer), message) {
            // What came before the connection was ended by this side.
            (None, _) => Ok(()),
            (Some(Peer::Silent { .. }), ToDispatcher::Hello(hello)) => {
                self.hello(peer, hello, now_ms, heard);
                Ok(())
            }
            // Heartbeats may overtake other messages.
            (Some(Peer::Silent { .. }), ToDispatcher::Heartbeat) => Ok(()),
            (Some(Peer::Silent { .. }), _) => Err(Misuse::NoHello),
            (Some(Peer::Serves(id)), message) => self.said(*id, peer, message, heard),
        }
    }

    /// A worker introduces itself.
    fn hello(&mut self, peer: PeerId, hello: Hello, now_ms: u64, heard: &mut Vec<Heard>) {
        if let Err(refused) = self.check(&hello) {
            tracing::warn!(%peer, worker_id = %hello.worker, name = ?hello.name, reason = %refused, "a worker is refused");
            let reason = refused.to_string();
            self.part(peer, vec![ToWorker::Refused { reason }]);
            return;
        }
        let Hello { worker: id, slots, .. } = hello;
        let worker = self.workers.entry(id).or_insert_with(|| Worker::new(&hello, now_ms));
        let before = worker.peer;
        worker.connected(peer, &hello.in_hand);
        self.peers.insert(peer, Peer::Serves(id));
        if let Some(before) = before {
            // The worker gave that connection up.
            self.peers.remove(&before);
            self.router.close(before);
        }
        tracing::info!(
            worker_id = %id, name = hello.name, slots, in_hand = hello.in_hand.len(), again = before.is_some(),
            "a worker is here"
        );
        self.has_changed = true;
        let milliseconds = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        let (heartbeat_ms, dead_after_ms) = (milliseconds(self.heartbeat), milliseconds(self.dead_after));
        self.send(id, ToWorker::Welcome { heartbeat_ms, dead_after_ms });
        let kind = match hello.mode {
            WorkerMode::Push => WorkerKind::Push,
            WorkerMode::Pull => WorkerKind::Pull,
        };
        let in_hand = hello.in_hand.iter().map(|id| (id.task, id.attempt)).collect();
        heard.push(Heard::Input(Input::Hello { worker: id, kind, slots, in_hand }));
    }

    fn check(&self, hello: &Hello) -> Result<(), Refused> {
        hello::check(hello, self.takes)?;
        match self.workers.get(&hello.worker) {
            Some(known) if known.token != hello.token => Err(Refused::IdTaken),
            Some(_) => Ok(()),
            None if self.workers.len() >= self.max_workers => Err(Refused::Full { most: self.max_workers }),
            None => Ok(()),
        }
    }

    /// A worker that was welcomed says something.
    fn said(
        &mut self,
        id: WorkerId,
        peer: PeerId,
        message: ToDispatcher,
        heard: &mut Vec<Heard>,
    ) -> Result<(), Misuse> {
        let Some(worker) = self.workers.get_mut(&id) else { return Ok(()) };
        let said = match message {
            ToDispatcher::Hello(_) => return Err(Misuse::SecondHello),
            ToDispatcher::Heartbeat => Heard::Input(Input::Heartbeat { worker: id }),
            ToDispatcher::Goodbye => Heard::Input(Input::Goodbye { worker: id }),
            ToDispatcher::Ahead { ahead } => Heard::Input(Input::Ahead { worker: id, ahead: ahead.min(MAX_AHEAD) }),
            ToDispatcher::Resting { resting } => Heard::Input(Input::Resting { worker: id, resting }),
            ToDispatcher::Ready { count } => {
                Heard::Input(Input::Ready { worker: id, count: count.min(MAX_IN_HAND as u32) })
            }
            ToDispatcher::Started { id: attempt, at_ms } if worker.begun(attempt) => {
                Heard::Begun { worker: id, id: attempt, at_ms }
            }
            ToDispatcher::Progress { id: attempt, progress } if worker.runs(attempt) => {
                Heard::Progress { task: attempt.task, progress: bounded_progress(progress) }
            }
            ToDispatcher::Started { .. } | ToDispatcher::Progress { .. } => return Ok(()),
            ToDispatcher::Ended { id: attempt, report } => match worker.ended(attempt) {
                End::New => Heard::Ended { worker: id, id: attempt, report: bounded_report(report) },
                End::Known => return Ok(()),
                End::NotIts => {
                    tracing::debug!(worker_id = %id, task_id = %attempt.task, attempt = attempt.attempt, "a report of an attempt that is not the worker's was dropped");
                    self.send(id, ToWorker::Acknowledged { id: attempt });
                    return Ok(());
                }
            },
            ToDispatcher::Fetch { package, offset, chunks } => {
                let chunks = chunks.clamp(1, MAX_CHUNKS_ASKED);
                worker.chunks_waiting += chunks;
                if worker.chunks_waiting > MAX_CHUNKS_WAITING {
                    return Err(Misuse::TooManyChunks);
                }
                Heard::Fetch { package, request: Request { worker: id, peer, offset, chunks } }
            }
        };
        heard.push(said);
        Ok(())
    }

    /// Says something to a worker at the end of the turn; nothing when it is not connected.
    pub(in crate::dispatcher) fn send(&mut self, id: WorkerId, message: ToWorker) {
        let Some(worker) = self.workers.get_mut(&id).filter(|worker| worker.peer.is_some()) else { return };
        if worker.outbox.is_empty() {
            self.touched.push(id);
        }
        worker.outbox.push(message);
    }

    /// Sends what is to be said.
    pub(in crate::dispatcher) fn flush(&mut self) {
        for id in std::mem::take(&mut self.touched) {
            let Some(worker) = self.workers.get_mut(&id) else { continue };
            let Some(peer) = worker.peer else { continue };
            let messages = std::mem::take(&mut worker.outbox);
            if messages.is_empty() {
                continue;
            }
            match self.router.send(peer, messages) {
                Ok(()) => {}
                // The event of its end comes, or is on its way.
                Err(SendError::Closed) => {}
                Err(error) => {
                    tracing::warn!(worker_id = %id, error = &error as &dyn std::error::Error, "a worker is cut off");
                    self.router.close(peer);
                }
            }
        }
    }

    /// Ends a connection after its last words.
    fn part(&mut self, peer: PeerId, last: Vec<ToWorker>) {
        self.peers.remove(&peer);
        if let Err(error) = self.router.send(peer, last) {
            tracing::debug!(%peer, error = &error as &dyn std::error::Error, "the last words to a worker are not sent");
        }
        self.router.close(peer);
    }

    /// Lets a worker go, with a last word after all that was to be said to it.
    fn part_with(&mut self, id: WorkerId, last: ToWorker) {
        let Some(mut worker) = self.workers.remove(&id) else { return };
        self.has_changed = true;
        if let Some(peer) = worker.peer {
            let mut messages = std::mem::take(&mut worker.outbox);
            messages.push(last);
            self.part(peer, messages);
        }
    }

    /// A worker was silent for too long.
    pub(in crate::dispatcher) fn evict(&mut self, id: WorkerId) {
        if let Some(worker) = self.workers.get(&id) {
            tracing::warn!(worker_id = %id, name = worker.name, "a worker is lost");
        }
        self.part_with(id, ToWorker::Evicted);
    }

    /// A worker that said goodbye has nothing left, and the store has all that it reported.
    pub(in crate::dispatcher) fn dismiss(&mut self, id: WorkerId) {
        if let Some(worker) = self.workers.get(&id) {
            tracing::info!(worker_id = %id, name = worker.name, "a worker leaves");
        }
        self.part_with(id, ToWorker::Dismissed);
    }

    /// An attempt is of no interest any more, or the store has its end: the worker may forget it.
    pub(in crate::dispatcher) fn acknowledge(&mut self, id: WorkerId, attempt: AttemptId) {
        let Some(worker) = self.workers.get_mut(&id) else { return };
        if worker.forget(attempt) {
            self.send(id, ToWorker::Acknowledged { id: attempt });
        }
    }

    /// A worker is to run an attempt; [`Roster::next_to_send`] says when its assignment is sent.
    pub(in crate::dispatcher) fn assigned(&mut self, id: WorkerId, attempt: AttemptId) {
        if let Some(worker) = self.workers.get_mut(&id) {
            worker.assigned(attempt);
        }
    }

    /// Whether an assignment with an input of so many bytes is to be sent now. Not when it is over, nor
    /// while too much is on its way: then it comes by [`Roster::released`] later.
    pub(in crate::dispatcher) fn may_send(&mut self, id: WorkerId, attempt: AttemptId, bytes: u64) -> bool {
        let is_small = bytes < LARGE_INPUT_BYTES;
        let all = if is_small { 0 } else { self.workers.values().map(Worker::unstarted_bytes).sum() };
        let Some(worker) = self.workers.get_mut(&id) else { return false };
        if !worker.is_kept(attempt) {
            return false;
        }
        let fits = all + bytes <= MAX_ALL_UNSTARTED_BYTES || worker.unstarted_bytes() == 0;
        if worker.kept_back.is_empty() && fits && worker.has_room_for(bytes) {
            return true;
        }
        if worker.kept_back.is_empty() {
            self.crowded.push(id);
        }
        worker.kept_back.push_back(attempt);
        false
    }

    /// Sends an assignment with an input of so many bytes.
    pub(in crate::dispatcher) fn send_assignment(
        &mut self,
        id: WorkerId,
        attempt: AttemptId,
        assignment: ToWorker,
        bytes: u64,
    ) {
        if let Some(worker) = self.workers.get_mut(&id) {
            worker.sent(attempt, bytes);
        }
        self.send(id, assignment);
    }

    /// Attempts that were kept back and may be looked at again.
    pub(in crate::dispatcher) fn released(&mut self) -> Vec<(WorkerId, AttemptId)> {
        let mut released = Vec::new();
        for id in std::mem::take(&mut self.crowded) {
            let Some(worker) = self.workers.get_mut(&id) else { continue };
            released.extend(std::mem::take(&mut worker.kept_back).into_iter().map(|attempt| (id, attempt)));
        }
        released
    }

    /// Has an attempt killed, or never sends it.
    pub(in crate::dispatcher) fn cancel(&mut self, id: WorkerId, attempt: AttemptId) -> Cancel {
        let kept = self.workers.get_mut(&id).filter(|worker| worker.is_kept(attempt));
        if let Some(worker) = kept {
            worker.forget(attempt);
            return Cancel::NeverSent;
        }
        self.send(id, ToWorker::Cancel { id: attempt });
        Cancel::Told
    }

    /// Drops an attempt that was never sent; false when it is not one any more.
    pub(in crate::dispatcher) fn give_up(&mut self, id: WorkerId, attempt: AttemptId) -> bool {
        let kept = self.workers.get_mut(&id).filter(|worker| worker.is_kept(attempt));
        kept.map(|worker| worker.forget(attempt)).is_some()
    }

    /// Sends a worker the part of a package that it asked for.
    pub(in crate::dispatcher) fn send_chunks(&mut self, package: PackageId, request: Request, bytes: &[u8]) {
        if !self.answered(request) {
            return;
        }
        let Request { worker, mut offset, chunks, .. } = request;
        let total = bytes.len() as u64;
        let rest = usize::try_from(offset).ok().and_then(|offset| bytes.get(offset..)).unwrap_or_default();
        if rest.is_empty() {
            let reason = format!("it has {total} bytes, and those from {offset} on were asked for");
            self.send(worker, ToWorker::NoPackage { package, reason, retryable: false });
            return;
        }
        for chunk in rest.chunks(CHUNK_BYTES as usize).take(chunks as usize) {
            self.send(worker, ToWorker::Chunk { package, offset, total, bytes: chunk.to_vec() });
            offset += CHUNK_BYTES;
        }
    }

    /// Tells a worker that the package it asked for cannot be had.
    pub(in crate::dispatcher) fn send_no_package(
        &mut self,
        package: PackageId,
        request: Request,
        reason: String,
        retryable: bool,
    ) {
        if self.answered(request) {
            self.send(request.worker, ToWorker::NoPackage { package, reason, retryable });
        }
    }

    /// A request is answered; false when nobody waits for the answer any more.
    fn answered(&mut self, request: Request) -> bool {
        // On a new connection it asks anew.
        let asking = self.workers.get_mut(&request.worker).filter(|worker| worker.peer == Some(request.peer));
        let Some(worker) = asking else { return false };
        worker.chunks_waiting = worker.chunks_waiting.saturating_sub(request.chunks);
        true
    }

    /// Says that this dispatcher lives, and ends connections that never said anything.
    pub(in crate::dispatcher) fn beat(&mut self) {
        let ids: Vec<WorkerId> = self.workers.keys().copied().collect();
        for id in ids {
            self.send(id, ToWorker::Heartbeat);
        }
        let is_silent = |peer: &Peer| matches!(peer, Peer::Silent { since } if since.elapsed() > self.dead_after);
        let silent: Vec<PeerId> =
            self.peers.iter().filter(|(_, peer)| is_silent(peer)).map(|(peer, _)| *peer).collect();
        for peer in silent {
            let misuse = Misuse::Silence;
            tracing::warn!(%peer, error = &misuse as &dyn std::error::Error, "a worker is cut off");
            self.peers.remove(&peer);
            self.router.close(peer);
        }
    }

    /// Whether a worker came or went since this was last asked.
    pub(in crate::dispatcher) fn take_change(&mut self) -> bool {
        std::mem::take(&mut self.has_changed)
    }

    /// What is told of a worker to those who look; none when it is not here.
    pub(in crate::dispatcher) fn record(&self, stats: &WorkerStats, dispatcher: &str) -> Option<WorkerRecord> {
        let worker = self.workers.get(&stats.id)?;
        Some(WorkerRecord {
            id: stats.id,
            name: worker.name.clone(),
            mode: hello::word(self.takes).to_owned(),
            slots: stats.slots,
            running: stats.running,
            draining: stats.draining,
            resting: stats.resting,
            since_ms: worker.since_ms,
            dispatcher: dispatcher.to_owned(),
        })
    }

    /// Ends every connection when what was said has left, and stops listening.
    pub(in crate::dispatcher) async fn shutdown(self) {
        self.router.shutdown().await;
    }
}
