//! One worker: what it has and how much more it takes.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bulkhead_protocol::id::{FunctionId, TaskId};
use bulkhead_protocol::task::Attempt;
use bulkhead_protocol::worker_message::{MAX_AHEAD, MAX_IN_HAND};

use crate::input::WorkerKind;

/// Most functions that a worker is remembered to hold; the one that it was assigned the longest ago is
/// forgotten first.
const MAX_FUNCTIONS: usize = 256;

/// Most slots, and most tasks asked for, that a worker is believed to have.
const MAX_SLOTS: u32 = MAX_IN_HAND as u32;

/// One worker.
#[derive(Debug)]
pub(super) struct Worker {
    /// How it gets its tasks.
    pub(super) kind: WorkerKind,
    /// Attempts that it runs at once.
    pub(super) slots: u32,
    /// Attempts that may wait there beyond the slots.
    ahead: u32,
    /// What it has and did not report the end of.
    pub(super) running: BTreeSet<(TaskId, Attempt)>,
    /// What is left of a pull worker's last request: the request is parked while this is above 0.
    asked: u32,
    /// It takes no more tasks.
    pub(super) leaving: bool,
    /// It takes none for now.
    pub(super) resting: bool,
    /// It was asked to finish what it has.
    pub(super) asked_to_drain: bool,
    /// It waits to be dismissed.
    pub(super) said_goodbye: bool,
    /// When it last gave a sign of life.
    pub(super) heard: Duration,
    /// Since when its connection is broken.
    pub(super) broken: Option<Duration>,
    /// The functions that it holds, with when it was last assigned each.
    held: BTreeMap<FunctionId, u64>,
    /// The same the other way round, the longest ago first.
    by_age: BTreeMap<u64, FunctionId>,
    /// Numbers assignments; counts up.
    assignments: u64,
}

impl Worker {
    /// A worker that has not said hello.
    pub(super) fn new(kind: WorkerKind) -> Self {
        Self {
            kind,
            slots: 0,
            ahead: 0,
            running: BTreeSet::new(),
            asked: 0,
            leaving: false,
            resting: false,
            asked_to_drain: false,
            said_goodbye: false,
            heard: Duration::ZERO,
            broken: None,
            held: BTreeMap::new(),
            by_age: BTreeMap::new(),
            assignments: 0,
        }
    }

    /// It is there, for the first time or again; returns what it was taken to have.
    pub(super) fn greet(&mut self, kind: WorkerKind, slots: u32, now: Duration) -> BTreeSet<(TaskId, Attempt)> {
        self.kind = kind;
        self.slots = slots.min(MAX_SLOTS);
        (self.ahead, self.asked, self.resting) = (0, 0, false);
        // It may not have heard that it is to leave: the connection broke.
        self.leaving = self.asked_to_drain;
        self.said_goodbye = false;
        self.heard = now;
        self.broken = None;
        std::mem::take(&mut self.running)
    }

    pub(super) fn ask(&mut self, count: u32) {
        self.asked = count.min(MAX_SLOTS);
    }

    pub(super) fn set_ahead(&mut self, ahead: u32) {
        self.ahead = ahead.min(MAX_AHEAD);
    }

    pub(super) fn assign(&mut self, task: TaskId, attempt: Attempt) {
        self.asked = self.asked.saturating_sub(1);
        self.running.insert((task, attempt));
    }

    /// Remembers that it holds a function, and returns the one that is forgotten for it.
    pub(super) fn hold(&mut self, function: FunctionId) -> Option<FunctionId> {
        self.assignments += 1;
        if let Some(before) = self.held.insert(function, self.assignments) {
            self.by_age.remove(&before);
        }
        self.by_age.insert(self.assignments, function);
        if self.held.len() <= MAX_FUNCTIONS {
            return None;
        }
        let (_, oldest) = self.by_age.pop_first()?;
        self.held.remove(&oldest);
        Some(oldest)
    }

    /// The functions that it holds.
    pub(super) fn functions(&self) -> impl Iterator<Item = FunctionId> {
        self.held.keys().copied()
    }

    /// How many attempts it has.
    pub(super) fn load(&self) -> u32 {
        u32::try_from(self.running.len()).unwrap_or(u32::MAX)
    }

    /// How many more tasks it can run at once now.
    pub(super) fn idle(&self) -> u32 {
        self.takes(self.slots.saturating_sub(self.load()))
    }

    /// How many more tasks it can take now, to run or to wait.
    pub(super) fn room(&self) -> u32 {
        self.takes(self.slots.saturating_add(self.ahead).saturating_sub(self.load()))
    }

    /// How many of `free` places it wants filled.
    fn takes(&self, free: u32) -> u32 {
        match self.kind {
            _ if self.leaving || self.resting || self.broken.is_some() => 0,
            WorkerKind::Local | WorkerKind::Push => free,
            WorkerKind::Pull => free.min(self.asked),
        }
    }

    /// Its slots, unless it takes no more tasks.
    pub(super) fn counted_slots(&self) -> usize {
        if self.leaving { 0 } else { self.slots as usize }
    }
}
