//! A store as `host/src/store` promises one: a durable queue with claims, leases and takeover, and
//! transitions that are fenced by the attempt. Each operation is one step; what goes wrong on the
//! way there and back is the business of `calls`.

use std::collections::{BTreeMap, BTreeSet};

use bulkhead_dispatch::CancelAnswer;
use bulkhead_protocol::id::{TaskId, WorkerId};
use bulkhead_protocol::outcome::Outcome;
use bulkhead_protocol::task::{Attempt, Priority, Spent, Status};

use super::ledger::RunId;
use super::names::Ms;

/// How long a claim outlives its dispatcher.
pub(super) const LEASE: Ms = 10_000;

/// One life of a dispatcher, as the store knows it; a dispatcher that was taken for dead gets
/// another.
pub(super) type Lease = u32;

/// What is asked of the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Op {
    /// Take up to so many tasks.
    Claim(usize),
    /// An attempt began on a worker.
    Started(TaskId, Attempt, WorkerId),
    /// The task ends, with the report of a run where there is one.
    Finish { task: TaskId, attempt: Attempt, outcome: Outcome, dead_letter: bool, run: Option<RunId> },
    /// The task goes back to the queue.
    Requeue { task: TaskId, attempt: Attempt, outcome: Outcome, spent: Spent, not_before: Ms },
    /// End the task if it does not run; from a dispatcher.
    CancelQueued(TaskId),
    /// Take over the task of an attempt that a worker has in hand.
    Recover(TaskId, Attempt, WorkerId),
    /// A gateway's wish that a task ends.
    Cancel(TaskId),
    /// A gateway stores the task.
    Submit(TaskId, Priority, Option<Ms>),
}

/// What the store says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// The tasks that were claimed.
    Claimed(Vec<(TaskId, Row)>),
    /// The lease was taken over; this is the next.
    TakenOver(Lease),
    /// Whether the transition was made.
    Applied(bool),
    /// What became of a cancel.
    Cancel(CancelAnswer),
    /// The task is the caller's now.
    Taken(Row),
    /// Another has it.
    Owned,
    /// The attempt is of no interest.
    Stale,
    /// It failed, or nobody knows.
    Unavailable,
}

/// A task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Row {
    /// Its place in the order.
    pub(super) priority: Priority,
    /// Time after which it is too late for its first attempt.
    pub(super) expires: Option<Ms>,
    /// How far it has come.
    pub(super) status: Status,
    /// Its newest attempt.
    pub(super) attempt: Attempt,
    /// Lowest attempt that is still believed.
    pub(super) fence: Attempt,
    /// How its latest ended attempt did.
    pub(super) outcome: Option<Outcome>,
    /// What it has used up.
    pub(super) spent: Spent,
    /// Where its newest attempt began.
    pub(super) worker: Option<WorkerId>,
    /// Whether it crashed too often.
    pub(super) dead_letter: bool,
    /// Who claimed it.
    pub(super) owner: Option<Lease>,
    /// Whether the claim's answer arrived; if not, the next claim brings it again.
    pub(super) delivered: bool,
    /// When it may be claimed.
    pub(super) not_before: Ms,
    /// Its place among equals.
    pub(super) turn: u64,
    /// Whether its attempt's dispatcher is gone, and nobody has said since that it still runs.
    pub(super) is_cut_off: bool,
    /// Whether someone asked for its end while it ran.
    pub(super) unwanted: bool,
    /// How often it ended: exactly once, if all is well.
    pub(super) ends: u32,
    /// What it was before a start that is not on disk yet; embedded store only.
    pub(super) before_start: Option<(Status, Attempt, Attempt, Option<WorkerId>)>,
}

/// The store.
#[derive(Debug, Default)]
pub(super) struct Store {
    /// Whether it is the embedded one; else Redis. They differ where the contract leaves it open.
    embedded: bool,
    /// The tasks.
    pub(super) rows: BTreeMap<TaskId, Row>,
    /// When each lease runs out.
    leases: BTreeMap<Lease, Ms>,
    /// Leases that were taken over or given back, for good.
    dead: BTreeSet<Lease>,
    /// Makes leases.
    next_lease: Lease,
    /// Makes places in the queue.
    next_turn: u64,
    /// Milliseconds that its clock is ahead of the world's.
    pub(super) ahead: Ms,
}

impl Store {
    /// An empty store.
    pub(super) fn new(embedded: bool) -> Self {
        Self { embedded, ..Self::default() }
    }

    /// A lease for a dispatcher that starts.
    pub(super) fn lease(&mut self, now: Ms) -> Lease {
        self.next_lease += 1;
        self.leases.insert(self.next_lease, now + self.ahead + LEASE);
        self.next_lease
    }

    /// A dispatcher lives. In vain once its lease is taken over.
    pub(super) fn renew(&mut self, lease: Lease, now: Ms) {
        if !self.dead.contains(&lease) {
            self.leases.insert(lease, now + self.ahead + LEASE);
        }
    }

    /// A dispatcher ends, or is known to be dead: what it had claimed is free at once.
    pub(super) fn give_back(&mut self, lease: Lease) {
        self.dead.insert(lease);
        for row in self.rows.values_mut().filter(|row| row.owner == Some(lease)) {
            (row.owner, row.delivered, row.is_cut_off) = (None, false, true);
        }
    }

    /// The embedded store forgets the starts that it had not written when its process died.
    pub(super) fn forget_unwritten(&mut self, mut forgets: impl FnMut() -> bool) {
        for row in self.rows.values_mut() {
            if let Some((status, attempt, fence, worker)) = row.before_start.take()
                && row.status == Status::Running
                && forgets()
            {
                (row.status, row.attempt, row.fence, row.worker) = (status, attempt, fence, worker);
            }
        }
    }

    /// The answer to a claim arrived.
    pub(super) fn delivered(&mut self, task: TaskId, lease: Lease) {
        if let Some(row) = self.rows.get_mut(&task).filter(|row| row.owner == Some(lease)) {
            row.delivered = true;
        }
    }

    /// Carries out an operation. None: a claim that waits.
    pub(super) fn apply(&mut self, now: Ms, lease: Lease, op: &Op) -> Option<Answer> {
        Some(match op {
            Op::Claim(max) => return self.claim(now, lease, *max),
            Op::Started(task, attempt, worker) => Answer::Applied(self.started(now, lease, *task, *attempt, *worker)),
            Op::Finish { task, attempt, outcome, dead_letter, .. } => {
                Answer::Applied(self.finish(*task, *attempt, outcome, *dead_letter))
            }
            Op::Requeue { task, attempt, outcome, spent, not_before } => {
                Answer::Applied(self.requeue(*task, *attempt, outcome, *spent, *not_before))
            }
            Op::CancelQueued(task) => Answer::Cancel(self.cancel(*task, false)),
            Op::Cancel(task) => Answer::Cancel(self.cancel(*task, true)),
            Op::Recover(task, attempt, worker) => self.recover(now, lease, *task, *attempt, *worker),
            Op::Submit(task, priority, expires) => Answer::Applied(self.submit(now, *task, *priority, *expires)),
        })
    }

    fn submit(&mut self, now: Ms, task: TaskId, priority: Priority, expires: Option<Ms>) -> bool {
        self.next_turn += 1;
        let row = Row {
            priority,
            expires,
            status: Status::Queued,
            attempt: 0,
            fence: 0,
            outcome: None,
            spent: Spent::default(),
            worker: None,
            dead_letter: false,
            owner: None,
            delivered: false,
            not_before: now,
            turn: self.next_turn,
            is_cut_off: false,
            unwanted: false,
            ends: 0,
            before_start: None,
        };
        self.rows.entry(task).or_insert(row);
        true
    }

    fn is_dead(&self, lease: Lease, now: Ms) -> bool {
        self.dead.contains(&lease) || self.leases.get(&lease).is_none_or(|until| *until <= now + self.ahead)
    }

    fn claim(&mut self, now: Ms, lease: Lease, max: usize) -> Option<Answer> {
        if self.dead.contains(&lease) {
            return Some(Answer::TakenOver(self.lease(now)));
        }
        let mut free: Vec<(u8, std::cmp::Reverse<Priority>, u64, TaskId)> = Vec::new();
        for (task, row) in self.rows.iter().filter(|(_, row)| !row.status.is_terminal()) {
            let rank = match row.owner {
                Some(owner) if owner == lease && !row.delivered => 0,
                Some(owner) if owner != lease && self.is_dead(owner, now) => 1,
                None if row.not_before <= now => 2,
                _ => continue,
            };
            free.push((rank, std::cmp::Reverse(row.priority), row.turn, *task));
        }
        if free.is_empty() {
            return None;
        }
        free.sort_unstable();
        let mut claimed = Vec::new();
        let embedded = self.embedded;
        for (_, _, _, task) in free.into_iter().take(max) {
            if let Some(owner) = self.rows.get(&task).and_then(|row| row.owner).filter(|owner| *owner != lease) {
                self.dead.insert(owner);
            }
            if let Some(row) = self.rows.get_mut(&task) {
                if row.unwanted && row.owner != Some(lease) && !embedded {
                    row.end(Outcome::Cancelled);
                    continue;
                }
                row.is_cut_off |= row.owner.is_some_and(|owner| owner != lease);
                (row.owner, row.delivered) = (Some(lease), false);
                claimed.push((task, row.clone()));
            }
        }
        // A claim that only ended what nobody wants goes on waiting.
        if claimed.is_empty() { None } else { Some(Answer::Claimed(claimed)) }
    }

    fn started(&mut self, now: Ms, lease: Lease, task: TaskId, attempt: Attempt, worker: WorkerId) -> bool {
        let embedded = self.embedded;
        let Some(row) = self.rows.get_mut(&task) else { return false };
        let others = row.owner.is_some_and(|owner| owner != lease);
        let is_delayed = row.owner.is_none() && row.not_before > now;
        if row.status.is_terminal() || attempt < row.fence || others || is_delayed && !embedded {
            return false;
        }
        row.is_cut_off = false;
        if row.status == Status::Running && row.attempt == attempt {
            (row.owner, row.delivered) = (Some(lease), true);
            return true;
        }
        row.before_start = Some((row.status, row.attempt, row.fence, row.worker));
        (row.status, row.attempt, row.fence) = (Status::Running, attempt, attempt);
        (row.worker, row.owner, row.delivered) = (Some(worker), Some(lease), true);
        true
    }

    /// The row of a task that `attempt` may still change.
    fn fenced(&mut self, task: TaskId, attempt: Attempt) -> Option<&mut Row> {
        self.rows.get_mut(&task).filter(|row| !row.status.is_terminal() && attempt >= row.fence)
    }

    fn finish(&mut self, task: TaskId, attempt: Attempt, outcome: &Outcome, dead_letter: bool) -> bool {
        let Some(row) = self.fenced(task, attempt) else { return false };
        row.dead_letter = dead_letter;
        row.attempt = attempt;
        row.end(outcome.clone());
        true
    }

    fn requeue(&mut self, task: TaskId, attempt: Attempt, outcome: &Outcome, spent: Spent, not_before: Ms) -> bool {
        self.next_turn += 1;
        let turn = self.next_turn;
        let Some(row) = self.fenced(task, attempt) else { return false };
        row.attempt = attempt;
        if row.unwanted {
            row.end(Outcome::Cancelled);
            return true;
        }
        row.status = Status::Queued;
        row.fence = attempt + 1;
        row.outcome = Some(outcome.clone());
        (row.spent, row.worker, row.before_start) = (spent, None, None);
        (row.owner, row.delivered, row.is_cut_off) = (None, false, false);
        (row.not_before, row.turn) = (not_before, turn);
        true
    }

    fn cancel(&mut self, task: TaskId, lasts: bool) -> CancelAnswer {
        match self.rows.get_mut(&task) {
            None => CancelAnswer::Unknown,
            Some(row) if row.status.is_terminal() => CancelAnswer::Ended,
            Some(row) if row.status == Status::Running && (self.embedded || !row.is_cut_off) => {
                row.unwanted |= lasts;
                CancelAnswer::Running
            }
            Some(row) => {
                row.end(Outcome::Cancelled);
                CancelAnswer::Cancelled
            }
        }
    }

    fn recover(&mut self, now: Ms, lease: Lease, task: TaskId, attempt: Attempt, worker: WorkerId) -> Answer {
        let embedded = self.embedded;
        let Some(row) = self.rows.get(&task) else { return Answer::Stale };
        let newest = attempt == row.attempt || attempt == row.attempt + 1;
        if row.status.is_terminal() || attempt < row.fence || !newest {
            return Answer::Stale;
        }
        if self.dead.contains(&lease) || row.owner.is_some_and(|owner| owner != lease && !self.is_dead(owner, now)) {
            return Answer::Owned;
        }
        if let Some(owner) = row.owner.filter(|owner| *owner != lease) {
            self.dead.insert(owner);
        }
        let Some(row) = self.rows.get_mut(&task) else { return Answer::Stale };
        let is_mine = row.owner == Some(lease);
        if !embedded {
            if !is_mine && row.owner.is_none() && row.not_before > now {
                return Answer::Stale;
            }
            if row.unwanted {
                row.end(Outcome::Cancelled);
                return Answer::Stale;
            }
            (row.status, row.attempt, row.fence) = (Status::Running, attempt, attempt);
            (row.worker, row.is_cut_off) = (Some(worker), false);
        }
        (row.owner, row.delivered) = (Some(lease), true);
        Answer::Taken(row.clone())
    }
}

impl Row {
    fn end(&mut self, outcome: Outcome) {
        self.status = if outcome.is_success() { Status::Completed } else { Status::Failed };
        self.outcome = Some(outcome);
        (self.owner, self.before_start) = (None, None);
        self.ends += 1;
    }
}
