//! The store's side of the world: this dispatcher's claims, and what another one does with its own.

use std::time::Duration;

use bulkhead_dispatch::{Arrival, CancelAnswer, Cut, Input, Record, RecoverAnswer};
use bulkhead_protocol::id::{TaskId, WorkerId};
use bulkhead_protocol::outcome::Outcome;
use bulkhead_protocol::task::{Attempt, Priority, Spent};

use super::{World, concurrency, config, nth};
use crate::script;

/// A task as the store knows it.
#[derive(Debug)]
pub(super) struct Stored {
    /// As it would arrive now, but for what ended its attempt while one runs.
    pub(super) arrival: Arrival,
    /// Whether this dispatcher has it.
    pub(super) claimed: bool,
    /// Whether another has it.
    pub(super) other: bool,
    /// Whether its attempt is known to have begun.
    pub(super) running: bool,
    /// Where.
    at: Option<WorkerId>,
    /// The lowest attempt that may still start or end the task.
    fence: Attempt,
    pub(super) not_before: Duration,
    pub(super) ended: Option<Outcome>,
    pub(super) dead_letter: bool,
}

impl Stored {
    fn arrival(&self) -> Arrival {
        let cut = if self.running { Cut::Lost { worker: self.at } } else { self.arrival.cut };
        Arrival { cut, ..self.arrival.clone() }
    }

    fn requeue(&mut self, attempt: Attempt, cut: Cut, spent: Spent, not_before: Duration) {
        (self.claimed, self.other, self.running) = (false, false, false);
        (self.not_before, self.fence) = (not_before, attempt + 1);
        (self.arrival.attempt, self.arrival.cut, self.arrival.spent) = (attempt, cut, spent);
    }
}

/// A write under way, with the answer once carried out.
pub(super) struct Write {
    attempt: Attempt,
    record: Record,
    applied: Option<bool>,
}

impl World {
    pub(super) fn submit(&mut self, pick: usize) {
        let letter = ['a', 'b', 'c', 'd'][pick % 4];
        let mut arrival = script::arrival(self.store.len() as u64 + 1, letter);
        arrival.priority = [Priority::Low, Priority::Normal, Priority::High][pick / 4 % 3];
        arrival.retry.max = u32::try_from(pick / 12 % 4).unwrap();
        arrival.concurrency = concurrency(letter);
        arrival.expires = (pick / 48).is_multiple_of(4).then(|| self.now + Duration::from_millis(100));
        let stored = Stored {
            arrival,
            claimed: false,
            other: false,
            running: false,
            at: None,
            fence: 0,
            not_before: self.now,
            ended: None,
            dead_letter: false,
        };
        self.store.insert(stored.arrival.task, stored);
    }

    pub(super) fn pop_claim(&mut self) {
        let Some((max, taken)) = &mut self.claim else { return };
        for stored in self.store.values_mut() {
            let free = stored.ended.is_none() && !stored.claimed && !stored.other;
            if free && stored.not_before <= self.now && taken.len() < *max {
                stored.claimed = true;
                taken.push(stored.arrival());
            }
        }
    }

    pub(super) fn deliver_claim(&mut self) {
        let Some((_, taken)) = self.claim.take() else { return };
        for arrival in taken {
            self.input(Input::Arrived(arrival));
        }
        self.input(Input::Claimed);
    }

    pub(super) fn give_up_claim(&mut self) {
        for arrival in self.claim.take().map(|claim| claim.1).unwrap_or_default() {
            self.store.get_mut(&arrival.task).unwrap().claimed = false;
        }
    }

    pub(super) fn apply_start(&mut self, pick: usize) {
        let Some((task, attempt, worker)) = nth(self.starts.iter().copied(), pick) else { return };
        self.starts.remove(&(task, attempt, worker));
        let stored = self.store.get_mut(&task).unwrap();
        if stored.claimed && stored.ended.is_none() && attempt >= stored.fence {
            (stored.running, stored.fence, stored.at) = (true, attempt, Some(worker));
            stored.arrival.attempt = attempt;
        } else {
            // That number may come again.
            self.newest.remove(&task);
            self.input(Input::Fenced { task, attempt });
        }
    }

    pub(super) fn check_record(&mut self, task: TaskId, attempt: Attempt, record: Record) {
        match &record {
            Record::Requeue { spent, .. } => {
                assert!(spent.losses <= config().losses && spent.returns <= config().returns, "{spent:?}");
                assert!(spent.crashes < config().crash_cap, "{spent:?}");
                assert!(spent.failures <= self.store[&task].arrival.retry.max, "{spent:?}");
            }
            Record::Finish { outcome: Outcome::WorkerLost | Outcome::Expired | Outcome::Cancelled, .. } => {}
            Record::Finish { outcome, .. } => {
                let reported =
                    self.ends.iter().any(|((of, number, _), end)| (of, number, end) == (&task, &attempt, outcome));
                assert!(reported, "{task}#{attempt} did not end with {outcome:?}");
            }
        }
        let old = self.writes.insert(task, Write { attempt, record, applied: None });
        assert!(old.is_none(), "two writes for {task} at once");
    }

    pub(super) fn apply_write(&mut self, pick: usize) {
        let open = self.writes.iter().filter(|write| write.1.applied.is_none()).map(|write| *write.0);
        let Some(task) = nth(open, pick) else { return };
        let Write { attempt, record, applied } = self.writes.get_mut(&task).unwrap();
        let stored = self.store.get_mut(&task).unwrap();
        let applies = stored.ended.is_none() && *attempt >= stored.fence;
        *applied = Some(applies);
        if !applies {
            return;
        }
        match record {
            Record::Finish { outcome, dead_letter } => {
                stored.ended = Some(outcome.clone());
                stored.dead_letter = *dead_letter;
                stored.running = false;
            }
            Record::Requeue { outcome, spent, not_before } => {
                let counts = |spent: Spent| [spent.failures, spent.crashes, spent.losses, spent.returns];
                let before = stored.arrival.spent;
                let grew = counts(before).into_iter().zip(counts(*spent)).all(|(before, now)| now >= before);
                assert!(grew, "{before:?} became {spent:?}");
                let cut = if *outcome == Outcome::Cancelled { Cut::Drained } else { Cut::Failed };
                stored.requeue(*attempt, cut, *spent, *not_before);
            }
        }
    }

    pub(super) fn deliver_write(&mut self, pick: usize) {
        let answered = self.writes.iter().filter_map(|(task, write)| Some((*task, write.applied?)));
        let Some((task, applied)) = nth(answered, pick) else { return };
        let Write { attempt, .. } = self.writes.remove(&task).unwrap();
        // The workers may forget what the store has.
        for worker in self.linked().collect::<Vec<_>>() {
            if self.ends.contains_key(&(task, attempt, worker)) {
                self.acknowledge(worker, task, attempt);
            }
        }
        self.input(Input::Recorded { task, applied });
    }

    /// The store may have carried it out all the same.
    pub(super) fn fail_write(&mut self, pick: usize) {
        if let Some(task) = nth(self.writes.keys().copied(), pick) {
            self.writes.remove(&task);
            self.input(Input::RecordFailed { task });
        }
    }

    pub(super) fn apply_cancel(&mut self, pick: usize) {
        let Some(task) = nth(self.cancels.iter().filter(|c| c.1.is_none()).map(|c| *c.0), pick) else { return };
        let stored = self.store.get_mut(&task).unwrap();
        let answer = if stored.ended.is_some() {
            CancelAnswer::Ended
        } else if stored.running {
            CancelAnswer::Running
        } else {
            stored.ended = Some(Outcome::Cancelled);
            CancelAnswer::Cancelled
        };
        self.cancels.insert(task, Some(answer));
    }

    pub(super) fn deliver_cancel(&mut self, pick: usize) {
        let answered = self.cancels.iter().filter_map(|(task, answer)| Some((*task, (*answer)?)));
        let Some((task, answer)) = nth(answered, pick) else { return };
        self.cancels.remove(&task);
        self.input(Input::CancelStored { task, answer });
    }

    /// The store may have carried it out all the same.
    pub(super) fn fail_cancel(&mut self, pick: usize) {
        if let Some(task) = nth(self.cancels.keys().copied(), pick) {
            self.cancels.remove(&task);
            self.input(Input::CancelStored { task, answer: CancelAnswer::Failed });
        }
    }

    pub(super) fn apply_recover(&mut self, pick: usize) {
        let open = self.recovers.iter().filter(|recover| recover.1.2.is_none()).map(|recover| *recover.0);
        let Some(task) = nth(open, pick) else { return };
        let (attempt, worker, answer) = self.recovers.get_mut(&task).unwrap();
        *answer = Some(match self.store.get_mut(&task) {
            Some(stored) if stored.ended.is_none() && *attempt >= stored.fence => {
                let its = if stored.running {
                    stored.arrival.attempt == *attempt && stored.at == Some(*worker)
                } else {
                    stored.arrival.attempt + 1 == *attempt
                };
                match its {
                    true if stored.other => RecoverAnswer::Owned,
                    true => {
                        stored.claimed = true;
                        if let Some((_, taken)) = &mut self.claim {
                            taken.retain(|arrival| arrival.task != task);
                        }
                        RecoverAnswer::Taken(stored.arrival())
                    }
                    false => RecoverAnswer::Stale,
                }
            }
            _ => RecoverAnswer::Stale,
        });
    }

    pub(super) fn deliver_recover(&mut self, pick: usize) {
        let answered = self.recovers.iter().filter(|recover| recover.1.2.is_some()).map(|recover| *recover.0);
        let Some(task) = nth(answered, pick) else { return };
        let Some((attempt, _, Some(answer))) = self.recovers.remove(&task) else { return };
        self.input(Input::Recovered { task, attempt, answer });
    }

    /// The store may have carried it out all the same.
    pub(super) fn fail_recover(&mut self, pick: usize) {
        if let Some(task) = nth(self.recovers.keys().copied(), pick) {
            let (attempt, ..) = self.recovers.remove(&task).unwrap();
            self.input(Input::Recovered { task, attempt, answer: RecoverAnswer::Failed });
        }
    }

    pub(super) fn take_over(&mut self) {
        let claims = self.claim.is_some();
        self.give_up_claim();
        for stored in self.store.values_mut() {
            stored.other |= stored.claimed && stored.ended.is_none();
            stored.claimed = false;
        }
        // The other one may give a task back as it was, with the numbers of attempts that it never saw.
        self.newest.clear();
        self.was_taken_over = true;
        self.input(Input::TakenOver);
        if claims {
            self.input(Input::ClaimFailed);
        }
    }

    /// The other dispatcher ends a task, tries it again, gives it back, or dies.
    pub(super) fn elsewhere(&mut self, pick: usize) {
        let others = self.store.iter().filter(|(_, stored)| stored.other && stored.ended.is_none());
        let Some(task) = nth(others.map(|(task, _)| *task), pick / 4) else { return };
        let stored = self.store.get_mut(&task).unwrap();
        let attempt = stored.arrival.attempt.max(stored.fence).max(1);
        match pick % 4 {
            0 => (stored.ended, stored.running) = (Some(Outcome::Succeeded), false),
            1 => stored.requeue(attempt, Cut::Failed, stored.arrival.spent, self.now),
            2 => stored.other = false,
            _ => {
                (stored.running, stored.at, stored.fence) = (true, Some(script::worker(99)), attempt + 1);
                stored.arrival.attempt = attempt + 1;
            }
        }
    }
}
