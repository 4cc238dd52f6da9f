//! Reports of ended attempts that the store does not have yet.

use std::collections::HashMap;
use std::sync::Arc;

use bulkhead_protocol::id::{TaskId, WorkerId};
use bulkhead_protocol::outcome::Report;
use bulkhead_protocol::task::Attempt;

/// The report of an ended attempt, kept until the store has it.
#[derive(Clone, Debug)]
pub(super) struct Ended {
    /// Where it ran.
    pub(super) worker: WorkerId,
    /// The attempt.
    pub(super) attempt: Attempt,
    /// What is known of its end; none when nothing of it is written.
    pub(super) report: Option<Arc<Report>>,
    /// When it ended; milliseconds since the Unix epoch.
    pub(super) at_ms: u64,
    /// Whether the store is being told.
    pub(super) is_recording: bool,
}

/// Reports of ended attempts that the store does not have yet. Bounded by the state machine, which
/// assigns nothing while too many bytes of them wait.
#[derive(Debug, Default)]
pub(super) struct Reports {
    /// By task; nearly always one each.
    by_task: HashMap<TaskId, Vec<Ended>>,
}

impl Reports {
    /// Keeps a report, unless the worker's report of that attempt is there already.
    pub(super) fn keep(&mut self, task: TaskId, ended: Ended) {
        let of_task = self.by_task.entry(task).or_default();
        if of_task.iter().all(|other| (other.attempt, other.worker) != (ended.attempt, ended.worker)) {
            of_task.push(ended);
        }
    }

    /// The report of an attempt that the store is to be told: the one that it was told already, else the
    /// one of the worker that speaks. Two workers have one only where a crash of the embedded store
    /// lost an attempt's number, or where one of them lies; the state machine then takes the first.
    pub(super) fn told(&mut self, task: TaskId, attempt: Attempt, speaker: Option<WorkerId>) -> Option<&mut Ended> {
        let of_attempt = self.by_task.get_mut(&task)?.iter_mut().filter(|ended| ended.attempt == attempt);
        of_attempt.min_by_key(|ended| (!ended.is_recording, Some(ended.worker) != speaker, ended.worker))
    }

    /// Takes out the report that the store was told.
    pub(super) fn take_recorded(&mut self, task: TaskId, attempt: Attempt) -> Option<Ended> {
        self.take_if(task, |ended| ended.attempt == attempt && ended.is_recording)
    }

    /// Takes out what a worker reported of an attempt, unless the store is being told.
    pub(super) fn discard(&mut self, task: TaskId, attempt: Attempt, worker: WorkerId) -> Option<Ended> {
        self.take_if(task, |ended| ended.attempt == attempt && ended.worker == worker && !ended.is_recording)
    }

    fn take_if(&mut self, task: TaskId, is_it: impl Fn(&Ended) -> bool) -> Option<Ended> {
        let of_task = self.by_task.get_mut(&task)?;
        let ended = of_task.iter().position(is_it).map(|place| of_task.swap_remove(place));
        if of_task.is_empty() {
            self.by_task.remove(&task);
        }
        ended
    }

    /// Takes all reports of a task out.
    pub(super) fn take_all(&mut self, task: TaskId) -> Vec<Ended> {
        self.by_task.remove(&task).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    const WORKERS: [WorkerId; 2] = [WorkerId(Uuid::from_u128(1)), WorkerId(Uuid::from_u128(2))];
    const TASK: TaskId = TaskId(Uuid::from_u128(3));

    fn ended(worker: WorkerId, attempt: Attempt, at_ms: u64) -> Ended {
        Ended { worker, attempt, report: None, at_ms, is_recording: false }
    }

    #[test]
    fn a_report_said_again_changes_nothing() {
        let mut reports = Reports::default();
        reports.keep(TASK, ended(WORKERS[0], 1, 10));
        reports.keep(TASK, ended(WORKERS[0], 1, 20));
        assert_eq!(reports.told(TASK, 1, None).unwrap().at_ms, 10);
        assert!(reports.told(TASK, 2, None).is_none());
        assert_eq!(reports.take_all(TASK).len(), 1);
        assert!(reports.by_task.is_empty());
    }

    #[test]
    fn of_two_workers_reports_the_one_that_was_recorded_stays_so() {
        let mut reports = Reports::default();
        for (worker, at_ms) in [(WORKERS[0], 10), (WORKERS[1], 20)] {
            reports.keep(TASK, ended(worker, 1, at_ms));
        }
        assert_eq!(reports.told(TASK, 1, None).unwrap().at_ms, 10);
        let second = reports.told(TASK, 1, Some(WORKERS[1])).unwrap();
        assert_eq!(second.at_ms, 20);
        second.is_recording = true;
        assert_eq!(reports.told(TASK, 1, Some(WORKERS[0])).unwrap().at_ms, 20);
        assert!(reports.discard(TASK, 1, WORKERS[1]).is_none(), "the store is being told");
        assert_eq!(reports.discard(TASK, 1, WORKERS[0]).unwrap().at_ms, 10);
        assert_eq!(reports.take_recorded(TASK, 1).unwrap().at_ms, 20);
        assert!(reports.take_recorded(TASK, 1).is_none() && reports.by_task.is_empty());
    }
}
