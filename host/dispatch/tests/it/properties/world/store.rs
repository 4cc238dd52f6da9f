//! The store's side of the world.

use std::time::Duration;

use bulkhead_dispatch::{CancelAnswer, Cut, Input, Record};
use bulkhead_protocol::id::TaskId;
use bulkhead_protocol::outcome::Outcome;
use bulkhead_protocol::task::Priority;

use super::{Stored, World, concurrency, nth};
use crate::script;

impl World {
    pub(super) fn submit(&mut self, pick: usize) {
        let letter = ['a', 'b', 'c', 'd'][pick % 4];
        let mut arrival = script::arrival(self.store.len() as u64 + 1, letter);
        arrival.priority = [Priority::Low, Priority::Normal, Priority::High][pick / 4 % 3];
        arrival.retry.max = u32::try_from(pick / 12 % 4).unwrap();
        arrival.concurrency = concurrency(letter);
        arrival.expires = (pick / 48).is_multiple_of(4).then(|| self.now + Duration::from_millis(100));
        let stored = Stored { arrival, claimed: false, running: false, fence: 0, not_before: self.now, ended: None };
        self.store.insert(stored.arrival.task, stored);
    }

    pub(super) fn pop_claim(&mut self) {
        let Some((max, taken)) = &mut self.claim else { return };
        for (task, stored) in &mut self.store {
            let queued = stored.ended.is_none() && !stored.claimed && stored.not_before <= self.now;
            if queued && taken.len() < *max {
                stored.claimed = true;
                taken.push(*task);
            }
        }
    }

    pub(super) fn deliver_claim(&mut self) {
        let Some((_, taken)) = self.claim.take() else { return };
        for task in taken {
            let stored = &self.store[&task];
            let held = self.writes.contains_key(&task) || self.cancels.contains_key(&task);
            if stored.ended.is_none() && !held && self.drained.is_none() {
                self.waiting.insert(task);
            }
            self.input(Input::Arrived(self.store[&task].arrival.clone()));
        }
        self.input(Input::Claimed);
    }

    pub(super) fn give_up_claim(&mut self) {
        for task in self.claim.take().map(|claim| claim.1).unwrap_or_default() {
            self.store.get_mut(&task).unwrap().claimed = false;
        }
    }

    pub(super) fn apply_write(&mut self, pick: usize) {
        let open = self.writes.iter().filter(|write| write.1.2.is_none()).map(|write| *write.0);
        let Some(task) = nth(open, pick) else { return };
        let (attempt, record, answer) = self.writes.get_mut(&task).unwrap();
        let stored = self.store.get_mut(&task).unwrap();
        let applied = stored.ended.is_none() && *attempt >= stored.fence;
        *answer = Some(applied);
        if !applied {
            return;
        }
        stored.running = false;
        match record {
            Record::Finish { outcome } => stored.ended = Some(outcome.clone()),
            Record::Requeue { outcome, not_before } => {
                (stored.claimed, stored.not_before, stored.fence) = (false, *not_before, *attempt + 1);
                stored.arrival.cut = if *outcome == Outcome::Cancelled { Cut::Drained } else { Cut::Failed };
            }
        }
    }

    pub(super) fn deliver_write(&mut self, pick: usize) {
        let answered = self.writes.iter().filter_map(|(task, write)| Some((*task, write.2?)));
        let Some((task, applied)) = nth(answered, pick) else { return };
        let (_, record, _) = self.writes.remove(&task).unwrap();
        if matches!(record, Record::Requeue { .. }) {
            self.back_in_line(task);
        }
        self.input(Input::Recorded { task, applied });
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

    /// A task waits again, if the store's newest word is that the dispatcher has it.
    pub(super) fn back_in_line(&mut self, task: TaskId) {
        let stored = &self.store[&task];
        let on_the_way = self.claim.as_ref().is_some_and(|claim| claim.1.contains(&task));
        let in_hand = stored.claimed && !stored.running && stored.ended.is_none() && !on_the_way;
        if in_hand && self.drained.is_none() {
            self.waiting.insert(task);
        }
    }
}
