//! What is to be said to the dispatcher with the next batch. Ends are named here and copied only when
//! they leave, so that large results do not stand in memory twice for long.

use std::collections::VecDeque;
use std::time::Duration;

use bulkhead_protocol::worker_message::{AttemptId, ToDispatcher};
use tokio::time::Instant;

use super::hand::{Hand, size_of_report};
use crate::link::{Dealer, SendError};

/// Bytes of ends that are given to the link at once, if they are more than one.
const PORTION_BYTES: usize = 16 * 1024 * 1024;
/// Messages that are given to the link at once.
const PORTION_MESSAGES: usize = 1024;
/// How long to wait when the link can take no more.
const TRY_AGAIN_AFTER: Duration = Duration::from_millis(20);
/// How long the ends of short attempts wait for each other while there is other work in hand.
const LINGER: Duration = Duration::from_millis(1);
/// Bytes of ends at which they wait no longer.
const LINGER_BYTES: usize = 256 * 1024;

/// What is to be said, in order. Bounded by what the worker has in hand: each attempt has a start
/// and an end, and everything else is said only when nothing waits here.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    /// Not said yet.
    unsaid: VecDeque<Word>,
    /// Ends among them that may wait for others.
    ends: usize,
    /// Bytes of those ends.
    bytes: usize,
    /// Whether something among them may not wait.
    is_urgent: bool,
    /// Until when they wait, if they do.
    lingers_until: Option<Instant>,
    /// When the link is tried again, after it could take no more.
    try_again: Option<Instant>,
}

/// One thing to say.
#[derive(Debug)]
enum Word {
    /// As it stands.
    Message(ToDispatcher),
    /// An attempt ended; the report is in hand.
    Ended(AttemptId),
}

impl Outbox {
    /// Adds a message.
    pub(super) fn push(&mut self, message: ToDispatcher) {
        // What else there is means more to the dispatcher than the course of one attempt.
        self.is_urgent |=
            !matches!(message, ToDispatcher::Started { .. } | ToDispatcher::Ready { .. } | ToDispatcher::Ahead { .. });
        self.unsaid.push_back(Word::Message(message));
    }

    /// Adds the end of an attempt that is to be said at once.
    pub(super) fn push_end(&mut self, id: AttemptId) {
        self.is_urgent = true;
        self.unsaid.push_back(Word::Ended(id));
    }

    /// Adds the end of an attempt that may wait for others. Its report has so many bytes.
    pub(super) fn push_patient_end(&mut self, id: AttemptId, bytes: usize) {
        self.ends += 1;
        self.bytes += bytes;
        self.unsaid.push_back(Word::Ended(id));
    }

    /// Whether what is unsaid may wait for more: of the attempts in hand, `waiting` have no slot yet. The
    /// dispatcher is to hear of the ends when half of what was ahead is used up, so that more comes
    /// before the slots run dry; and soon in any case.
    pub(super) fn may_wait(&mut self, now: Instant, waiting: usize) -> bool {
        let may = !self.unsaid.is_empty()
            && !self.is_urgent
            && self.ends < waiting
            && self.bytes < LINGER_BYTES
            && self.try_again.is_none()
            && now < *self.lingers_until.get_or_insert(now + LINGER);
        if !may {
            self.lingers_until = None;
        }
        may
    }

    /// Whether nothing is to be said.
    pub(super) fn is_empty(&self) -> bool {
        self.unsaid.is_empty()
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// When to flush although nothing was added.
    pub(super) fn next_wake(&self) -> Option<Instant> {
        self.try_again.or(self.lingers_until)
    }

    /// Gives everything to the link, or as much as it takes now; gives whether it took anything.
    ///
    /// # Errors
    /// Any of the link's but [`SendError::Full`], after which it is tried again a little later.
    pub(super) fn flush(&mut self, now: Instant, dealer: &Dealer, hand: &Hand) -> Result<bool, SendError> {
        if self.try_again.is_some_and(|at| at > now) {
            return Ok(false);
        }
        self.try_again = None;
        let mut has_said = false;
        while !self.unsaid.is_empty() {
            let (words, messages) = self.portion(hand);
            if !messages.is_empty() {
                match dealer.send(messages) {
                    Ok(()) => has_said = true,
                    Err(SendError::Full) => {
                        self.try_again = Some(now + TRY_AGAIN_AFTER);
                        return Ok(has_said);
                    }
                    Err(error) => return Err(error),
                }
            }
            self.unsaid.drain(..words);
        }
        (self.ends, self.bytes, self.is_urgent) = (0, 0, false);
        Ok(has_said)
    }

    /// The next messages, and how many words they are.
    fn portion(&self, hand: &Hand) -> (usize, Vec<ToDispatcher>) {
        let mut messages = Vec::with_capacity(self.unsaid.len().min(PORTION_MESSAGES));
        let (mut words, mut bytes) = (0, 0);
        for word in self.unsaid.iter().take(PORTION_MESSAGES) {
            match word {
                Word::Message(message) => messages.push(message.clone()),
                Word::Ended(id) => {
                    // One that was acknowledged meanwhile needs no more words.
                    if let Some(report) = hand.report(*id) {
                        bytes += size_of_report(report);
                        if bytes > PORTION_BYTES && !messages.is_empty() {
                            break;
                        }
                        messages.push(ToDispatcher::Ended { id: *id, report: report.clone() });
                    }
                }
            }
            words += 1;
        }
        (words, messages)
    }
}

#[cfg(test)]
mod tests {
    use bulkhead_protocol::id::TaskId;

    use super::*;

    fn id(number: u128) -> AttemptId {
        AttemptId { task: TaskId(uuid::Uuid::from_u128(number)), attempt: 1 }
    }

    /// An outbox with a start and so many ends that may wait.
    fn outbox(ends: u128) -> Outbox {
        let mut outbox = Outbox::default();
        outbox.push(ToDispatcher::Started { id: id(0), at_ms: 0 });
        (0..ends).for_each(|number| outbox.push_patient_end(id(number), 100));
        outbox
    }

    #[test]
    fn ends_wait_until_half_of_the_work_in_hand_is_done() {
        let now = Instant::now();
        assert!(outbox(3).may_wait(now, 4));
        assert!(!outbox(4).may_wait(now, 4));
        assert!(outbox(0).may_wait(now, 1));
        assert!(!outbox(0).may_wait(now, 0), "nothing else is to do");
        assert!(!Outbox::default().may_wait(now, 1), "nothing is unsaid");
    }

    #[test]
    fn ends_wait_no_longer_than_a_moment() {
        let now = Instant::now();
        let mut outbox = outbox(1);
        assert!(outbox.may_wait(now, 9));
        outbox.push_patient_end(id(7), 100);
        assert!(outbox.may_wait(now + LINGER / 2, 9));
        assert_eq!(outbox.next_wake(), Some(now + LINGER));
        assert!(!outbox.may_wait(now + LINGER, 9));
        assert_eq!(outbox.next_wake(), None);
    }

    #[test]
    fn nothing_waits_behind_what_is_urgent_or_large() {
        let now = Instant::now();
        let (mut beats, mut ends, mut large) = (outbox(1), outbox(1), outbox(1));
        beats.push(ToDispatcher::Heartbeat);
        ends.push_end(id(8));
        large.push_patient_end(id(8), LINGER_BYTES);
        assert!(!beats.may_wait(now, 9) && !ends.may_wait(now, 9) && !large.may_wait(now, 9));
    }
}
