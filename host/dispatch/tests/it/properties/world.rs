//! A store and workers that do what a random script says, and check what the dispatcher wants.
//!
//! Each operation of the store has two steps, carrying out and answering, so that everything that
//! can come in between does.

mod store;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bulkhead_dispatch::{CancelAnswer, Cancelled, Config, Dispatcher, Input, Output, Record, WorkerKind};
use bulkhead_protocol::id::{TaskId, WorkerId};
use bulkhead_protocol::outcome::Outcome;
use bulkhead_protocol::task::Attempt;

use crate::script;

/// One thing that happens; what it happens to is picked by a number.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Step {
    Submit,
    PopClaim,
    DeliverClaim,
    FailClaim,
    EndAttempt,
    RepeatEnd,
    ApplyWrite,
    DeliverWrite,
    FailWrite,
    Cancel,
    ApplyCancel,
    DeliverCancel,
    FailCancel,
    Wait,
    Heartbeat,
    Hello,
    Goodbye,
    Ready,
    Restart,
}

/// A task as the store knows it.
struct Stored {
    arrival: bulkhead_dispatch::Arrival,
    claimed: bool,
    running: bool,
    /// The lowest attempt that may still start or end the task.
    fence: Attempt,
    not_before: Duration,
    ended: Option<Outcome>,
}

struct Worker {
    kind: WorkerKind,
    slots: u32,
    leaving: bool,
    running: BTreeSet<(TaskId, Attempt)>,
}

pub(crate) struct World {
    seed: u64,
    now: Duration,
    dispatcher: Dispatcher,
    store: BTreeMap<TaskId, Stored>,
    workers: BTreeMap<WorkerId, Worker>,
    /// The claim under way: how many it may take, and what it took.
    claim: Option<(usize, Vec<TaskId>)>,
    /// Writes under way, with the answer once carried out.
    writes: BTreeMap<TaskId, (Attempt, Record, Option<bool>)>,
    cancels: BTreeMap<TaskId, Option<CancelAnswer>>,
    /// Tasks that arrived and were neither assigned nor given up since.
    waiting: BTreeSet<TaskId>,
    /// The newest attempt of each task that was ever assigned.
    newest: BTreeMap<TaskId, Attempt>,
    past: Vec<(WorkerId, TaskId, Attempt)>,
    wake: Option<Duration>,
    drained: Option<bool>,
    /// Every input, with none for a restart, and every output.
    inputs: Vec<Option<(Duration, Input)>>,
    outputs: Vec<String>,
}

/// Function `a` runs one attempt at once, `b` two.
fn concurrency(letter: char) -> Option<u32> {
    match letter {
        'a' => Some(1),
        'b' => Some(2),
        _ => None,
    }
}

fn config() -> Config {
    Config { window: 24, prefetch: 4, unrecorded_bytes: 1_000, ..Config::default() }
}

fn nth<T: Clone>(items: impl IntoIterator<Item = T>, pick: usize) -> Option<T> {
    let items: Vec<T> = items.into_iter().collect();
    if items.is_empty() { None } else { Some(items[pick % items.len()].clone()) }
}

impl World {
    pub(crate) fn new(seed: u64) -> Self {
        let mut world = Self {
            seed,
            now: Duration::ZERO,
            dispatcher: Dispatcher::new(config(), seed),
            store: BTreeMap::new(),
            workers: BTreeMap::new(),
            claim: None,
            writes: BTreeMap::new(),
            cancels: BTreeMap::new(),
            waiting: BTreeSet::new(),
            newest: BTreeMap::new(),
            past: Vec::new(),
            wake: None,
            drained: None,
            inputs: Vec::new(),
            outputs: Vec::new(),
        };
        world.hello(0);
        world
    }

    pub(crate) fn step(&mut self, step: Step, pick: usize) {
        self.now += Duration::from_millis(1);
        match step {
            Step::Submit => self.submit(pick),
            Step::PopClaim => self.pop_claim(),
            Step::DeliverClaim => self.deliver_claim(),
            Step::FailClaim => {
                if self.claim.is_some() {
                    self.give_up_claim();
                    self.input(Input::ClaimFailed);
                }
            }
            Step::EndAttempt => self.end_attempt(pick, &outcome(pick / 7)),
            Step::RepeatEnd => {
                if let Some((worker, task, attempt)) = nth(self.past.clone(), pick) {
                    self.input(Input::Ended { worker, task, attempt, outcome: Outcome::Succeeded, bytes: 1 });
                }
            }
            Step::ApplyWrite => self.apply_write(pick),
            Step::DeliverWrite => self.deliver_write(pick),
            Step::FailWrite => {
                // The store may have carried it out all the same.
                if let Some(task) = nth(self.writes.keys().copied(), pick) {
                    let (_, record, _) = self.writes.remove(&task).unwrap();
                    if matches!(record, Record::Requeue { .. }) {
                        self.back_in_line(task);
                    }
                    self.input(Input::RecordFailed { task });
                }
            }
            Step::Cancel => {
                if let Some(task) = nth(self.store.keys().copied(), pick) {
                    self.input(Input::Cancel { task });
                }
            }
            Step::ApplyCancel => self.apply_cancel(pick),
            Step::DeliverCancel => self.deliver_cancel(pick),
            Step::FailCancel => {
                // Not carried out: a cancel that was, and whose answer is lost, is told as failed,
                // and the task's next transition is refused as stale; the model leaves that out.
                if let Some(task) = nth(self.cancels.iter().filter(|c| c.1.is_none()).map(|c| *c.0), pick) {
                    self.cancels.remove(&task);
                    self.back_in_line(task);
                    self.input(Input::CancelStored { task, answer: CancelAnswer::Failed });
                }
            }
            Step::Wait => {
                let most = Duration::from_millis(pick as u64 % 12_000);
                self.now = self.wake.map_or(self.now, |wake| wake.min(self.now + most)).max(self.now);
                self.input(Input::Tick);
            }
            Step::Heartbeat => {
                if let Some(worker) = nth(self.workers.keys().copied(), pick) {
                    self.input(Input::Heartbeat { worker });
                }
            }
            Step::Hello => self.hello(pick % 3),
            Step::Goodbye => {
                if let Some(worker) = nth(self.workers.keys().copied(), pick) {
                    self.workers.get_mut(&worker).unwrap().leaving = true;
                    self.input(Input::Goodbye { worker });
                }
            }
            Step::Ready => {
                if self.workers.contains_key(&script::worker(2)) {
                    let count = u32::try_from(pick % 5).unwrap();
                    self.input(Input::Ready { worker: script::worker(2), count });
                }
            }
            Step::Restart => self.restart(),
        }
    }

    /// Lets everything answer until nothing moves: whatever is possible has then happened.
    pub(crate) fn settle(&mut self) {
        if self.drained.is_none() {
            self.hello(0);
        }
        for round in 0.. {
            assert!(round < 2_000, "it never settles");
            let before = self.inputs.len();
            for _ in 0..self.writes.len() {
                self.apply_write(0);
                self.deliver_write(0);
            }
            while !self.cancels.is_empty() {
                self.apply_cancel(0);
                self.deliver_cancel(0);
            }
            while self.workers.values().any(|worker| !worker.running.is_empty()) {
                self.end_attempt(0, &Outcome::Succeeded);
            }
            self.pop_claim();
            if self.claim.as_ref().is_some_and(|claim| !claim.1.is_empty()) {
                self.deliver_claim();
            }
            if self.inputs.len() > before {
                continue;
            }
            let delayed = self.store.values().filter(|task| task.ended.is_none() && !task.claimed);
            let next = delayed.map(|task| task.not_before).chain(self.wake).filter(|at| *at > self.now).min();
            // Only a remote worker that is silent for good still has a timer then.
            let Some(next) = next else { break };
            self.now = next;
            self.input(Input::Tick);
        }
    }

    pub(crate) fn drain(&mut self, grace: Duration) {
        self.drained = Some(false);
        self.waiting.clear();
        self.input(Input::Drain { grace });
    }

    pub(crate) fn check_all_ended(&self) {
        for (task, stored) in &self.store {
            assert!(stored.ended.is_some(), "{task} is stuck; waiting: {:?}", self.waiting);
        }
    }

    pub(crate) fn check_drained(&self) {
        assert_eq!(self.drained, Some(true), "the drain does not end");
        for (task, stored) in &self.store {
            assert!(stored.ended.is_some() || !stored.running, "{task} is left as running");
        }
    }

    pub(crate) fn outputs_as_text(&self) -> String {
        self.outputs.join("\n")
    }

    /// The outputs of a new dispatcher that is given the same inputs.
    pub(crate) fn replay(&self) -> String {
        let mut dispatcher = Dispatcher::new(config(), self.seed);
        let mut outputs = Vec::new();
        for input in &self.inputs {
            match input {
                None => dispatcher = Dispatcher::new(config(), self.seed),
                Some((now, input)) => dispatcher.handle(*now, input.clone()),
            }
            outputs.extend(std::iter::from_fn(|| dispatcher.poll()).map(|output| script::show(&output)));
        }
        outputs.join("\n")
    }

    fn input(&mut self, input: Input) {
        self.inputs.push(Some((self.now, input.clone())));
        self.dispatcher.handle(self.now, input);
        while let Some(output) = self.dispatcher.poll() {
            self.outputs.push(script::show(&output));
            self.carry_out(output);
        }
        self.check_nothing_is_stuck();
    }

    fn carry_out(&mut self, output: Output) {
        match output {
            Output::Claim { max } => {
                self.give_up_claim();
                self.claim = Some((max, Vec::new()));
            }
            Output::StopClaiming => self.give_up_claim(),
            Output::Refuse { task, reason } => panic!("refused {task}: {reason:?}"),
            Output::Release { task } => {
                assert!(self.drained.is_some(), "{task} is released without a drain");
            }
            Output::Assign { worker, task, attempt } => self.check_assign(worker, task, attempt),
            Output::Record { task, attempt, record } => {
                self.waiting.remove(&task);
                let old = self.writes.insert(task, (attempt, record, None));
                assert!(old.is_none(), "two writes for {task} at once");
            }
            Output::CancelStored { task } => {
                self.waiting.remove(&task);
                assert!(self.cancels.insert(task, None).is_none(), "two cancels of {task} at once");
            }
            Output::CancelAnswered { task, result: Cancelled::Cancelled } => {
                assert_eq!(self.store[&task].ended, Some(Outcome::Cancelled));
            }
            Output::CancelAnswered { task, result: Cancelled::Ended } => {
                assert!(self.store[&task].ended.is_some(), "{task} has not ended");
            }
            Output::Forget { task } => {
                assert!(!self.writes.contains_key(&task), "{task} is forgotten before it is written");
                self.waiting.remove(&task);
            }
            Output::Evict { worker } | Output::Dismiss { worker } => {
                self.workers.remove(&worker);
            }
            Output::Drained => {
                assert!(self.workers.values().all(|worker| worker.running.is_empty()), "attempts still run");
                self.drained = Some(true);
            }
            Output::WakeAt(at) => self.wake = at,
            Output::CancelAttempt { .. }
            | Output::CancelAnswered { .. }
            | Output::DeadLetter { .. }
            | Output::Discard { .. } => {}
        }
    }

    fn check_assign(&mut self, id: WorkerId, task: TaskId, attempt: Attempt) {
        assert!(self.drained.is_none(), "{task} begins in a drain");
        let worker = self.workers.get_mut(&id).expect("assigned to a worker that is not there");
        assert!(worker.running.len() < worker.slots as usize, "{id} has no free slot");
        assert!(!worker.leaving, "{id} said goodbye");
        worker.running.insert((task, attempt));
        let before = self.newest.insert(task, attempt).unwrap_or(0);
        assert!(attempt > before, "attempt {attempt} after {before}");
        let stored = self.store.get_mut(&task).unwrap();
        assert!(self.waiting.remove(&task), "{task} does not wait");
        assert_eq!(stored.ended, None, "{task} had ended");
        stored.arrival.attempt = attempt;
        (stored.running, stored.fence) = (true, attempt);
        let most = 1 + stored.arrival.retry.max + config().losses;
        assert!(attempt <= most, "attempt {attempt} of at most {most}");
        let function = stored.arrival.function;
        if let Some(most) = stored.arrival.concurrency {
            assert!(self.running_of(function) <= most as usize, "too many attempts of one function");
        }
    }

    fn running_of(&self, function: bulkhead_protocol::id::FunctionId) -> usize {
        let running = self.workers.values().flat_map(|worker| &worker.running);
        running.filter(|(task, _)| self.store[task].arrival.function == function).count()
    }

    fn check_nothing_is_stuck(&self) {
        let mut stats = bulkhead_dispatch::Stats::default();
        self.dispatcher.stats(&mut stats);
        assert_eq!(stats.waiting, self.waiting.len());
        // Each report is one byte here, so that unrecorded reports never hold back attempts.
        let has_room = |worker: &Worker| {
            worker.kind != WorkerKind::Pull && !worker.leaving && worker.running.len() < worker.slots as usize
        };
        if self.drained.is_some() || !self.workers.values().any(has_room) {
            return;
        }
        for task in &self.waiting {
            let arrival = &self.store[task].arrival;
            let running = self.running_of(arrival.function);
            let held_back = arrival.concurrency.is_some_and(|most| running >= most as usize);
            assert!(held_back, "{task} waits beside a free slot");
        }
    }

    /// What a remote worker ran under an id that says hello again is lost.
    fn hello(&mut self, which: usize) {
        let kinds = [(WorkerKind::Local, 3), (WorkerKind::Push, 2), (WorkerKind::Pull, 2)];
        let (kind, slots) = kinds[which];
        let worker = script::worker(which as u64);
        let running = BTreeSet::new();
        self.workers.insert(worker, Worker { kind, slots, leaving: false, running });
        self.input(Input::Hello { worker, kind, slots });
    }

    fn end_attempt(&mut self, pick: usize, outcome: &Outcome) {
        let running = self.workers.iter().flat_map(|(id, w)| w.running.iter().map(|r| (*id, r.0, r.1)));
        let Some((worker, task, attempt)) = nth(running, pick) else { return };
        self.workers.get_mut(&worker).unwrap().running.remove(&(task, attempt));
        self.past.push((worker, task, attempt));
        self.input(Input::Ended { worker, task, attempt, outcome: outcome.clone(), bytes: 1 });
    }

    /// The server dies and starts again: all but the store is lost.
    fn restart(&mut self) {
        for stored in self.store.values_mut() {
            // As the embedded store: it shows the outcome of the attempt before, where there is one.
            (stored.claimed, stored.running) = (false, false);
            stored.arrival.expires = None;
        }
        self.workers.clear();
        self.claim = None;
        self.writes.clear();
        self.cancels.clear();
        self.waiting.clear();
        self.wake = None;
        self.inputs.push(None);
        self.dispatcher = Dispatcher::new(config(), self.seed);
        self.hello(0);
    }
}

fn outcome(pick: usize) -> Outcome {
    let text = String::new;
    match pick % 7 {
        0 | 1 => Outcome::Succeeded,
        2 => Outcome::FunctionError { code: text(), message: text(), retryable: true },
        3 => Outcome::Crashed { signal: text() },
        4 => Outcome::SetupFailed { step: text(), errno: 1 },
        5 => Outcome::Cancelled,
        _ => Outcome::TimedOut { limit_ms: 1 },
    }
}
