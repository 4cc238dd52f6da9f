//! The order in which waiting tasks run: strict priorities; inside one priority round-robin over
//! functions, so that a flood of one does not starve the rest; inside one function first come,
//! first served; and no function above its concurrency.
//!
//! Every operation takes O(log n). Rejected: one heap ordered by virtual time, because taking a
//! function out while it is at its concurrency would touch each of its tasks.

use std::collections::BTreeMap;

use bulkhead_protocol::id::{FunctionId, TaskId};
use bulkhead_protocol::task::Priority;

/// Priorities from the first to run to the last.
const ORDER: [Priority; 3] = [Priority::High, Priority::Normal, Priority::Low];

/// A waiting task's place in its line.
pub(crate) type Place = u64;

/// The waiting tasks of all functions.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    /// The functions with waiting or running tasks; the rest take no memory.
    lines: BTreeMap<FunctionId, Line>,
    /// By priority, the functions of which a task may run now, the one whose turn it is first.
    rotation: [BTreeMap<u64, FunctionId>; 3],
    /// Numbers places and turns; counts up.
    ticket: u64,
    /// How many tasks could run now if there were slots without end.
    ready: usize,
    /// How many tasks wait.
    waiting: usize,
}

/// The tasks of one function.
#[derive(Debug, Default)]
struct Line {
    /// Its waiting tasks by priority.
    lanes: [Lane; 3],
    /// How many tasks wait in all lanes.
    waiting: usize,
    /// How many of its attempts run.
    running: u32,
    /// How many may.
    concurrency: Option<u32>,
}

/// The waiting tasks of one function and priority.
#[derive(Debug, Default)]
struct Lane {
    /// The tasks, the oldest first.
    tasks: BTreeMap<Place, TaskId>,
    /// Its key in the rotation, while a task of it may run.
    turn: Option<u64>,
}

impl Line {
    /// How many of its waiting tasks could run now.
    fn ready(&self) -> usize {
        match self.concurrency {
            None => self.waiting,
            Some(most) => self.waiting.min(most.saturating_sub(self.running) as usize),
        }
    }
}

impl Queue {
    /// Puts a task at the end of its line.
    pub(crate) fn push(
        &mut self,
        function: FunctionId,
        priority: Priority,
        task: TaskId,
        concurrency: Option<u32>,
    ) -> Place {
        self.ticket += 1;
        let place = self.ticket;
        self.change(function, |line, _| {
            line.concurrency = concurrency;
            line.lanes[lane(priority)].tasks.insert(place, task);
            line.waiting += 1;
        });
        self.waiting += 1;
        place
    }

    /// Takes a waiting task out of its line.
    pub(crate) fn remove(&mut self, function: FunctionId, priority: Priority, place: Place) {
        self.change(function, |line, _| {
            let removed = line.lanes[lane(priority)].tasks.remove(&place);
            debug_assert!(removed.is_some(), "a waiting task has a place in its line");
            line.waiting -= 1;
        });
        self.waiting -= 1;
    }

    /// The function of the task that runs next.
    pub(crate) fn next(&self) -> Option<FunctionId> {
        self.turn().map(|(_, function)| function)
    }

    /// The lane and function whose turn it is.
    fn turn(&self) -> Option<(usize, FunctionId)> {
        ORDER.into_iter().map(lane).find_map(|index| {
            let (_, function) = self.rotation[index].first_key_value()?;
            Some((index, *function))
        })
    }

    /// Takes the task that runs next; it counts as running from now on.
    pub(crate) fn pop(&mut self) -> Option<TaskId> {
        let (index, function) = self.turn()?;
        let mut next = None;
        self.change(function, |line, rotation| {
            // Without its turn, the function gets a new one at the end of the rotation.
            if let Some(turn) = line.lanes[index].turn.take() {
                rotation[index].remove(&turn);
            }
            next = line.lanes[index].tasks.pop_first();
            line.waiting -= 1;
            line.running += 1;
        });
        self.waiting -= 1;
        next.map(|(_, task)| task)
    }

    /// An attempt of a function runs that never waited here. It counts against the concurrency and may
    /// exceed it.
    pub(crate) fn adopt(&mut self, function: FunctionId, concurrency: Option<u32>) {
        self.change(function, |line, _| {
            line.concurrency = concurrency;
            line.running = line.running.saturating_add(1);
        });
    }

    /// A running attempt of a function has ended.
    pub(crate) fn ended(&mut self, function: FunctionId) {
        self.change(function, |line, _| line.running = line.running.saturating_sub(1));
    }

    /// How many tasks could run now if there were slots without end.
    pub(crate) fn ready(&self) -> usize {
        self.ready
    }

    /// How many tasks wait.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting
    }

    /// Compares with how many attempts of each function run, for tests.
    pub(crate) fn audit(&self, running: &BTreeMap<FunctionId, u32>) {
        let counted = self.lines.iter().filter(|(_, line)| line.running > 0);
        let counted: BTreeMap<FunctionId, u32> = counted.map(|(function, line)| (*function, line.running)).collect();
        assert_eq!(counted, *running);
        assert_eq!(self.ready, self.lines.values().map(Line::ready).sum::<usize>());
        let waiting = |line: &Line| line.lanes.iter().map(|lane| lane.tasks.len()).sum::<usize>();
        assert_eq!(self.waiting, self.lines.values().map(waiting).sum::<usize>());
    }

    /// Changes a line, and puts right what follows from it.
    fn change(&mut self, function: FunctionId, change: impl FnOnce(&mut Line, &mut [BTreeMap<u64, FunctionId>; 3])) {
        let line = self.lines.entry(function).or_default();
        let before = line.ready();
        change(line, &mut self.rotation);
        let after = line.ready();
        self.ready = self.ready - before + after;
        for (lane, rotation) in line.lanes.iter_mut().zip(&mut self.rotation) {
            let may_run = after > 0 && !lane.tasks.is_empty();
            match lane.turn {
                None if may_run => {
                    self.ticket += 1;
                    lane.turn = Some(self.ticket);
                    rotation.insert(self.ticket, function);
                }
                Some(turn) if !may_run => {
                    rotation.remove(&turn);
                    lane.turn = None;
                }
                _ => {}
            }
        }
        if line.waiting == 0 && line.running == 0 {
            self.lines.remove(&function);
        }
    }
}

fn lane(priority: Priority) -> usize {
    priority as usize
}
