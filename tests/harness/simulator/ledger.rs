//! What truly happened: every process that ran, and what the store was told. Dispatchers do not see this.

use std::collections::{BTreeMap, BTreeSet};

use bulkhead_dispatch::{CancelAnswer, Config};
use bulkhead_protocol::id::{TaskId, WorkerId};
use bulkhead_protocol::outcome::Outcome;
use bulkhead_protocol::task::{Attempt, Spent, Status};

use super::check::Violation;
use super::names::{A, Key, Ms, T};
use super::plan::{Plan, TaskPlan};
use super::store::{Answer, Op, Row, Store};
use super::world::World;

/// Names a run: one process that ran an attempt.
pub(super) type RunId = usize;

/// A process that ran an attempt.
#[derive(Debug)]
struct Run {
    /// Of which attempt.
    key: Key,
    /// How it ended, if it was not lost.
    outcome: Option<Outcome>,
    /// Whether it is over.
    is_over: bool,
}

/// What the store was told of a task.
#[derive(Debug, Default)]
struct Told {
    /// What it had used up at the last requeue.
    spent: Spent,
    /// Attempts that a drain ended, or that someone's cancel did.
    drained: BTreeSet<Attempt>,
    /// Attempts that were given back as not begun.
    returned: BTreeSet<Attempt>,
    /// Numbers that a dispatcher passed over, because a worker still has an attempt that was fenced off
    /// before the store knew of it.
    passed_over: BTreeSet<Attempt>,
}

/// What truly happened.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    /// Every process that ran.
    runs: Vec<Run>,
    /// Whom each attempt was ever assigned to.
    assigned: BTreeSet<(Key, WorkerId)>,
    /// The newest attempt of each task that was assigned.
    newest: BTreeMap<TaskId, Attempt>,
    /// What the store was told.
    told: BTreeMap<TaskId, Told>,
    /// Processes that have not ended.
    running: usize,
}

impl Ledger {
    /// A dispatcher assigns an attempt, the next after `newest`.
    pub(super) fn assign(&mut self, key: Key, newest: Attempt, worker: WorkerId) {
        if newest + 1 < key.1 {
            self.told.entry(key.0).or_default().passed_over.extend(newest + 1..key.1);
        }
        self.assigned.insert((key, worker));
        let newest = self.newest.entry(key.0).or_default();
        *newest = (*newest).max(key.1);
    }

    /// Whether any dispatcher assigned an attempt to a worker.
    pub(super) fn was_assigned(&self, key: Key, worker: WorkerId) -> bool {
        self.assigned.contains(&(key, worker))
    }

    /// The newest attempt of a task that was assigned.
    pub(super) fn newest(&self, task: TaskId) -> Attempt {
        self.newest.get(&task).copied().unwrap_or(0)
    }

    /// A process begins.
    pub(super) fn begin(&mut self, key: Key) -> RunId {
        self.running += 1;
        self.runs.push(Run { key, outcome: None, is_over: false });
        self.runs.len() - 1
    }

    /// A process ended by itself or was killed and reaped.
    pub(super) fn run_ended(&mut self, run: RunId, _now: Ms, outcome: &Outcome) {
        if let Some(run) = self.runs.get_mut(run) {
            self.running -= usize::from(!run.is_over);
            (run.is_over, run.outcome) = (true, Some(outcome.clone()));
        }
    }

    /// A process died with its worker.
    pub(super) fn run_died(&mut self, run: RunId, _now: Ms) {
        if let Some(run) = self.runs.get_mut(run) {
            self.running -= usize::from(!run.is_over);
            run.is_over = true;
        }
    }

    /// How many processes run.
    pub(super) fn running(&self) -> usize {
        self.running
    }

    /// How many processes ever ran.
    pub(super) fn runs(&self) -> usize {
        self.runs.len()
    }

    /// Whether a process of this attempt ended like this.
    fn ended_so(&self, key: Key, outcome: &Outcome) -> bool {
        self.runs.iter().any(|run| run.key == key && run.outcome.as_ref() == Some(outcome))
    }

    /// Takes note of a transition that the store made.
    ///
    /// # Errors
    /// Where the store was told what is not so.
    fn note(&mut self, op: &Op) -> Result<(), (Violation, String)> {
        match op {
            Op::Finish { task, attempt, outcome, run, .. } => {
                let key = (*task, *attempt);
                let by_dispatcher = matches!(outcome, Outcome::Cancelled | Outcome::WorkerLost | Outcome::Expired);
                let Some(run) = run else {
                    if by_dispatcher {
                        return Ok(());
                    }
                    let text = format!("{} ends as {} without a report", A(*task, *attempt), outcome.kind());
                    return Err((Violation::Invented, text));
                };
                let is_so = (self.runs.get(*run))
                    .is_some_and(|run| run.key == key && (by_dispatcher || run.outcome.as_ref() == Some(outcome)));
                if !is_so {
                    let text = format!("{} did not end as {}", A(*task, *attempt), outcome.kind());
                    return Err((Violation::Invented, text));
                }
            }
            Op::Requeue { task, attempt, outcome, spent, .. } => {
                let key = (*task, *attempt);
                let told = self.told.entry(*task).or_default();
                if *outcome == Outcome::Cancelled {
                    told.drained.insert(*attempt);
                }
                if spent.returns > told.spent.returns {
                    told.returned.insert(*attempt);
                }
                told.spent = *spent;
                let by_dispatcher = matches!(outcome, Outcome::Cancelled | Outcome::WorkerLost);
                if !by_dispatcher && !self.ended_so(key, outcome) {
                    let text = format!("{} did not end as {}", A(*task, *attempt), outcome.kind());
                    return Err((Violation::Invented, text));
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Whether every task ended once, and ran no more often than its budgets allow.
    ///
    /// # Errors
    /// The first that did not.
    pub(super) fn check(&self, plan: &Plan, store: &Store) -> Result<(), (Violation, String)> {
        let mut runs: BTreeMap<TaskId, BTreeMap<Attempt, u32>> = BTreeMap::new();
        for run in &self.runs {
            *runs.entry(run.key.0).or_default().entry(run.key.1).or_default() += 1;
        }
        let none = (BTreeMap::new(), Told::default());
        for (id, row) in &store.rows {
            let Some(task) = plan.task(*id) else { continue };
            if row.ends != 1 || !row.status.is_terminal() {
                return Err((Violation::Ends, format!("{} ended {} times", T(*id), row.ends)));
            }
            let (runs, told) = (runs.get(id).unwrap_or(&none.0), self.told.get(id).unwrap_or(&none.1));
            check_budgets(task, row, runs, told, &plan.config)?;
        }
        Ok(())
    }
}

/// Whether a task ran no more often than its budgets allow.
///
/// Of the attempts of a task that ran at all, the last may end it, and each of the others must have been
/// paid for: by the function's retries, by the budget of losses, by a drain, or by the budget of
/// returns where the worker had no chance to say that it began. That an attempt's number is used again
/// (its start was never stored, and its dispatcher died) is checked when it is assigned: it is always
/// the next after the newest that the store knew.
fn check_budgets(
    task: &TaskPlan,
    row: &Row,
    runs: &BTreeMap<Attempt, u32>,
    told: &Told,
    config: &Config,
) -> Result<(), (Violation, String)> {
    let ran = |attempts: &BTreeSet<Attempt>| attempts.iter().filter(|attempt| runs.contains_key(attempt)).count();
    let paid = u64::from(task.retry.max) + u64::from(config.losses);
    let excused = ran(&told.drained) + ran(&told.returned) + ran(&told.passed_over);
    let used = runs.len() as u64;
    if used > 1 + paid + excused as u64 {
        let text = format!(
            "{} ran in {used} attempts: 1 + {} retries + {} losses + {} drained + {} returned + {} fenced off are allowed",
            T(task.id),
            task.retry.max,
            config.losses,
            ran(&told.drained),
            ran(&told.returned),
            ran(&told.passed_over),
        );
        return Err((Violation::Budget, text));
    }
    let Spent { failures, crashes, losses, returns } = row.spent;
    if failures > task.retry.max || losses > config.losses || returns > config.returns {
        return Err((Violation::Budget, format!("{} has spent {:?}", T(task.id), row.spent)));
    }
    if crashes >= config.crash_cap {
        return Err((Violation::CrashCap, format!("{} was tried again after {crashes} crashes", T(task.id))));
    }
    Ok(())
}

impl World {
    /// Takes note of what the store answered, at the moment when it did.
    pub(super) fn note_store(&mut self, op: &Op, answer: &Answer) {
        let applied = *answer == Answer::Applied(true) || *answer == Answer::Cancel(CancelAnswer::Cancelled);
        self.trace.store(self.now, op, answer);
        if applied && let Err((violation, text)) = self.ledger.note(op) {
            self.violated(violation, text);
        }
    }

    /// Tasks that are in the store and have not ended.
    pub(super) fn open_tasks(&self) -> usize {
        let open = |row: &&Row| !matches!(row.status, Status::Completed | Status::Failed);
        self.store.rows.values().filter(open).count()
    }
}
