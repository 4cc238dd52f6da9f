//! What happens in the world, and in which order.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::collections::binary_heap::PeekMut;

use bulkhead_protocol::id::{TaskId, WorkerId};
use bulkhead_protocol::outcome::Outcome;

use super::faults::Fault;
use super::ledger::RunId;
use super::names::{Key, Ms};
use super::network::{Connection, Down, Up};
use super::store::{Answer, Op};

/// One life of a process: what is meant for an earlier life does not reach a later one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Process {
    /// Which dispatcher, or which worker.
    pub(super) index: usize,
    /// Counts its starts from 1.
    pub(super) life: u32,
}

/// What happens.
#[derive(Clone, Debug)]
pub(super) enum Event {
    /// To a dispatcher; waits while the process hangs.
    Dispatcher(Process, AtDispatcher),
    /// To a worker; waits while the process hangs.
    Worker(Process, AtWorker),
    /// A call reaches the store.
    Store(u64),
    /// Something may have become claimable.
    Nudge,
    /// A dispatcher starts.
    StartDispatcher(usize),
    /// A worker starts.
    StartWorker(usize),
    /// A hanging dispatcher goes on.
    ResumeDispatcher(Process),
    /// A hanging worker goes on.
    ResumeWorker(Process),
    /// A partition ends.
    Mend(usize),
    /// Something breaks.
    Fault(Fault),
    /// A client sends a task to the store.
    Submit(u32),
    /// A client wants a task to end.
    Cancel(TaskId),
    /// All faults are over for good.
    Heal,
    /// The look-out for what is stuck.
    Look,
}

/// What happens to a dispatcher.
#[derive(Clone, Debug)]
pub(super) enum AtDispatcher {
    /// Its timer fires, unless another was set since.
    Wake(u64),
    /// The store answered, or the wait for it was given up.
    Answer(u64, Op, Answer),
    /// A worker says something.
    Message(Connection, Up),
    /// A connection broke.
    Broken(Connection),
    /// It sends heartbeats.
    Beat,
    /// It renews its lease.
    Renew,
    /// An attempt on the executor beside it ended.
    RunEnded(Key, RunId, Outcome),
    /// Someone wants a task to end.
    Cancel(TaskId),
    /// It is told to end.
    Drain(Ms),
    /// Someone wants a worker to leave.
    DrainWorker(WorkerId),
}

/// What happens to a worker.
#[derive(Clone, Debug)]
pub(super) enum AtWorker {
    /// It tries to connect.
    Connect,
    /// Its dispatcher says something.
    Message(Connection, Down),
    /// A connection broke.
    Broken(Connection),
    /// It sends a heartbeat, and looks whether its dispatcher is silent.
    Beat,
    /// An attempt ended.
    RunEnded(Key, RunId, Outcome),
    /// It is told to end.
    Term,
}

/// An event in the queue, ordered by time, then by age.
struct Entry {
    at: Ms,
    number: u64,
    event: Event,
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number
    }
}

impl Eq for Entry {}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Entry {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.number).cmp(&(other.at, other.number))
    }
}

/// All that is going to happen.
#[derive(Default)]
pub(super) struct Events {
    /// The next one on top.
    heap: BinaryHeap<Reverse<Entry>>,
    /// Makes the order total; counts up.
    made: u64,
}

impl Events {
    /// Makes something happen at a time.
    pub(super) fn at(&mut self, at: Ms, event: Event) {
        self.made += 1;
        self.heap.push(Reverse(Entry { at, number: self.made, event }));
    }

    /// Takes the next event.
    pub(super) fn pop(&mut self) -> Option<(Ms, Event)> {
        let top = self.heap.peek_mut()?;
        let Reverse(entry) = PeekMut::pop(top);
        Some((entry.at, entry.event))
    }
}
