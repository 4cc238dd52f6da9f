//! The way to the store and back: calls take time, fail, lose their answers, come late.

use std::collections::BTreeMap;

use super::event::{AtDispatcher, Event, Process};
use super::names::Ms;
use super::store::{Answer, Lease, Op};
use super::world::World;

/// Longest that anyone waits for the store.
const PATIENCE: Ms = 3_000;

/// Longest that a call that was given up is still on its way.
const LATEST: Ms = 20_000;

/// What becomes of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// It is carried out and answered.
    Fine,
    /// It is carried out and its answer is lost.
    AnswerLost,
    /// It was given up and is carried out later all the same.
    Late,
}

/// A call under way.
#[derive(Clone, Debug)]
pub(super) struct Call {
    /// Who calls; none for a gateway.
    from: Option<Process>,
    /// Under which lease.
    lease: Lease,
    /// What is asked.
    pub(super) op: Op,
    /// What becomes of it.
    fate: Fate,
}

/// The calls under way, by number.
#[derive(Debug, Default)]
pub(super) struct Calls {
    /// Those that have not reached the store, and claims that wait there.
    open: BTreeMap<u64, Call>,
    /// Claims that wait at the store.
    waiting: Vec<u64>,
    /// Numbers them.
    made: u64,
    /// When the store is back.
    pub(super) away_until: Ms,
}

impl World {
    /// Calls the store. Answers to a dispatcher come as [`AtDispatcher::Answer`] with the number.
    pub(super) fn call(&mut self, from: Option<Process>, lease: Lease, op: Op) -> u64 {
        self.calls.made += 1;
        let number = self.calls.made;
        let way = self.random.between(0, self.plan.store_latency);
        let (mut refuses, mut loses, mut late) = (0, 0, 0);
        if !self.healed {
            let weather = &self.plan.weather;
            (refuses, loses, late) = (weather.refuses, weather.loses_answers, weather.late);
        }
        if self.random.chance(refuses) {
            self.answer(number, from, op, Answer::Unavailable, way);
            return number;
        }
        let fate = if self.random.chance(loses) {
            Fate::AnswerLost
        } else if self.random.chance(late) {
            Fate::Late
        } else {
            Fate::Fine
        };
        let arrives = if fate == Fate::Late {
            self.answer(number, from, op.clone(), Answer::Unavailable, PATIENCE);
            self.random.between(way, LATEST)
        } else {
            way
        };
        self.calls.open.insert(number, Call { from, lease, op, fate });
        self.events.at(self.now + arrives, Event::Store(number));
        number
    }

    /// A claim is given up: what it takes from now on, another one brings.
    pub(super) fn give_up_call(&mut self, number: u64) {
        self.calls.waiting.retain(|waiting| *waiting != number);
        // One that waits is dropped where it waits; one on its way may still be carried out.
        if self.random.chance(500) {
            self.calls.open.remove(&number);
        }
    }

    /// A call reaches the store.
    pub(super) fn carry_out_call(&mut self, number: u64) {
        let Some(call) = self.calls.open.get(&number).cloned() else { return };
        let back = self.random.between(0, self.plan.store_latency);
        if self.now < self.calls.away_until {
            self.calls.open.remove(&number);
            if call.fate != Fate::Late {
                self.answer(number, call.from, call.op, Answer::Unavailable, back);
            }
            return;
        }
        let Some(answer) = self.store.apply(self.now, call.lease, &call.op) else {
            if !self.calls.waiting.contains(&number) {
                self.calls.waiting.push(number);
            }
            return;
        };
        self.calls.open.remove(&number);
        self.calls.waiting.retain(|waiting| *waiting != number);
        self.note_store(&call.op, &answer);
        if let (Op::Requeue { not_before, .. }, Answer::Applied(true)) = (&call.op, &answer) {
            self.events.at((*not_before).max(self.now + 1), Event::Nudge);
        }
        if let Op::Submit(..) = call.op {
            self.nudge();
        }
        match call.fate {
            Fate::Fine => self.answer(number, call.from, call.op, answer, back),
            Fate::AnswerLost => self.answer(number, call.from, call.op, Answer::Unavailable, back + PATIENCE),
            Fate::Late => {}
        }
    }

    /// Something may have become claimable: claims that wait look again.
    pub(super) fn nudge(&mut self) {
        for number in self.calls.waiting.clone() {
            self.events.at(self.now + 1, Event::Store(number));
        }
    }

    /// A dispatcher died; of what it had sent, some never arrives. All of it, where the store is part of
    /// the process.
    pub(super) fn drop_calls(&mut self, of: Process) {
        let mut dropped = Vec::new();
        for (number, _) in self.calls.open.iter().filter(|(_, call)| call.from == Some(of)) {
            let waits = self.calls.waiting.contains(number);
            if self.plan.embedded || waits || self.random.chance(500) {
                dropped.push(*number);
            }
        }
        self.calls.open.retain(|number, _| !dropped.contains(number));
        self.calls.waiting.retain(|number| !dropped.contains(number));
    }

    fn answer(&mut self, number: u64, to: Option<Process>, op: Op, answer: Answer, after: Ms) {
        let at = self.now + after;
        match to {
            Some(process) => self.events.at(at, Event::Dispatcher(process, AtDispatcher::Answer(number, op, answer))),
            None => self.gateway_heard(&op, &answer),
        }
    }
}
