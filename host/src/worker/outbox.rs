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

/// What is to be said, in order. Bounded by what the worker has in hand: each attempt has a start
/// and an end, and everything else is said only when nothing waits here.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    /// Not said yet.
    unsaid: VecDeque<Word>,
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
        self.unsaid.push_back(Word::Message(message));
    }

    /// Adds the end of an attempt.
    pub(super) fn push_end(&mut self, id: AttemptId) {
        self.unsaid.push_back(Word::Ended(id));
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
        self.try_again
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
