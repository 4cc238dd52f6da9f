//! Cancelling. The store decides over a task that does not run, because only it knows whether the
//! task has ended; a running attempt is killed, and its report decides.

use bulkhead_protocol::id::TaskId;

use super::task::{Entry, State};
use super::{Claim, Dispatcher, MAX_GONE};
use crate::input::{Arrival, CancelAnswer};
use crate::output::{Cancelled, Output};

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
                if let Some(entry) = self.take_from_line(task) {
                    self.remember(task, entry.arrival.attempt, entry.history);
                    self.ask_store_to_cancel(task, Some(entry.arrival));
                }
            }
            State::Running { worker, drained } => {
                let killed = entry.cancel || drained;
                entry.cancel = true;
                if !killed {
                    let attempt = entry.arrival.attempt;
                    self.outputs.push_back(Output::CancelAttempt { worker, task, attempt });
                }
            }
            State::Recording(_) => entry.cancel = true,
        }
    }

    /// Takes a waiting task out of the dispatcher's hands.
    pub(super) fn take_from_line(&mut self, task: TaskId) -> Option<Entry> {
        let entry = self.tasks.remove(&task)?;
        if let State::Waiting { place, expiry } = entry.state {
            self.queue.remove(entry.arrival.function, entry.arrival.priority, place);
            if let Some(key) = expiry {
                self.timers.unset(key);
            }
        }
        Some(entry)
    }

    /// Asks the store to end a task, which does not run before the answer.
    pub(super) fn ask_store_to_cancel(&mut self, task: TaskId, arrival: Option<Arrival>) {
        self.asked.insert(task, arrival);
        self.outputs.push_back(Output::CancelStored { task });
    }

    pub(super) fn cancel_stored(&mut self, task: TaskId, answer: CancelAnswer) {
        let Some(held) = self.asked.remove(&task) else { return };
        let result = match (answer, held) {
            (CancelAnswer::Failed, held) => {
                if let Some(arrival) = held {
                    self.take(arrival);
                }
                Cancelled::Unavailable
            }
            (CancelAnswer::Running, Some(arrival)) => {
                // The store takes an attempt for running that was cut off: the task is in hand here
                // and runs nowhere.
                return self.finish_as_cancelled(arrival);
            }
            (CancelAnswer::Running, None) => Cancelled::Elsewhere,
            (CancelAnswer::Cancelled, held) => {
                self.forget_cancelled(task, held.is_some());
                Cancelled::Cancelled
            }
            (CancelAnswer::Ended, held) => {
                self.forget_cancelled(task, held.is_some());
                Cancelled::Ended
            }
            (CancelAnswer::Unknown, held) => {
                self.forget_cancelled(task, held.is_some());
                Cancelled::Unknown
            }
        };
        self.outputs.push_back(Output::CancelAnswered { task, result });
    }

    /// The store says that a task is over; a claim that took it before may still bring it.
    fn forget_cancelled(&mut self, task: TaskId, held: bool) {
        self.histories.remove(&task);
        if held {
            return self.outputs.push_back(Output::Forget { task });
        }
        let Claim::UnderWay(max) = self.claim else { return };
        self.gone.insert(task);
        if self.gone.len() > MAX_GONE {
            self.gone.clear();
            self.outputs.push_back(Output::Claim { max });
        }
    }
}
