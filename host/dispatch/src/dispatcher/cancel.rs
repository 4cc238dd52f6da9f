//! Cancelling. The store decides over a task that does not run, because only it knows whether the
//! task has ended; a running attempt is killed, and its report decides.

use bulkhead_protocol::id::TaskId;

use super::drain::Drain;
use super::task::State;
use super::{Claim, Dispatcher, MAX_GONE};
use crate::input::{Arrival, CancelAnswer};
use crate::output::{Cancelled, Output};

/// A task that the store is asked to cancel.
#[derive(Debug)]
pub(super) struct Asked {
    /// The task, where it is in hand: it neither runs nor waits until the store answers.
    pub(super) held: Option<Arrival>,
    /// Whether it came after the store was asked.
    pub(super) came_since: bool,
}

impl Dispatcher {
    pub(super) fn cancel(&mut self, task: TaskId) {
        if self.asked.contains_key(&task) {
            // The answer to the first wish answers this one.
            return;
        }
        let Some(entry) = self.tasks.get_mut(&task) else {
            return self.ask_store_to_cancel(task, None);
        };
        match entry.state {
            State::Waiting { .. } => {
                if let Some(entry) = self.remove(task) {
                    self.ask_store_to_cancel(task, Some(entry.arrival));
                }
            }
            State::Running { worker, drained, .. } => {
                let killed = entry.cancel || drained;
                entry.cancel = true;
                if !killed {
                    let attempt = entry.arrival.attempt;
                    self.outputs.push_back(Output::CancelAttempt { worker, task, attempt });
                }
            }
            // It ends once its attempt was found and killed, or counts as lost.
            State::New | State::Orphaned { .. } | State::Recording(_) => entry.cancel = true,
        }
    }

    /// Asks the store to end a task, which does not run before the answer.
    pub(super) fn ask_store_to_cancel(&mut self, task: TaskId, arrival: Option<Arrival>) {
        self.asked.insert(task, Asked { held: arrival, came_since: false });
        self.outputs.push_back(Output::CancelStored { task });
    }

    pub(super) fn cancel_stored(&mut self, task: TaskId, answer: CancelAnswer) {
        let Some(Asked { held, came_since }) = self.asked.remove(&task) else { return };
        let result = match (answer, held) {
            (CancelAnswer::Failed, held) => {
                if let Some(arrival) = held {
                    self.take(arrival, true);
                }
                self.recover(task);
                Cancelled::Unavailable
            }
            (CancelAnswer::Running, Some(arrival)) if came_since => {
                // Perhaps it has not run any more since; or its attempt still runs, and will be found.
                self.take(arrival, true);
                return self.cancel(task);
            }
            (CancelAnswer::Running, None) if self.recovering.contains_key(&task) && self.drain == Drain::No => {
                if let Some(recovery) = self.recovering.get_mut(&task) {
                    recovery.cancel = true;
                }
                return self.recover(task);
            }
            // Of a task that waited here, another dispatcher has begun an attempt.
            (CancelAnswer::Running, held) => {
                self.forget_held(task, held);
                Cancelled::Elsewhere
            }
            (CancelAnswer::Cancelled, held) => {
                self.forget_cancelled(task, held);
                Cancelled::Cancelled
            }
            (CancelAnswer::Ended, held) => {
                self.forget_cancelled(task, held);
                Cancelled::Ended
            }
            // It was stored only then: a claim that brings it is to be believed.
            (CancelAnswer::Unknown, Some(arrival)) if came_since => {
                self.take(arrival, true);
                Cancelled::Unknown
            }
            (CancelAnswer::Unknown, held) => {
                self.forget_held(task, held);
                Cancelled::Unknown
            }
        };
        self.outputs.push_back(Output::CancelAnswered { task, result });
    }

    /// The store says that a task is over; a claim that took it before may still bring it.
    fn forget_cancelled(&mut self, task: TaskId, held: Option<Arrival>) {
        if held.is_some() {
            return self.forget_held(task, held);
        }
        self.settle_claims(task);
        let Claim::UnderWay(max) = self.claim else { return };
        self.gone.insert(task);
        if self.gone.len() > MAX_GONE {
            self.gone.clear();
            self.outputs.push_back(Output::Claim { max });
        }
    }

    /// Drops a task that waited for the answer.
    fn forget_held(&mut self, task: TaskId, held: Option<Arrival>) {
        if held.is_some() {
            self.outputs.push_back(Output::Forget { task });
            self.settle_claims(task);
        }
    }
}
