//! A store and workers that do what a random script says, and check what the dispatcher wants.
//!
//! Each operation of the store has two steps, carrying out and answering, so that everything that
//! can come in between does.

mod store;
mod workers;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bulkhead_dispatch::{Arrival, CancelAnswer, Cancelled, Config, Dispatcher, Input, Output, RecoverAnswer, Stats};
use bulkhead_protocol::id::{TaskId, WorkerId};
use bulkhead_protocol::outcome::Outcome;
use bulkhead_protocol::task::Attempt;

use crate::script;
use store::{Stored, Write};
use workers::Worker;

/// One thing that happens; what it happens to is picked by a number.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Step {
    Submit,
    PopClaim,
    DeliverClaim,
    FailClaim,
    /// A remote worker begins an attempt that waited there.
    Start,
    /// The store hears of it.
    ApplyStart,
    EndAttempt,
    RepeatEnd,
    ApplyWrite,
    DeliverWrite,
    FailWrite,
    Cancel,
    ApplyCancel,
    DeliverCancel,
    FailCancel,
    ApplyRecover,
    DeliverRecover,
    FailRecover,
    Wait,
    Heartbeat,
    /// A worker connects, for the first time or again.
    Hello,
    /// A worker dies, and whatever it had with it.
    Die,
    Disconnect,
    /// A worker speaks of what is not its own.
    Lie,
    Goodbye,
    DrainWorker,
    Ready,
    Ahead,
    /// The dispatcher dies, and the executor beside it.
    Restart,
    /// Another dispatcher takes all claims over.
    TakeOver,
    /// Another dispatcher does something with a task that it took.
    Elsewhere,
}

pub(crate) struct World {
    seed: u64,
    now: Duration,
    dispatcher: Dispatcher,
    store: BTreeMap<TaskId, Stored>,
    workers: BTreeMap<WorkerId, Worker>,
    /// The claim under way: how many it may take, and what it took.
    claim: Option<(usize, Vec<Arrival>)>,
    /// Starts that the store was not told yet.
    starts: BTreeSet<(TaskId, Attempt, WorkerId)>,
    /// Writes under way.
    writes: BTreeMap<TaskId, Write>,
    cancels: BTreeMap<TaskId, Option<CancelAnswer>>,
    recovers: BTreeMap<TaskId, (Attempt, WorkerId, Option<RecoverAnswer>)>,
    /// Tasks that someone wants to end and was not answered about.
    unanswered: BTreeSet<TaskId>,
    /// The newest attempt of each task that this dispatcher assigned.
    newest: BTreeMap<TaskId, Attempt>,
    /// All that was ever assigned, whether it arrived or not.
    assigned: BTreeSet<(TaskId, Attempt, WorkerId)>,
    /// All that a worker ever said at a hello that it has.
    declared: BTreeSet<(TaskId, Attempt, WorkerId)>,
    /// Whether another dispatcher ever took this one's claims over.
    was_taken_over: bool,
    /// How attempts ended, whoever was told.
    ends: BTreeMap<(TaskId, Attempt, WorkerId), Outcome>,
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
    Config { window: 24, prefetch: 4, unrecorded_bytes: 1_000, returns: 3, ..Config::default() }
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
            starts: BTreeSet::new(),
            writes: BTreeMap::new(),
            cancels: BTreeMap::new(),
            recovers: BTreeMap::new(),
            unanswered: BTreeSet::new(),
            newest: BTreeMap::new(),
            assigned: BTreeSet::new(),
            declared: BTreeSet::new(),
            was_taken_over: false,
            ends: BTreeMap::new(),
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
            Step::Start => self.start_attempt(pick),
            Step::ApplyStart => self.apply_start(pick),
            Step::EndAttempt => self.end_attempt(pick, &outcome(pick / 7)),
            Step::RepeatEnd => self.repeat_end(pick),
            Step::ApplyWrite => self.apply_write(pick),
            Step::DeliverWrite => self.deliver_write(pick),
            Step::FailWrite => self.fail_write(pick),
            Step::Cancel => {
                if let Some(task) = nth(self.store.keys().copied(), pick) {
                    self.unanswered.insert(task);
                    self.input(Input::Cancel { task });
                }
            }
            Step::ApplyCancel => self.apply_cancel(pick),
            Step::DeliverCancel => self.deliver_cancel(pick),
            Step::FailCancel => self.fail_cancel(pick),
            Step::ApplyRecover => self.apply_recover(pick),
            Step::DeliverRecover => self.deliver_recover(pick),
            Step::FailRecover => self.fail_recover(pick),
            Step::Wait => {
                let most = Duration::from_millis(pick as u64 % 12_000);
                self.now = self.wake.map_or(self.now, |wake| wake.min(self.now + most)).max(self.now);
                self.input(Input::Tick);
            }
            Step::Heartbeat => {
                if let Some(worker) = nth(self.linked(), pick) {
                    self.input(Input::Heartbeat { worker });
                }
            }
            Step::Hello => self.hello(pick % 4),
            Step::Die => self.die(pick),
            Step::Disconnect => self.disconnect(pick),
            Step::Lie => self.lie(pick),
            Step::Goodbye => self.goodbye(pick),
            Step::DrainWorker => self.input(Input::DrainWorker { worker: script::worker(pick as u64 % 4) }),
            Step::Ready => self.ready(pick),
            Step::Ahead => self.ahead(pick),
            Step::Restart => self.restart(),
            Step::TakeOver => self.take_over(),
            Step::Elsewhere => self.elsewhere(pick),
        }
    }

    /// Lets everything answer and every worker come back, until nothing is left to do.
    pub(crate) fn settle(&mut self) {
        for stored in self.store.values_mut() {
            stored.other = false;
        }
        for which in 0..4 {
            if which > 0 || self.drained.is_none() {
                self.hello(which);
            }
        }
        for _ in 0..1_000 {
            self.ready(4);
            let before = self.inputs.len();
            self.answer_all();
            while self.linked().any(|worker| self.workers[&worker].attempts().next().is_some()) {
                self.end_attempt(0, &Outcome::Succeeded);
            }
            self.pop_claim();
            if self.claim.as_ref().is_some_and(|claim| !claim.1.is_empty()) {
                self.deliver_claim();
            }
            if self.inputs.len() > before {
                continue;
            }
            if self.is_done() {
                return;
            }
            let delayed = self.store.values().filter(|task| task.ended.is_none() && !task.claimed);
            let next = delayed.map(|task| task.not_before).filter(|at| *at > self.now).chain(self.wake).min();
            let Some(next) = next else { panic!("there is nothing to wait for: {:#?}", self.left()) };
            self.now = next.max(self.now);
            for worker in self.linked().collect::<Vec<_>>() {
                self.input(Input::Heartbeat { worker });
            }
            self.input(Input::Tick);
        }
        panic!("it never settles: {:#?}", self.left());
    }

    fn is_done(&self) -> bool {
        let stats = self.stats();
        let in_hand = stats.running + stats.recording + stats.orphaned + stats.recovering + self.unanswered.len();
        match self.drained {
            Some(drained) => drained && self.unanswered.is_empty(),
            None => in_hand == 0 && self.store.values().all(|task| task.ended.is_some()),
        }
    }

    /// What did not end, and all that was said about it.
    fn left(&self) -> Vec<(&Stored, Vec<&String>)> {
        let said = |task: &TaskId| {
            let name = format!("t{}", task.0.as_u128() & 0xFFFF_FFFF);
            let about = move |output: &&String| output.split([' ', '#', ':']).any(|word| word == name);
            self.outputs.iter().filter(about).collect()
        };
        let left = self.store.iter().filter(|(_, stored)| stored.ended.is_none());
        left.map(|(task, stored)| (stored, said(task))).collect()
    }

    fn stats(&self) -> Stats {
        let mut stats = Stats::default();
        self.dispatcher.stats(&mut stats);
        stats
    }

    fn answer_all(&mut self) {
        while !self.starts.is_empty() {
            self.apply_start(0);
        }
        while !self.recovers.is_empty() {
            self.apply_recover(0);
            self.deliver_recover(0);
        }
        for _ in 0..self.writes.len() {
            self.apply_write(0);
            self.deliver_write(0);
        }
        while !self.cancels.is_empty() {
            self.apply_cancel(0);
            self.deliver_cancel(0);
        }
    }

    pub(crate) fn drain(&mut self, grace: Duration) {
        self.drained = Some(false);
        self.input(Input::Drain { grace });
    }

    pub(crate) fn check_all_ended(&self) {
        for (task, stored) in &self.store {
            assert!(stored.ended.is_some(), "{task} is stuck");
        }
        assert!(self.unanswered.is_empty(), "nobody was told of the cancel of {:?}", self.unanswered);
        for worker in self.linked() {
            assert!(self.workers[&worker].has.is_empty(), "{worker} keeps {:?}", self.workers[&worker].has);
        }
        let stats = self.stats();
        let left = stats.waiting + stats.running + stats.recording + stats.orphaned + stats.recovering;
        assert_eq!(left, 0, "{stats:?}");
    }

    pub(crate) fn check_drained(&self) {
        assert_eq!(self.drained, Some(true), "the drain does not end");
        assert!(self.unanswered.is_empty(), "nobody was told of the cancel of {:?}", self.unanswered);
        for (task, stored) in &self.store {
            let its = stored.claimed && self.newest.get(task) == Some(&stored.arrival.attempt);
            assert!(stored.ended.is_some() || !stored.running || !its, "{task} is left as running");
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
        self.dispatcher.audit();
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
            Output::CancelAttempt { worker, task, attempt } => self.kill(worker, task, attempt),
            Output::Recover { worker, task, attempt } => {
                let declared = self.declared.contains(&(task, attempt, worker));
                assert!(declared, "{worker} never said that it has {task}#{attempt}");
                let old = self.recovers.insert(task, (attempt, worker, None));
                assert!(old.is_none(), "the store is asked for {task} twice at once");
            }
            Output::AskToDrain { worker } => {
                if let Some(worker) = self.workers.get_mut(&worker) {
                    worker.leaving = true;
                    worker.asked_to_drain = true;
                }
            }
            Output::Record { task, attempt, record } => self.check_record(task, attempt, record),
            Output::CancelStored { task } => {
                assert!(self.cancels.insert(task, None).is_none(), "two cancels of {task} at once");
            }
            Output::CancelAnswered { task, result } => {
                self.unanswered.remove(&task);
                let ended = &self.store[&task].ended;
                match result {
                    Cancelled::Cancelled => assert_eq!(*ended, Some(Outcome::Cancelled)),
                    Cancelled::Ended => assert!(ended.is_some() || !self.store[&task].claimed, "{task} has not ended"),
                    _ => {}
                }
            }
            Output::Discard { worker, task, attempt } => self.acknowledge(worker, task, attempt),
            Output::Forget { task } => {
                assert!(!self.writes.contains_key(&task), "{task} is forgotten before it is written");
            }
            Output::Evict { worker } => self.cut(worker),
            Output::Dismiss { worker } => self.dismiss(worker),
            Output::Drained => {
                let local = self.workers.get(&script::worker(0));
                assert!(local.is_none_or(|worker| worker.has.is_empty()), "attempts still run");
                self.drained = Some(true);
            }
            Output::WakeAt(at) => self.wake = at,
            Output::DeadLetter { task, .. } => assert!(self.store[&task].dead_letter),
        }
    }

    /// The server dies and starts again: all but the store and the remote workers is lost.
    fn restart(&mut self) {
        for stored in self.store.values_mut() {
            stored.claimed = false;
            stored.arrival.expires = None;
        }
        self.workers.remove(&script::worker(0));
        for worker in self.workers.values_mut() {
            worker.unlink();
        }
        self.claim = None;
        self.starts.clear();
        self.writes.clear();
        self.cancels.clear();
        self.recovers.clear();
        self.unanswered.clear();
        self.newest.clear();
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
