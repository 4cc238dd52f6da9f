//! Remote workers: they run what they are assigned, keep each end until it is acknowledged, and say
//! all they have in hand on every new connection. They know nothing of the store.

use std::collections::{BTreeMap, VecDeque};

use bulkhead_protocol::id::{TaskId, WorkerId};
use bulkhead_protocol::outcome::Outcome;
use bulkhead_protocol::task::Attempt;

use super::check::Violation;
use super::event::{AtWorker, Event, Process};
use super::ledger::RunId;
use super::names::{A, Key, Ms, W, worker_id};
use super::network::{Connection, Down, Up};
use super::world::World;

/// How often each side says that it lives.
pub(super) const BEAT: Ms = 2_000;

/// Silence after which a worker takes its dispatcher for dead.
const SILENCE: Ms = 10_000;

/// The last attempt that is given back because it would wait for long.
const LAST_GIVEN_BACK: Attempt = 16;

/// A worker process.
#[derive(Debug, Default)]
pub(super) struct Worker {
    /// Counts its starts.
    pub(super) life: u32,
    /// Whether the process is there.
    pub(super) is_up: bool,
    /// Whether it hangs, as after SIGSTOP.
    pub(super) hangs: bool,
    /// What happened to it while it hung.
    pub(super) missed: Vec<AtWorker>,
    /// Its connection.
    connection: Option<Connection>,
    /// Whether its dispatcher answered its hello.
    is_welcomed: bool,
    /// How many it last said may wait at it.
    ahead: u32,
    /// When it last heard of its dispatcher.
    heard: Ms,
    /// All that it was assigned and whose end was not acknowledged.
    pub(super) in_hand: BTreeMap<Key, InHand>,
    /// What waits for a slot.
    line: VecDeque<Key>,
    /// Attempts that run.
    running: u32,
    /// Whether it takes no more.
    leaves: bool,
    /// Whether it takes none for now.
    rests: bool,
}

/// How far an attempt has come at a worker.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum InHand {
    /// It waits for a slot.
    Waiting,
    /// It runs.
    Running(RunId),
    /// It ended; the run is none where it never began.
    Ended(Option<RunId>, Outcome),
}

impl Worker {
    /// Whether it can run what it is given.
    pub(super) fn is_healthy(&self) -> bool {
        self.is_up && !self.hangs && !self.leaves && !self.rests
    }

    /// Attempts that have not ended.
    pub(super) fn open(&self) -> u32 {
        self.running + u32::try_from(self.line.len()).unwrap_or(u32::MAX)
    }
}

impl World {
    /// This life of a worker.
    pub(super) fn worker_process(&self, index: usize) -> Process {
        Process { index, life: self.workers[index].life }
    }

    /// The id of a worker in its present life.
    pub(super) fn worker_name(&self, index: usize) -> WorkerId {
        worker_id(index, self.workers[index].life)
    }

    pub(super) fn start_worker(&mut self, index: usize) {
        if self.workers[index].is_up {
            return;
        }
        let life = self.workers[index].life + 1;
        self.workers[index] = Worker { life, is_up: true, ..Worker::default() };
        let process = self.worker_process(index);
        self.trace.note(self.now, || format!("{} starts", W(worker_id(index, life))));
        self.events.at(self.now, Event::Worker(process, AtWorker::Connect));
        let first = self.random.between(1, BEAT);
        self.events.at(self.now + first, Event::Worker(process, AtWorker::Beat));
    }

    /// The process is gone, and all that it ran with it. It starts anew after a while.
    pub(super) fn stop_worker(&mut self, index: usize, noticed: bool, back_after: Ms) {
        if !self.workers[index].is_up {
            return;
        }
        let process = self.worker_process(index);
        self.trace.note(self.now, || format!("{} is gone", W(worker_id(index, process.life))));
        let worker = &mut self.workers[index];
        (worker.is_up, worker.hangs, worker.connection) = (false, false, None);
        worker.missed.clear();
        worker.line.clear();
        worker.running = 0;
        for (_, state) in std::mem::take(&mut worker.in_hand) {
            if let InHand::Running(run) = state {
                self.ledger.run_died(run, self.now);
            }
        }
        self.drop_connections(true, process, noticed);
        self.events.at(self.now + back_after, Event::StartWorker(index));
    }

    /// What happens to a worker, unless it is gone; a hanging one hears of it later.
    pub(super) fn at_worker(&mut self, process: Process, what: AtWorker) {
        let worker = &mut self.workers[process.index];
        if !worker.is_up || worker.life != process.life {
            return;
        }
        if worker.hangs {
            return worker.missed.push(what);
        }
        let index = process.index;
        match what {
            AtWorker::Connect => self.worker_connects(index),
            AtWorker::Message(connection, message) => {
                if self.workers[index].connection == Some(connection) {
                    self.workers[index].heard = self.now;
                    self.worker_hears(index, message);
                }
            }
            AtWorker::Broken(connection) => {
                if self.workers[index].connection == Some(connection) {
                    self.worker_disconnects(index);
                }
            }
            AtWorker::Beat => self.worker_beats(index),
            AtWorker::RunEnded(key, run, outcome) => self.worker_run_ended(index, key, run, outcome),
            AtWorker::Term => self.worker_leaves(index),
        }
    }

    pub(super) fn hang_worker(&mut self, index: usize, length: Ms) {
        if self.workers[index].is_up && !self.workers[index].hangs {
            self.workers[index].hangs = true;
            self.trace.note(self.now, || format!("worker {index} hangs for {length} ms"));
            let process = self.worker_process(index);
            self.events.at(self.now + length, Event::ResumeWorker(process));
        }
    }

    pub(super) fn resume_worker(&mut self, process: Process) {
        let worker = &mut self.workers[process.index];
        if worker.life == process.life && worker.hangs {
            worker.hangs = false;
            for what in std::mem::take(&mut worker.missed) {
                self.events.at(self.now, Event::Worker(process, what));
            }
            self.trace.note(self.now, || format!("worker {} goes on", process.index));
        }
    }

    fn worker_connects(&mut self, index: usize) {
        if self.workers[index].connection.is_some() {
            return;
        }
        let process = self.worker_process(index);
        let plan = self.plan.workers[index].clone();
        let Some(connection) = self.connect(process, plan.home) else {
            let again = self.random.between(100, 1_000);
            return self.events.at(self.now + again, Event::Worker(process, AtWorker::Connect));
        };
        let worker = &mut self.workers[index];
        (worker.connection, worker.is_welcomed) = (Some(connection), false);
        worker.heard = self.now;
        let in_hand: Vec<Key> = worker.in_hand.keys().copied().collect();
        self.send_up(connection, Up::Hello(plan.pulls, plan.slots, in_hand));
    }

    /// From here on the dispatcher hears everything that it may not know.
    fn worker_welcomed(&mut self, index: usize) {
        let Some(connection) = self.workers[index].connection else { return };
        if std::mem::replace(&mut self.workers[index].is_welcomed, true) {
            return;
        }
        if self.workers[index].leaves {
            self.send_up(connection, Up::Goodbye);
        }
        let states: Vec<(Key, InHand)> =
            self.workers[index].in_hand.iter().map(|(key, state)| (*key, state.clone())).collect();
        for ((task, attempt), state) in states {
            match state {
                InHand::Waiting => {}
                InHand::Running(_) => self.send_up(connection, Up::Started(task, attempt)),
                InHand::Ended(run, outcome) => self.send_up(connection, Up::Ended(task, attempt, run, outcome)),
            }
        }
        if self.workers[index].rests {
            self.send_up(connection, Up::Resting(true));
        }
        self.change_appetite(index);
    }

    /// Begins to rest or ends it, and gives back some of what it then cannot begin.
    fn rest(&mut self, index: usize, rests: bool) {
        self.workers[index].rests = rests;
        self.tell_dispatcher(index, Up::Resting(rests));
        if rests && self.random.chance(500) {
            self.give_back(index);
        }
    }

    /// Says how many may wait at it from now on.
    fn change_appetite(&mut self, index: usize) {
        let ahead = self.random.count(0, self.plan.workers[index].ahead);
        self.workers[index].ahead = ahead;
        self.tell_dispatcher(index, Up::Ahead(ahead));
        self.ask(index);
    }

    /// Says something, once it is welcomed.
    fn tell_dispatcher(&mut self, index: usize, message: Up) {
        let worker = &self.workers[index];
        if let Some(connection) = worker.connection.filter(|_| worker.is_welcomed) {
            self.send_up(connection, message);
        }
    }

    fn worker_disconnects(&mut self, index: usize) {
        if let Some(connection) = self.workers[index].connection.take() {
            self.close(connection, true, true);
        }
        let again = self.random.between(10, 400);
        self.events.at(self.now + again, Event::Worker(self.worker_process(index), AtWorker::Connect));
    }

    /// A pull worker asks for as much as it has room for.
    fn ask(&mut self, index: usize) {
        let plan = &self.plan.workers[index];
        let worker = &self.workers[index];
        if plan.pulls && !worker.leaves {
            let room = (plan.slots + worker.ahead).saturating_sub(worker.open());
            self.tell_dispatcher(index, Up::Ready(room));
        }
    }

    fn worker_hears(&mut self, index: usize, message: Down) {
        match message {
            Down::Welcome => self.worker_welcomed(index),
            Down::Heartbeat => {}
            Down::Assign(task, attempt) => self.worker_takes(index, (task, attempt)),
            Down::Cancel(task, attempt) => self.worker_cancels(index, (task, attempt)),
            Down::Acknowledged(task, attempt) => self.worker_forgets(index, (task, attempt)),
            Down::Drain => self.worker_leaves(index),
            Down::Evicted => self.worker_disconnects(index),
            Down::Dismissed => {
                let back_after = self.random.between(100, 3_000);
                self.stop_worker(index, true, back_after);
            }
        }
    }

    fn worker_takes(&mut self, index: usize, key: Key) {
        let plan = &self.plan.workers[index];
        let (slots, room) = (plan.slots, plan.slots + plan.ahead);
        let worker = &mut self.workers[index];
        match worker.in_hand.get(&key) {
            None => {}
            Some(InHand::Ended(run, outcome)) => {
                let message = Up::Ended(key.0, key.1, *run, outcome.clone());
                return self.tell_dispatcher(index, message);
            }
            Some(_) => return,
        }
        worker.in_hand.insert(key, InHand::Waiting);
        worker.line.push_back(key);
        let open = worker.open();
        if open > room && !self.plan.adversarial {
            let who = W(self.worker_name(index));
            self.violated(Violation::Overfull, format!("{who} has {open} attempts and room for {slots} and ahead"));
        }
        if self.workers[index].leaves {
            return self.give_back(index);
        }
        self.worker_fills(index);
    }

    /// Ends what waits, so that it runs elsewhere.
    fn give_back(&mut self, index: usize) {
        for key in std::mem::take(&mut self.workers[index].line) {
            self.worker_ended(index, key, None, Outcome::Cancelled);
        }
    }

    /// Begins what waits while there are slots.
    fn worker_fills(&mut self, index: usize) {
        while self.workers[index].running < self.plan.workers[index].slots {
            let Some(key) = self.workers[index].line.pop_front() else { return };
            let process = self.worker_process(index);
            let (run, after, outcome) = self.begin_run(key);
            let worker = &mut self.workers[index];
            worker.running += 1;
            worker.in_hand.insert(key, InHand::Running(run));
            self.tell_dispatcher(index, Up::Started(key.0, key.1));
            self.events.at(self.now + after, Event::Worker(process, AtWorker::RunEnded(key, run, outcome)));
        }
    }

    fn worker_cancels(&mut self, index: usize, key: Key) {
        match self.workers[index].in_hand.get(&key) {
            Some(InHand::Waiting) => {
                self.workers[index].line.retain(|waiting| *waiting != key);
                self.worker_ended(index, key, None, Outcome::Cancelled);
            }
            Some(InHand::Running(run)) => {
                let event = AtWorker::RunEnded(key, *run, Outcome::Cancelled);
                let after = self.random.between(1, 50);
                self.events.at(self.now + after, Event::Worker(self.worker_process(index), event));
            }
            Some(InHand::Ended(..)) | None => {}
        }
    }

    fn worker_run_ended(&mut self, index: usize, key: Key, run: RunId, outcome: Outcome) {
        if self.workers[index].in_hand.get(&key) == Some(&InHand::Running(run)) {
            self.ledger.run_ended(run, self.now, &outcome);
            self.workers[index].running -= 1;
            self.worker_ended(index, key, Some(run), outcome);
        }
    }

    fn worker_ended(&mut self, index: usize, key: Key, run: Option<RunId>, outcome: Outcome) {
        self.workers[index].in_hand.insert(key, InHand::Ended(run, outcome.clone()));
        self.tell_dispatcher(index, Up::Ended(key.0, key.1, run, outcome));
        self.worker_fills(index);
        self.ask(index);
    }

    fn worker_forgets(&mut self, index: usize, key: Key) {
        if let Some(InHand::Ended(..)) = self.workers[index].in_hand.get(&key) {
            self.workers[index].in_hand.remove(&key);
        } else {
            // It is of no interest; its end is acknowledged once more.
            self.worker_cancels(index, key);
        }
    }

    fn worker_leaves(&mut self, index: usize) {
        if std::mem::replace(&mut self.workers[index].leaves, true) {
            return;
        }
        self.tell_dispatcher(index, Up::Goodbye);
        self.give_back(index);
    }

    fn worker_beats(&mut self, index: usize) {
        self.events.at(self.now + BEAT, Event::Worker(self.worker_process(index), AtWorker::Beat));
        let worker = &self.workers[index];
        if worker.leaves && worker.in_hand.is_empty() && worker.connection.is_none() {
            return self.stop_worker(index, true, 1_000);
        }
        let Some(connection) = worker.connection else { return };
        if self.now >= worker.heard + SILENCE {
            return self.worker_disconnects(index);
        }
        if !worker.is_welcomed {
            return;
        }
        self.send_up(connection, Up::Heartbeat);
        if self.random.chance(150) {
            self.change_appetite(index);
        }
        if self.workers[index].rests {
            if self.healed || self.random.chance(400) {
                self.rest(index, false);
            }
        } else if !self.healed && self.random.chance(50) {
            self.rest(index, true);
        } else if self.plan.adversarial {
            // The last word may have been lost.
            self.tell_dispatcher(index, Up::Resting(false));
        }
        // What waits behind long attempts may as well run elsewhere; but a task goes back only so often.
        let worker = &self.workers[index];
        let is_early = worker.line.iter().all(|key| key.1 <= LAST_GIVEN_BACK);
        if worker.running == self.plan.workers[index].slots && is_early && self.random.chance(200) {
            self.give_back(index);
        }
    }

    /// A worker says something that is not true: that it began or ended an attempt that it never had.
    pub(super) fn forge(&mut self, index: usize, task: TaskId, attempt: Attempt, ends: bool) {
        let worker = &self.workers[index];
        if !worker.is_healthy() || self.ledger.was_assigned((task, attempt), self.worker_name(index)) {
            return;
        }
        self.trace.note(self.now, || format!("worker {index} lies about {}", A(task, attempt)));
        let message = match ends {
            true => Up::Ended(task, attempt, None, Outcome::Succeeded),
            false => Up::Started(task, attempt),
        };
        self.tell_dispatcher(index, message);
    }
}
