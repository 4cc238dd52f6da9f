//! A task in hand and how far it has come.

use bulkhead_protocol::id::{TaskId, WorkerId};
use bulkhead_protocol::task::Attempt;

use super::Dispatcher;
use crate::input::Arrival;
use crate::output::{Output, Record};
use crate::queue::Place;
use crate::timer::Key;

/// A task in hand.
#[derive(Debug)]
pub(super) struct Entry {
    /// The task as it arrived, but for attempt and budgets, which are the newest.
    pub(super) arrival: Arrival,
    /// Whether no claim brought it but a worker that has its attempt: then it has no place in the
    /// window.
    pub(super) brought: bool,
    /// Whether someone wants it to end.
    pub(super) cancel: bool,
    /// How far it has come.
    pub(super) state: State,
}

/// How far a task in hand has come.
#[derive(Debug)]
pub(super) enum State {
    /// It just came, and what follows is being decided.
    New,
    /// It waits for a slot.
    Waiting {
        /// Its place in its line.
        place: Place,
        /// When it is too late.
        expiry: Option<Key>,
    },
    /// Its newest attempt was assigned and did not end.
    Running {
        /// Where.
        worker: WorkerId,
        /// Whether it began; until then it waits at the worker.
        begun: bool,
        /// Whether a drain killed it.
        drained: bool,
        /// The task as the store handed it out anew while this attempt ran: it goes on with that if the
        /// attempt turns out to be fenced off.
        again: Option<Box<Arrival>>,
    },
    /// Its newest attempt may still run on a worker of the dispatcher that had it before.
    Orphaned {
        /// Where.
        worker: WorkerId,
        /// When it counts as lost.
        until: Key,
    },
    /// Its newest attempt ended, or it ended without one, and the store does not know yet.
    Recording(Box<Recording>),
}

/// What the store does not know yet.
#[derive(Debug)]
pub(super) struct Recording {
    /// What is to be written.
    pub(super) record: Record,
    /// The worker that reported the end; none when nobody did.
    pub(super) reporter: Option<WorkerId>,
    /// Size of the report that goes with it.
    pub(super) bytes: u64,
    /// Writes that failed.
    pub(super) failures: u32,
    /// When the next write is tried; none while one is under way.
    pub(super) retry: Option<Key>,
    /// The task as the store handed it out anew before this write was answered.
    pub(super) back: Option<Arrival>,
}

impl Dispatcher {
    /// Keeps a task.
    pub(super) fn insert(&mut self, entry: Entry) {
        self.brought += usize::from(entry.brought);
        let old = self.tasks.insert(entry.arrival.task, entry);
        debug_assert!(old.is_none(), "a task is in hand once");
    }

    /// Takes a task out of the dispatcher's hands, with all that its state means elsewhere.
    pub(super) fn remove(&mut self, task: TaskId) -> Option<Entry> {
        let entry = self.tasks.remove(&task)?;
        self.brought -= usize::from(entry.brought);
        match &entry.state {
            State::New => {}
            State::Waiting { place, expiry } => {
                self.queue.remove(entry.arrival.function, entry.arrival.priority, *place);
                if let Some(key) = expiry {
                    self.timers.unset(*key);
                }
            }
            State::Running { .. } => {
                self.running -= 1;
                self.queue.ended(entry.arrival.function);
            }
            State::Orphaned { worker, until } => {
                self.orphans.remove(*worker, task);
                self.timers.unset(*until);
            }
            State::Recording(recording) => {
                self.recording -= 1;
                self.unrecorded_bytes -= recording.bytes;
                if let Some(key) = recording.retry {
                    self.timers.unset(key);
                }
            }
        }
        Some(entry)
    }

    /// Whether an attempt runs on a worker by this dispatcher's will: it assigned it, or took it over with
    /// the store's consent. Whatever else a worker says it has began without anybody's knowledge, and the
    /// store must not hear of it: a start fences all earlier attempts.
    pub fn runs(&self, worker: WorkerId, task: TaskId, attempt: Attempt) -> bool {
        self.runs_on(task, attempt, worker)
    }

    /// Whether this attempt is the newest of its task and runs on this worker.
    pub(super) fn runs_on(&self, task: TaskId, attempt: Attempt, worker: WorkerId) -> bool {
        self.tasks.get(&task).is_some_and(|entry| {
            entry.arrival.attempt == attempt && matches!(entry.state, State::Running { worker: on, .. } if on == worker)
        })
    }

    /// Whether this worker reported the end of this attempt, and the store does not know yet.
    pub(super) fn is_reported(&self, task: TaskId, attempt: Attempt, worker: WorkerId) -> bool {
        self.tasks.get(&task).is_some_and(|entry| {
            entry.arrival.attempt == attempt
                && matches!(&entry.state, State::Recording(recording) if recording.reporter == Some(worker))
        })
    }

    /// Drops all that waits, with nothing written of it, and has the driver told by `output`.
    pub(super) fn drop_waiting(&mut self, output: impl Fn(TaskId) -> Output) {
        let waiting: Vec<TaskId> = (self.tasks.iter())
            .filter(|(_, entry)| matches!(entry.state, State::Waiting { .. } | State::Orphaned { .. }))
            .map(|(task, _)| *task)
            .collect();
        for task in waiting {
            let Some(entry) = self.remove(task) else { continue };
            self.outputs.push_back(output(task));
            if entry.cancel {
                self.ask_store_to_cancel(task, None);
            }
        }
    }
}
