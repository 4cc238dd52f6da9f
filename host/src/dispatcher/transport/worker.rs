//! One worker, and what it has in hand.

use std::collections::{HashMap, VecDeque};

use bulkhead_protocol::worker_message::{AttemptId, Hello, ToWorker};

use crate::link::PeerId;

/// Bytes of inputs that are on their way to a worker or wait there for a slot; more are kept back until
/// some begin, unless they are a single one. Below what the link lets wait for one peer.
const MAX_UNSTARTED_BYTES: u64 = 128 * 1024 * 1024;

/// How far an attempt in a worker's hand has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Progress {
    /// It was not sent yet: its function is not known, or too much is on its way already.
    Kept,
    /// It was sent, with an input of so many bytes, and has not begun as far as is known.
    Sent(u64),
    /// It has begun.
    Begun,
    /// It has ended, and the store does not have its end yet.
    Ended,
}

/// What the end of an attempt, as a worker tells it, means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// It is news.
    New,
    /// It was said before, and is being recorded.
    Known,
    /// The attempt is none of the worker's.
    NotIts,
}

/// What a cancel of an attempt comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::dispatcher) enum Cancel {
    /// The worker was told.
    Told,
    /// It had not been sent, and now never is.
    NeverSent,
}

/// One worker.
#[derive(Debug)]
pub(super) struct Worker {
    /// Its secret, by which it is known again.
    pub(super) token: [u8; 16],
    /// Its name for people.
    pub(super) name: String,
    /// When it first came; milliseconds since the Unix epoch.
    pub(super) since_ms: u64,
    /// Its connection; none while it is broken.
    pub(super) peer: Option<PeerId>,
    /// What it was assigned, or says it has, and was not told to forget.
    in_hand: HashMap<AttemptId, Progress>,
    /// Bytes of inputs that were sent and have not begun.
    unstarted_bytes: u64,
    /// Attempts that are sent when less is on its way; some may be over since.
    pub(super) kept_back: VecDeque<AttemptId>,
    /// What is said to it at the end of the turn.
    pub(super) outbox: Vec<ToWorker>,
    /// Chunks that it asked for and that wait for their package.
    pub(super) chunks_waiting: u32,
}

impl Worker {
    /// A worker at its first hello.
    pub(super) fn new(hello: &Hello, since_ms: u64) -> Self {
        Self {
            token: hello.token,
            name: hello.name.clone(),
            since_ms,
            peer: None,
            in_hand: HashMap::new(),
            unstarted_bytes: 0,
            kept_back: VecDeque::new(),
            outbox: Vec::new(),
            chunks_waiting: 0,
        }
    }

    /// It is on a new connection and has this in hand. What else it was assigned never reached it.
    pub(super) fn connected(&mut self, peer: PeerId, in_hand: &[AttemptId]) {
        self.disconnected();
        self.peer = Some(peer);
        let known = std::mem::take(&mut self.in_hand);
        let progress = |id| match known.get(id) {
            Some(progress @ (Progress::Begun | Progress::Ended)) => *progress,
            // It reached the worker, so that none of its bytes are on their way.
            Some(Progress::Kept | Progress::Sent(_)) | None => Progress::Sent(0),
        };
        self.in_hand = in_hand.iter().map(|id| (*id, progress(id))).collect();
        self.unstarted_bytes = 0;
    }

    /// Its connection is gone, and with it all that was to be said on it.
    pub(super) fn disconnected(&mut self) {
        self.peer = None;
        self.outbox = Vec::new();
        self.kept_back.clear();
        self.chunks_waiting = 0;
    }

    /// It is to run an attempt, which is not sent yet.
    pub(super) fn assigned(&mut self, id: AttemptId) {
        self.in_hand.insert(id, Progress::Kept);
    }

    /// Whether an attempt is still to be sent.
    pub(super) fn is_kept(&self, id: AttemptId) -> bool {
        self.in_hand.get(&id) == Some(&Progress::Kept)
    }

    /// Bytes of inputs that were sent and have not begun.
    pub(super) fn unstarted_bytes(&self) -> u64 {
        self.unstarted_bytes
    }

    /// Whether an input may be sent now. If not, the attempt waits for others to begin.
    pub(super) fn has_room_for(&self, bytes: u64) -> bool {
        self.unstarted_bytes == 0 || self.unstarted_bytes.saturating_add(bytes) <= MAX_UNSTARTED_BYTES
    }

    /// An attempt was sent with its input.
    pub(super) fn sent(&mut self, id: AttemptId, bytes: u64) {
        self.unstarted_bytes = self.unstarted_bytes.saturating_add(bytes);
        self.in_hand.insert(id, Progress::Sent(bytes));
    }

    /// It says that an attempt began; true when it is its own, and news.
    pub(super) fn begun(&mut self, id: AttemptId) -> bool {
        let Some(progress @ Progress::Sent(_)) = self.in_hand.get_mut(&id) else { return false };
        let before = std::mem::replace(progress, Progress::Begun);
        self.arrived(before);
        true
    }

    /// Whether an attempt is the worker's and has not ended.
    pub(super) fn runs(&self, id: AttemptId) -> bool {
        matches!(self.in_hand.get(&id), Some(Progress::Sent(_) | Progress::Begun))
    }

    /// It says that an attempt ended.
    pub(super) fn ended(&mut self, id: AttemptId) -> End {
        match self.in_hand.get_mut(&id) {
            Some(Progress::Ended) => End::Known,
            Some(progress @ (Progress::Sent(_) | Progress::Begun)) => {
                let before = std::mem::replace(progress, Progress::Ended);
                self.arrived(before);
                End::New
            }
            // What was not sent cannot have ended.
            Some(Progress::Kept) | None => End::NotIts,
        }
    }

    /// An attempt is of no interest any more; true when the worker may have it.
    pub(super) fn forget(&mut self, id: AttemptId) -> bool {
        let Some(progress) = self.in_hand.remove(&id) else { return false };
        self.arrived(progress);
        progress != Progress::Kept
    }

    /// The bytes of an attempt are not on their way any more.
    fn arrived(&mut self, before: Progress) {
        if let Progress::Sent(bytes) = before {
            self.unstarted_bytes = self.unstarted_bytes.saturating_sub(bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use bulkhead_protocol::id::{TaskId, WorkerId};
    use bulkhead_protocol::worker_message::WorkerMode;
    use uuid::Uuid;

    use super::*;

    fn id(number: u128) -> AttemptId {
        AttemptId { task: TaskId(Uuid::from_u128(number)), attempt: 1 }
    }

    fn worker() -> Worker {
        let hello = Hello {
            worker: WorkerId(Uuid::from_u128(1)),
            token: [0; 16],
            name: "w".to_owned(),
            mode: WorkerMode::Push,
            slots: 1,
            in_hand: Vec::new(),
        };
        Worker::new(&hello, 0)
    }

    #[test]
    fn an_end_is_news_once_and_only_of_what_was_sent() {
        let mut worker = worker();
        assert_eq!(worker.ended(id(1)), End::NotIts);
        worker.assigned(id(1));
        assert_eq!((worker.is_kept(id(1)), worker.ended(id(1))), (true, End::NotIts));
        worker.sent(id(1), 10);
        assert_eq!((worker.begun(id(1)), worker.begun(id(1))), (true, false));
        assert_eq!((worker.ended(id(1)), worker.ended(id(1))), (End::New, End::Known));
        assert!(!worker.begun(id(1)) && worker.forget(id(1)));
        assert_eq!((worker.forget(id(1)), worker.ended(id(1))), (false, End::NotIts));
    }

    #[test]
    fn inputs_on_their_way_are_bounded_but_for_a_single_one() {
        let mut worker = worker();
        assert!(worker.has_room_for(2 * MAX_UNSTARTED_BYTES));
        worker.sent(id(1), MAX_UNSTARTED_BYTES - 1);
        assert!(worker.has_room_for(1) && !worker.has_room_for(2));
        worker.sent(id(2), 1);
        assert!(!worker.has_room_for(1));
        assert!(worker.begun(id(1)));
        assert!(worker.has_room_for(MAX_UNSTARTED_BYTES - 1));
        worker.forget(id(2));
        assert!(worker.has_room_for(2 * MAX_UNSTARTED_BYTES));
    }
}
