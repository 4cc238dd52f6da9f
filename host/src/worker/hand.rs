//! What a worker has in hand: every attempt that it was assigned and whose end was not acknowledged.
//! A state machine without clock and I/O; the session carries out what follows.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use bulkhead_protocol::limits::MAX_RESULT_BYTES;
use bulkhead_protocol::outcome::{Outcome, Report};
use bulkhead_protocol::task::Progress;
use bulkhead_protocol::worker_message::{Assignment, AttemptId, MAX_IN_HAND};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Unacknowledged ends at which nothing more is begun.
const MAX_UNACKNOWLEDGED: usize = 1024;
/// Their bytes at which nothing more is begun.
const MAX_UNACKNOWLEDGED_BYTES: usize = 256 * 1024 * 1024;
/// Bytes of inputs that wait for a slot, beyond which no more are asked for.
const MAX_WAITING_BYTES: usize = 256 * 1024 * 1024;
/// Bytes that a report takes beside its result and logs.
const REPORT_BYTES: usize = 512;
/// Longest logs of a report in bytes: what a batch has left beside the longest result.
const MAX_LOG_BYTES: usize = 4 * 1024 * 1024;
/// The last attempt that is given back because it would wait for long. The dispatcher lets a task be
/// given back only so often, and the budget is for the workers that die.
const LAST_GIVEN_BACK: u32 = 16;

/// What a worker has in hand.
#[derive(Debug)]
pub(super) struct Hand {
    /// Attempts that run at once.
    slots: usize,
    /// All of them.
    attempts: HashMap<AttemptId, Stage>,
    /// Those that wait for a slot, first come first.
    waiting: VecDeque<AttemptId>,
    /// Bytes of their inputs.
    waiting_bytes: usize,
    /// How many run.
    running: usize,
    /// How many ended and are not acknowledged.
    unacknowledged: usize,
    /// Bytes of their reports.
    unacknowledged_bytes: usize,
}

/// How far an attempt has come.
#[derive(Debug)]
enum Stage {
    /// It waits for a slot.
    Waiting(Box<Assignment>),
    /// It has one.
    Running(Running),
    /// It is over.
    Ended(Report),
}

/// An attempt that has a slot.
#[derive(Debug)]
pub(super) struct Running {
    /// Since when.
    pub(super) since: Instant,
    /// When it began, in milliseconds since the Unix epoch; none while its function is got ready.
    pub(super) begun_at_ms: Option<u64>,
    /// Kills it.
    pub(super) cancel: CancellationToken,
    /// What the dispatcher last heard of its progress.
    pub(super) told: Option<Progress>,
}

/// What an assignment came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Assigned {
    /// It waits for a slot now.
    Taken,
    /// It was there already.
    Known,
    /// It is over already: its end is to be said again.
    Ended,
    /// There is no room; whoever assigns so many is not to be trusted.
    TooMany,
}

/// What a wish to cancel came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cancelled {
    /// It is over, and its end is to be said.
    Ended,
    /// Its process is being killed; its end follows.
    Killed,
    /// It is not here.
    Unknown,
}

impl Hand {
    pub(super) fn new(slots: u32) -> Self {
        Self {
            slots: slots as usize,
            attempts: HashMap::new(),
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            running: 0,
            unacknowledged: 0,
            unacknowledged_bytes: 0,
        }
    }

    /// Takes an attempt.
    pub(super) fn assign(&mut self, assignment: Box<Assignment>) -> Assigned {
        let id = assignment.id;
        match self.attempts.get(&id) {
            Some(Stage::Ended(_)) => return Assigned::Ended,
            Some(_) => return Assigned::Known,
            None if self.attempts.len() >= MAX_IN_HAND => return Assigned::TooMany,
            None => {}
        }
        self.waiting_bytes += assignment.input.bytes.len();
        self.waiting.push_back(id);
        self.attempts.insert(id, Stage::Waiting(assignment));
        Assigned::Taken
    }

    /// Gives a free slot to the attempt that has waited for longest. It has not begun until
    /// [`Hand::begun`].
    pub(super) fn begin_next(&mut self, now: Instant) -> Option<(Box<Assignment>, CancellationToken)> {
        if self.running >= self.slots || self.has_too_many_ends() {
            return None;
        }
        let id = self.waiting.pop_front()?;
        let cancel = CancellationToken::new();
        let running = Running { since: now, begun_at_ms: None, cancel: cancel.clone(), told: None };
        let Some(Stage::Waiting(assignment)) = self.attempts.insert(id, Stage::Running(running)) else {
            debug_assert!(false, "what waits is in hand");
            return None;
        };
        self.waiting_bytes -= assignment.input.bytes.len();
        self.running += 1;
        Some((assignment, cancel))
    }

    /// An attempt that has a slot begins.
    pub(super) fn begun(&mut self, id: AttemptId, at_ms: u64) {
        if let Some(Stage::Running(running)) = self.attempts.get_mut(&id) {
            running.begun_at_ms = Some(at_ms);
        }
    }

    /// An attempt that has a slot cannot begin here: it ends, so that the dispatcher has it run elsewhere.
    pub(super) fn could_not_begin(&mut self, id: AttemptId) {
        if let Some(Stage::Running(_)) = self.attempts.get(&id) {
            self.running -= 1;
            self.end_unbegun(id);
        }
    }

    /// An attempt ended by itself or was killed; gives how long it had its slot.
    pub(super) fn ended(&mut self, now: Instant, id: AttemptId, report: Report) -> Option<Duration> {
        let Some(Stage::Running(running)) = self.attempts.get(&id) else { return None };
        let took = now.duration_since(running.since);
        self.running -= 1;
        self.end(id, report);
        Some(took)
    }

    /// Cancels an attempt.
    pub(super) fn cancel(&mut self, id: AttemptId) -> Cancelled {
        match self.attempts.get(&id) {
            None => Cancelled::Unknown,
            Some(Stage::Ended(_)) => Cancelled::Ended,
            Some(Stage::Running(running)) => {
                running.cancel.cancel();
                Cancelled::Killed
            }
            Some(Stage::Waiting(_)) => {
                self.waiting.retain(|waiting| *waiting != id);
                self.end_unbegun(id);
                Cancelled::Ended
            }
        }
    }

    /// The end of an attempt is stored, or nobody wants it any more.
    pub(super) fn acknowledged(&mut self, id: AttemptId) {
        match self.attempts.get(&id) {
            None => {}
            Some(Stage::Ended(report)) => {
                self.unacknowledged -= 1;
                self.unacknowledged_bytes -= size_of_report(report);
                self.attempts.remove(&id);
            }
            // Acknowledged before it ended: it is of no interest. Its end is acknowledged once more.
            Some(_) => drop(self.cancel(id)),
        }
    }

    /// Ends what waits, so that the dispatcher has it run elsewhere; gives what ended.
    pub(super) fn give_back(&mut self) -> Vec<AttemptId> {
        let given: Vec<_> = self.waiting.drain(..).collect();
        for id in &given {
            self.end_unbegun(*id);
        }
        given
    }

    /// The same, for attempts that would wait for long here; some tasks were given back too often
    /// already, and stay.
    pub(super) fn give_back_early(&mut self) -> Vec<AttemptId> {
        let (given, stay): (Vec<_>, Vec<_>) = self.waiting.drain(..).partition(|id| id.attempt <= LAST_GIVEN_BACK);
        self.waiting = stay.into();
        for id in &given {
            self.end_unbegun(*id);
        }
        given
    }

    /// Kills what runs.
    pub(super) fn kill(&self) {
        for (_, running) in self.running() {
            running.cancel.cancel();
        }
    }

    /// How long every slot has been taken by the same attempt while others wait; none when a slot is
    /// free, or nothing waits.
    pub(super) fn stuck_for(&self, now: Instant) -> Option<Duration> {
        if self.waiting.is_empty() || self.running < self.slots {
            return None;
        }
        let newest = self.running().map(|(_, running)| running.since).max()?;
        Some(now.duration_since(newest))
    }

    /// What runs.
    pub(super) fn running(&self) -> impl Iterator<Item = (AttemptId, &Running)> {
        self.attempts.iter().filter_map(|(id, stage)| match stage {
            Stage::Running(running) => Some((*id, running)),
            _ => None,
        })
    }

    /// What runs, to note what was told of it.
    pub(super) fn running_mut(&mut self) -> impl Iterator<Item = (AttemptId, &mut Running)> {
        self.attempts.iter_mut().filter_map(|(id, stage)| match stage {
            Stage::Running(running) => Some((*id, running)),
            _ => None,
        })
    }

    /// The ends that are not acknowledged.
    pub(super) fn ends(&self) -> impl Iterator<Item = AttemptId> {
        self.attempts.iter().filter(|(_, stage)| matches!(stage, Stage::Ended(_))).map(|(id, _)| *id)
    }

    /// The end of an attempt, if it has ended and is not acknowledged.
    pub(super) fn report(&self, id: AttemptId) -> Option<&Report> {
        match self.attempts.get(&id)? {
            Stage::Ended(report) => Some(report),
            _ => None,
        }
    }

    /// All of it.
    pub(super) fn ids(&self) -> Vec<AttemptId> {
        self.attempts.keys().copied().collect()
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.attempts.len()
    }

    /// Attempts that wait or run.
    pub(super) fn unfinished(&self) -> usize {
        self.waiting.len() + self.running
    }

    /// Attempts that wait for a slot.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Whether an attempt runs.
    pub(super) fn is_running(&self) -> bool {
        self.running > 0
    }

    /// Whether there is nothing.
    pub(super) fn is_empty(&self) -> bool {
        self.attempts.is_empty()
    }

    /// How many ends are not acknowledged.
    pub(super) fn unacknowledged(&self) -> usize {
        self.unacknowledged
    }

    /// Whether it holds as much as it may, and no more is to be asked for.
    pub(super) fn is_full(&self) -> bool {
        self.has_too_many_ends() || self.waiting_bytes >= MAX_WAITING_BYTES
    }

    /// A dispatcher that acknowledges nothing is not to fill the memory.
    fn has_too_many_ends(&self) -> bool {
        self.unacknowledged >= MAX_UNACKNOWLEDGED || self.unacknowledged_bytes >= MAX_UNACKNOWLEDGED_BYTES
    }

    /// Ends an attempt that is in no line any more and never began.
    fn end_unbegun(&mut self, id: AttemptId) {
        if let Some(Stage::Waiting(assignment)) = self.attempts.get(&id) {
            self.waiting_bytes -= assignment.input.bytes.len();
        }
        self.end(id, Report::without_process(Outcome::Cancelled));
    }

    fn end(&mut self, id: AttemptId, mut report: Report) {
        fit(&mut report);
        self.unacknowledged += 1;
        self.unacknowledged_bytes += size_of_report(&report);
        self.attempts.insert(id, Stage::Ended(report));
    }
}

/// Cuts the logs of a report that no batch could hold; results have their bound already.
fn fit(report: &mut Report) {
    debug_assert!(report.result.len() as u64 <= MAX_RESULT_BYTES, "the executor bounds results");
    let logs = &mut report.logs;
    for printed in [&mut logs.stdout, &mut logs.stderr] {
        if let Some(too_many) = printed.len().checked_sub(MAX_LOG_BYTES / 2).filter(|bytes| *bytes > 0) {
            printed.drain(..too_many);
            logs.truncated = true;
        }
    }
}

/// Bytes that a report takes.
pub(super) fn size_of_report(report: &Report) -> usize {
    REPORT_BYTES + report.result.len() + report.logs.stdout.len() + report.logs.stderr.len()
}

#[cfg(test)]
mod tests;
