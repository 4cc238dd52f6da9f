//! Attempts that workers have in hand of tasks that this dispatcher does not know: the dispatcher that
//! assigned them died, perhaps an earlier life of this one. The store decides whose they are.
//!
//! Only what a worker said it has at its hello comes here, so that nobody can make a dispatcher ask the
//! store about tasks at will. Several workers may say that they have attempts of one task; the store
//! is asked about one after the other.

use std::collections::BTreeMap;
use std::time::Duration;

use bulkhead_protocol::id::{TaskId, WorkerId};
use bulkhead_protocol::outcome::Outcome;
use bulkhead_protocol::task::Attempt;

use super::Dispatcher;
use super::drain::Drain;
use super::task::{Entry, State};
use crate::input::{Arrival, RecoverAnswer};
use crate::output::{Cancelled, Output};
use crate::timer::{Key, Timer};

/// Most tasks that are looked for at once, in windows; attempts beyond are given up.
const RECOVERIES_PER_WINDOW: usize = 16;

/// Most tasks that the store is asked for at once; the others wait their turn.
const RECOVERIES_AT_ONCE: usize = 256;

/// What a worker has in hand of a task: which attempt, and how it ended if it did (outcome, size of the
/// report).
pub(super) type Claim = (WorkerId, Attempt, Option<(Outcome, u64)>);

/// A task that is not known here and of which workers have attempts in hand.
#[derive(Debug, Default)]
pub(super) struct Recovery {
    /// The attempts that workers have, and how each ended if it did: outcome, size of the report.
    claims: BTreeMap<(Attempt, WorkerId), Option<(Outcome, u64)>>,
    /// Whether the store is being asked.
    ask: Ask,
    /// What the store was asked and failed to answer: it may have handed the task over all the same, so
    /// it is asked again even when nobody has the attempt any more.
    unsure: Option<(Attempt, WorkerId)>,
    /// Answers of the store that failed in a row.
    failures: u32,
    /// Whether someone wants the task to end.
    pub(super) cancel: bool,
}

/// Whether the store is being asked for a task.
#[derive(Clone, Copy, Debug, Default)]
enum Ask {
    /// It is not, or it is not its turn.
    #[default]
    No,
    /// It was asked for this and has not answered.
    UnderWay {
        /// The attempt.
        attempt: Attempt,
        /// The worker that has it.
        worker: WorkerId,
        /// The task came or ended otherwise in the meantime: the answer is of no meaning.
        void: bool,
    },
    /// It is asked again when the timer fires.
    Resting(Key),
}

impl Dispatcher {
    /// A worker says at its hello that it has an attempt.
    pub(super) fn brought(&mut self, worker: WorkerId, task: TaskId, attempt: Attempt) {
        if self.is_reported(task, attempt, worker) {
            return;
        }
        if let Some(recovery) = self.recovering.get(&task)
            && let Some(end) = recovery.claims.get(&(attempt, worker))
        {
            if end.is_none() {
                self.pool.has(worker, task, attempt);
            }
            return;
        }
        self.pool.has(worker, task, attempt);
        let Some(entry) = self.tasks.get(&task) else { return self.claim_in_hand(worker, task, attempt) };
        let newest = entry.arrival.attempt;
        let goes_on = match entry.state {
            State::Running { worker: on, drained, .. } if on == worker && newest == attempt => {
                if entry.cancel || drained {
                    // It may not have heard: the connection broke.
                    self.outputs.push_back(Output::CancelAttempt { worker, task, attempt });
                }
                return;
            }
            State::Waiting { .. } | State::Orphaned { .. } => entry.arrival.goes_on(attempt, worker),
            State::New | State::Running { .. } | State::Recording(_) => false,
        };
        if goes_on && let Some(entry) = self.remove(task) {
            self.adopt(entry, (worker, attempt, None));
        } else {
            self.outputs.push_back(Output::CancelAttempt { worker, task, attempt });
        }
    }

    /// A worker has an attempt of a task that is not known.
    fn claim_in_hand(&mut self, worker: WorkerId, task: TaskId, attempt: Attempt) {
        let most = RECOVERIES_PER_WINDOW.saturating_mul(self.config.window);
        if self.recovering.len() >= most && !self.recovering.contains_key(&task) {
            return self.outputs.push_back(Output::CancelAttempt { worker, task, attempt });
        }
        self.recovering.entry(task).or_default().claims.insert((attempt, worker), None);
        self.in_hand.insert(worker, (task, attempt));
        self.recover(task);
    }

    /// Whether a worker said at its hello that it has this attempt, and it is not known yet whose it is.
    pub(super) fn claims(&self, worker: WorkerId, task: TaskId, attempt: Attempt) -> bool {
        self.in_hand.contains(worker, (task, attempt))
    }

    /// An attempt ended before it is known whose it is. The driver keeps the report until then.
    pub(super) fn claim_ended(
        &mut self,
        worker: WorkerId,
        task: TaskId,
        attempt: Attempt,
        outcome: Outcome,
        bytes: u64,
    ) {
        let Some(recovery) = self.recovering.get_mut(&task) else { return };
        if let Some(end @ None) = recovery.claims.get_mut(&(attempt, worker)) {
            *end = Some((outcome, bytes));
            self.unrecorded_bytes += bytes;
            self.owe(worker);
        }
    }

    /// What workers have in hand of a task that came from the store and go on with it; taken out.
    pub(super) fn claim_that_goes_on(&mut self, arrival: &Arrival) -> Option<Claim> {
        let recovery = self.recovering.get(&arrival.task)?;
        let goes_on = |(attempt, worker): &&(Attempt, WorkerId)| arrival.goes_on(*attempt, *worker);
        let (attempt, worker) = *recovery.claims.keys().find(goes_on)?;
        let end = self.take_claim(worker, arrival.task, attempt)?;
        Some((worker, attempt, end))
    }

    /// Lets a task go on with the attempt that a worker has in hand.
    pub(super) fn adopt(&mut self, mut entry: Entry, (worker, attempt, end): Claim) {
        let (task, function, cancel) = (entry.arrival.task, entry.arrival.function, entry.cancel);
        entry.arrival.attempt = attempt;
        entry.cancel = false;
        self.queue.adopt(function, entry.arrival.concurrency);
        self.pool.hold(worker, function);
        self.running += 1;
        self.insert(Entry { state: State::Running { worker, begun: true, drained: false, again: None }, ..entry });
        if let Some((outcome, bytes)) = end {
            self.conclude(task, outcome, Some((worker, bytes)));
        }
        if cancel {
            self.cancel(task);
        }
    }

    /// Gives up what workers have in hand of a task: it goes on otherwise, or has ended.
    pub(super) fn settle_claims(&mut self, task: TaskId) {
        let Some(recovery) = self.recovering.get_mut(&task) else { return };
        if let Ask::UnderWay { void, .. } = &mut recovery.ask {
            *void = true;
        }
        recovery.unsure = None;
        let claims: Vec<(Attempt, WorkerId)> = recovery.claims.keys().copied().collect();
        for (attempt, worker) in claims {
            self.refuse_claim(worker, task, attempt);
        }
        self.forget_recovery(task);
    }

    /// Gives up what a worker has in hand.
    fn refuse_claim(&mut self, worker: WorkerId, task: TaskId, attempt: Attempt) {
        match self.take_claim(worker, task, attempt) {
            Some(Some(_)) => {
                self.stale += 1;
                self.outputs.push_back(Output::Discard { worker, task, attempt });
                self.dismiss_if_left(worker);
            }
            Some(None) => self.outputs.push_back(Output::CancelAttempt { worker, task, attempt }),
            None => {}
        }
    }

    /// A worker is gone, or does not have an attempt any more.
    pub(super) fn drop_claim(&mut self, worker: WorkerId, task: TaskId, attempt: Attempt) {
        if let Some(Some(_)) = self.take_claim(worker, task, attempt) {
            self.stale += 1;
            self.outputs.push_back(Output::Discard { worker, task, attempt });
        }
        self.forget_recovery(task);
    }

    /// Takes out what a worker has in hand, with how it ended if it did.
    fn take_claim(&mut self, worker: WorkerId, task: TaskId, attempt: Attempt) -> Option<Option<(Outcome, u64)>> {
        self.in_hand.remove(worker, (task, attempt));
        let end = self.recovering.get_mut(&task)?.claims.remove(&(attempt, worker))?;
        if let Some((_, bytes)) = &end {
            self.unrecorded_bytes -= bytes;
            self.settle(worker);
        }
        Some(end)
    }

    /// Forgets a task that nobody has in hand and of which no answer is awaited.
    fn forget_recovery(&mut self, task: TaskId) {
        let Some(recovery) = self.recovering.get(&task) else { return };
        if !recovery.claims.is_empty() || recovery.unsure.is_some() {
            return;
        }
        match recovery.ask {
            Ask::UnderWay { .. } => return,
            Ask::Resting(key) => self.timers.unset(key),
            Ask::No => {}
        }
        self.answer_cancel(task, Cancelled::Elsewhere);
        self.unasked.remove(&task);
        self.recovering.remove(&task);
    }

    /// Asks the store for a task that workers have attempts of, unless it is being asked.
    pub(super) fn recover(&mut self, task: TaskId) {
        self.forget_recovery(task);
        let idle = self.drain == Drain::No && !self.asked.contains_key(&task) && !self.tasks.contains_key(&task);
        let Some(recovery) = self.recovering.get_mut(&task).filter(|_| idle) else { return };
        let Ask::No = recovery.ask else { return };
        // The newest attempt is the likeliest to be of interest.
        let newest = recovery.claims.last_key_value().map(|(claim, _)| *claim);
        let Some((attempt, worker)) = recovery.unsure.or(newest) else { return };
        if self.asking >= RECOVERIES_AT_ONCE {
            self.unasked.insert(task);
            return;
        }
        self.asking += 1;
        recovery.ask = Ask::UnderWay { attempt, worker, void: false };
        self.outputs.push_back(Output::Recover { worker, task, attempt });
    }

    /// Asks for those that waited their turn.
    fn recover_next(&mut self) {
        while self.asking < RECOVERIES_AT_ONCE
            && let Some(task) = self.unasked.pop_first()
        {
            self.recover(task);
        }
    }

    /// Asks the store again.
    pub(super) fn recover_again(&mut self, task: TaskId) {
        if let Some(recovery) = self.recovering.get_mut(&task) {
            recovery.ask = Ask::No;
        }
        self.recover(task);
    }

    /// The store answered whose an attempt is.
    pub(super) fn recovered(&mut self, task: TaskId, attempt: Attempt, answer: RecoverAnswer) {
        let Some(recovery) = self.recovering.get_mut(&task) else { return };
        let Ask::UnderWay { attempt: asked, worker, void } = recovery.ask else { return };
        if asked != attempt {
            return;
        }
        self.asking -= 1;
        recovery.ask = Ask::No;
        recovery.unsure = None;
        match answer {
            _ if void => {
                if matches!(answer, RecoverAnswer::Taken(_)) && !self.tasks.contains_key(&task) {
                    // The task has ended in the meantime, and the driver took its input with the answer.
                    self.outputs.push_back(Output::Forget { task });
                }
                self.recover(task);
            }
            RecoverAnswer::Taken(arrival) => {
                self.recovered_task(arrival);
                self.recover(task);
            }
            RecoverAnswer::Stale => {
                self.refuse_claim(worker, task, attempt);
                self.recover(task);
            }
            RecoverAnswer::Owned => {
                self.answer_cancel(task, Cancelled::Elsewhere);
                self.recover_after(task, self.config.recover_again);
                self.forget_recovery(task);
            }
            RecoverAnswer::Failed => {
                recovery.unsure = Some((attempt, worker));
                recovery.failures = recovery.failures.saturating_add(1);
                let failures = recovery.failures;
                self.answer_cancel(task, Cancelled::Unavailable);
                let wait = self.store_backoff(failures);
                self.recover_after(task, wait);
            }
        }
        self.recover_next();
    }

    /// Tells who wanted a task to end that it is not known whose it is.
    fn answer_cancel(&mut self, task: TaskId, result: Cancelled) {
        if let Some(recovery) = self.recovering.get_mut(&task)
            && std::mem::take(&mut recovery.cancel)
        {
            self.outputs.push_back(Output::CancelAnswered { task, result });
        }
    }

    fn recover_after(&mut self, task: TaskId, wait: Duration) {
        let key = self.timers.set(self.now.saturating_add(wait), Timer::Recover(task));
        if let Some(recovery) = self.recovering.get_mut(&task) {
            recovery.ask = Ask::Resting(key);
        }
    }

    /// The store handed over a task because a worker has an attempt of it, or had when it was asked.
    fn recovered_task(&mut self, arrival: Arrival) {
        let task = arrival.task;
        match self.asked.get_mut(&task) {
            // A cancel is decided first.
            Some(asked) if asked.held.is_none() => (asked.held, asked.came_since) = (Some(arrival), true),
            None if !self.tasks.contains_key(&task) => self.take(arrival, true),
            _ => {}
        }
    }

    /// Of tasks that came in the meantime and are gone again, the answers count.
    pub(super) fn hear_all_recoveries(&mut self) {
        for (task, recovery) in &mut self.recovering {
            if let Ask::UnderWay { void, .. } = &mut recovery.ask {
                *void = self.tasks.contains_key(task);
            }
        }
    }

    /// A drain begins: nothing is looked for any more. What workers have in hand they bring to whichever
    /// dispatcher comes next.
    pub(super) fn stop_recovering(&mut self) {
        for (task, recovery) in &mut self.recovering {
            if std::mem::take(&mut recovery.cancel) {
                self.outputs.push_back(Output::CancelAnswered { task: *task, result: Cancelled::Elsewhere });
            }
        }
    }

    /// Goes through what is being looked for, for tests: how many claims there are, and the size of the
    /// reports that they hold; adds to what each worker reported.
    pub(super) fn audit_recoveries(&self, owed: &mut BTreeMap<WorkerId, usize>) -> (usize, u64) {
        let (mut claims, mut bytes, mut asking) = (0, 0, 0);
        for (task, recovery) in &self.recovering {
            assert!(!self.tasks.contains_key(task) || recovery.claims.is_empty(), "{task} is in hand and looked for");
            let idle = matches!(recovery.ask, Ask::No);
            asking += usize::from(matches!(recovery.ask, Ask::UnderWay { .. }));
            let waits = self.unasked.contains(task) || self.asked.contains_key(task) || self.drain != Drain::No;
            assert!(!idle || waits, "{task} is not looked for");
            for ((attempt, worker), end) in &recovery.claims {
                claims += 1;
                assert!(self.in_hand.contains(*worker, (*task, *attempt)), "{task}#{attempt} is not in hand");
                if let Some((_, size)) = end {
                    bytes += size;
                    *owed.entry(*worker).or_insert(0) += 1;
                }
            }
        }
        assert_eq!(asking, self.asking);
        assert!(asking <= RECOVERIES_AT_ONCE && self.unasked.len() <= self.recovering.len());
        (claims, bytes)
    }
}
