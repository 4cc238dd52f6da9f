//! Draining: nothing new begins, what runs may finish, the rest goes back to the store.

use std::time::Duration;

use super::Dispatcher;
use super::task::State;
use crate::output::Output;
use crate::timer::{Key, Timer};

/// How far a drain has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Drain {
    /// There is none.
    No,
    /// What runs may finish until the timer fires.
    Waiting(Key),
    /// What ran longer was killed.
    Killed,
    /// Nothing runs and the store has everything.
    Done,
}

impl Dispatcher {
    /// Begins a drain, or shortens the one under way.
    pub(super) fn drain(&mut self, grace: Duration) {
        let deadline = self.now.saturating_add(grace);
        match self.drain {
            Drain::No => {
                // The store still has these as claimed, and hands them out again when it is opened anew.
                self.drop_waiting(|task| Output::Release { task });
                self.stop_recovering();
            }
            Drain::Waiting(key) if deadline < key.0 => self.timers.unset(key),
            _ => return,
        }
        self.drain = Drain::Waiting(self.timers.set(deadline, Timer::DrainGrace));
        // Without grace the timer is due now.
        self.fire_timers();
    }

    /// Kills what still runs; the reports put it back in the queue.
    pub(super) fn kill_running(&mut self) {
        self.drain = Drain::Killed;
        for (task, entry) in &mut self.tasks {
            if let State::Running { worker, drained, .. } = &mut entry.state {
                *drained = true;
                if !entry.cancel {
                    let (task, attempt, worker) = (*task, entry.arrival.attempt, *worker);
                    self.outputs.push_back(Output::CancelAttempt { worker, task, attempt });
                }
            }
        }
    }

    /// Ends the drain once nothing is left to wait for.
    pub(super) fn finish_drain(&mut self) {
        if self.drain == Drain::No || self.running > 0 || self.recording > 0 || !self.asked.is_empty() {
            return;
        }
        // Attempts that were given up are killed here as well.
        if self.pool.runs_locally() {
            return;
        }
        match self.drain {
            Drain::No | Drain::Done => return,
            Drain::Waiting(key) => self.timers.unset(key),
            Drain::Killed => {}
        }
        self.drain = Drain::Done;
        self.outputs.push_back(Output::Drained);
    }
}
