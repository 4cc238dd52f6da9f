//! What the store is to know of a task: written, written again, answered.

use bulkhead_protocol::id::{TaskId, WorkerId};
use bulkhead_protocol::outcome::Outcome;

use super::Dispatcher;
use super::task::{Entry, Recording, State};
use crate::output::{Cancelled, Output, Record};
use crate::timer::Timer;

impl Dispatcher {
    /// Has the store write something of a task that was taken out of its state; until it has, the task
    /// stays in hand. With the worker that reported it and the size of the report, where there is one.
    pub(super) fn record(&mut self, entry: Entry, record: Record, report: Option<(WorkerId, u64)>) {
        let (task, attempt) = (entry.arrival.task, entry.arrival.attempt);
        self.outputs.push_back(Output::Record { task, attempt, record: record.clone() });
        let (reporter, bytes) = (report.map(|report| report.0), report.map_or(0, |report| report.1));
        // Of a task that goes on, the driver keeps no report.
        let bytes = if matches!(record, Record::Finish { .. }) { bytes } else { 0 };
        if let Some(worker) = reporter {
            self.owe(worker);
        }
        self.recording += 1;
        self.unrecorded_bytes += bytes;
        let back = if let State::Running { again, .. } = entry.state { again.map(|again| *again) } else { None };
        let recording = Recording { record, reporter, bytes, failures: 0, retry: None, back };
        self.insert(Entry { state: State::Recording(Box::new(recording)), ..entry });
    }

    /// The store has what it was asked to write, or had something newer.
    pub(super) fn recorded(&mut self, task: TaskId, applied: bool) {
        let Some(Entry { state: State::Recording(_), .. }) = self.tasks.get(&task) else { return };
        let Some(entry) = self.remove(task) else { return };
        let State::Recording(recording) = entry.state else { return };
        let recording = *recording;
        let attempt = entry.arrival.attempt;
        let ends = matches!(recording.record, Record::Finish { .. });
        // What was handed out before this was written is of no meaning any more.
        let back = recording.back.filter(|arrival| !applied || !ends && arrival.supersedes(attempt));
        match recording.record {
            Record::Finish { outcome, dead_letter } if back.is_none() => {
                if applied && dead_letter {
                    self.dead_letters += 1;
                    self.outputs.push_back(Output::DeadLetter { task, attempt });
                }
                match outcome {
                    _ if !entry.cancel => {}
                    // The store knows whether it has ended or another dispatcher tries it again.
                    _ if !applied => self.ask_store_to_cancel(task, None),
                    Outcome::Cancelled => self.answer_cancelled(task, Cancelled::Cancelled),
                    _ => self.answer_cancelled(task, Cancelled::Ended),
                }
                self.outputs.push_back(Output::Forget { task });
            }
            _ => {
                match back {
                    Some(arrival) => self.take(arrival, false),
                    None => self.outputs.push_back(Output::Forget { task }),
                }
                if entry.cancel {
                    self.cancel(task);
                }
            }
        }
        if let Some(worker) = recording.reporter {
            self.settle(worker);
            self.dismiss_if_left(worker);
        }
    }

    fn answer_cancelled(&mut self, task: TaskId, result: Cancelled) {
        self.outputs.push_back(Output::CancelAnswered { task, result });
    }

    /// The store has what it was asked to write, as is known without its answer.
    pub(super) fn answer_lost(&mut self, task: TaskId) {
        let Some(Entry { state: State::Recording(recording), arrival, .. }) = self.tasks.get(&task) else { return };
        if let Some(worker) = recording.reporter {
            // It waits for the answer as well.
            self.outputs.push_back(Output::Discard { worker, task, attempt: arrival.attempt });
        }
        self.recorded(task, true);
    }

    /// The store failed to write; what was to be written stays until it can.
    pub(super) fn record_failed(&mut self, task: TaskId) {
        let Some(entry) = self.tasks.get_mut(&task) else { return };
        let State::Recording(recording) = &mut entry.state else { return };
        let attempt = entry.arrival.attempt;
        let came_back = recording.back.as_ref().is_some_and(|arrival| arrival.supersedes(attempt));
        if came_back && matches!(recording.record, Record::Requeue { .. }) {
            // The task came back from the queue, so the write was made and only its answer lost.
            return self.answer_lost(task);
        }
        if recording.retry.is_some() {
            return;
        }
        recording.failures = recording.failures.saturating_add(1);
        let failures = recording.failures;
        let wait = self.store_backoff(failures);
        let key = self.timers.set(self.now.saturating_add(wait), Timer::RetryRecord(task));
        if let Some(Entry { state: State::Recording(recording), .. }) = self.tasks.get_mut(&task) {
            recording.retry = Some(key);
        }
    }

    /// Has the store write again what it failed to write.
    pub(super) fn retry_record(&mut self, task: TaskId) {
        let Some(entry) = self.tasks.get_mut(&task) else { return };
        let State::Recording(recording) = &mut entry.state else { return };
        recording.retry = None;
        let (attempt, record) = (entry.arrival.attempt, recording.record.clone());
        self.outputs.push_back(Output::Record { task, attempt, record });
    }

    /// A worker reported something that the store does not have.
    pub(super) fn owe(&mut self, worker: WorkerId) {
        *self.owed.entry(worker).or_default() += 1;
    }

    /// The store has something that a worker reported, or it is not wanted any more.
    pub(super) fn settle(&mut self, worker: WorkerId) {
        if let Some(owed) = self.owed.get_mut(&worker) {
            *owed -= 1;
            if *owed == 0 {
                self.owed.remove(&worker);
            }
        }
    }
}
