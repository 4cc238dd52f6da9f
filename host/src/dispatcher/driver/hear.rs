//! What the driver hears: commands, the store's answers, the ends of attempts, the gateways.

use std::sync::Arc;
use std::time::Duration;

use bulkhead_dispatch::{Arrival, Cut, Input, RecoverAnswer};
use bulkhead_protocol::id::{TaskId, WorkerId};
use bulkhead_protocol::outcome::{Outcome, Report};
use bulkhead_protocol::task::{Attempt as Number, Status, Task, TaskState};
use bulkhead_protocol::worker_message::AttemptId;
use tokio::sync::broadcast::error::RecvError;

use super::{Driver, Event};
use crate::dispatcher::handle::{Command, LOCAL};
use crate::dispatcher::reports::Ended;
use crate::dispatcher::write::unix_ms;
use crate::store::{self, Claimed, Control, Recovered, Transition};
use crate::telemetry::stage::{self, Stage};

/// Bytes that a held report takes beside its result and logs.
const REPORT_BYTES: u64 = 512;

impl Driver {
    pub(super) fn obey(&mut self, command: Command) {
        match command {
            Command::Cancel { task, answer } => {
                self.cancels.entry(task).or_default().push(answer);
                self.tell(Input::Cancel { task });
            }
            Command::Drain { grace, done } => {
                self.drains.push(done);
                self.tell(Input::Drain { grace });
            }
        }
    }

    /// An attempt of this process ended.
    pub(super) fn hear_end(&mut self, event: Result<Event, tokio::task::JoinError>) {
        // Panics are caught inside the task, and nothing aborts one.
        if let Ok(event) = event {
            self.hear(event);
        }
    }

    pub(super) fn hear(&mut self, event: Event) {
        match event {
            Event::Ended { task, attempt, report } => {
                // Another attempt of it may run by now, if this one was given up.
                if self.kills.get(&task).is_some_and(|(number, _)| *number == attempt) {
                    self.kills.remove(&task);
                }
                self.end(LOCAL, task, attempt, report);
            }
            Event::Begun { task, attempt, answer: Some(Transition::Stale) } => {
                self.tell(Input::Fenced { task, attempt });
            }
            Event::Begun { answer: Some(Transition::Applied) | None, .. } => {}
            Event::Written { task, attempt, applied: Some(applied) } => {
                stage::reached(Stage::Recorded, task);
                if let Some(ended) = self.reports.take_recorded(task, attempt) {
                    self.acknowledge(ended.worker, task, attempt);
                }
                self.tell(Input::Recorded { task, applied });
            }
            Event::Written { task, applied: None, .. } => self.tell(Input::RecordFailed { task }),
            Event::CancelStored { task, answer } => self.tell(Input::CancelStored { task, answer }),
            Event::Recovered { task, attempt, answer } => {
                let answer = match answer {
                    Some(Recovered::Taken(claimed)) => RecoverAnswer::Taken(self.arrival(claimed)),
                    Some(Recovered::Owned) => RecoverAnswer::Owned,
                    Some(Recovered::Stale) => RecoverAnswer::Stale,
                    None => RecoverAnswer::Failed,
                };
                self.tell(Input::Recovered { task, attempt, answer });
            }
            Event::Function { function, found } => self.found_function(function, found),
            Event::Package { package, found } => self.found_package(package, found),
            Event::Published => self.shown.published(),
            Event::ProgressSaid => self.shown.said_progress(),
        }
    }

    /// An attempt ended, or never reached its worker.
    pub(super) fn end(&mut self, worker: WorkerId, task: TaskId, attempt: Number, report: Report) {
        stage::reached(Stage::Heard, task);
        self.shown.forget_progress(task);
        let outcome = report.outcome.clone();
        let size = report.result.len() + report.logs.stdout.len() + report.logs.stderr.len();
        let bytes = REPORT_BYTES.saturating_add(size as u64);
        let report = Some(Arc::new(report));
        self.reports.keep(task, Ended { worker, attempt, report, at_ms: unix_ms(), is_recording: false });
        self.speaker = Some(worker);
        self.tell(Input::Ended { worker, task, attempt, outcome, bytes });
        self.speaker = None;
    }

    /// The store has the end of an attempt, or it is not wanted: its worker may forget it.
    pub(super) fn acknowledge(&mut self, worker: WorkerId, task: TaskId, attempt: Number) {
        if let Some(remotes) = &mut self.remotes {
            remotes.roster.acknowledge(worker, AttemptId { task, attempt });
        }
    }

    pub(super) fn take(&mut self, claimed: Result<Vec<Claimed>, store::Error>) {
        let claimed = match claimed {
            Ok(claimed) => claimed,
            Err(error @ store::Error::TakenOver) => {
                tracing::error!(error = &error as &dyn std::error::Error, "what waited here is dropped");
                self.tell(Input::TakenOver);
                // The next claim is made at once: it begins anew.
                return self.tell(Input::Claimed);
            }
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "the queue could not be read");
                return self.tell(Input::ClaimFailed);
            }
        };
        for claimed in claimed {
            stage::reached(Stage::Claimed, claimed.task.id);
            let arrival = self.arrival(claimed);
            self.tell(Input::Arrived(arrival));
        }
        self.tell(Input::Claimed);
    }

    /// Keeps a task with its input, and makes of it what the state machine needs.
    fn arrival(&mut self, Claimed { task, state }: Claimed) -> Arrival {
        let arrival = self.arrival_of(&task, &state);
        self.tasks.insert(task.id, task);
        arrival
    }

    fn arrival_of(&self, task: &Task, state: &TaskState) -> Arrival {
        let cut = match &state.outcome {
            _ if state.status == Status::Running => Cut::Lost { worker: state.worker },
            None => Cut::Lost { worker: state.worker },
            // What a client cancels ends; a task that was killed and still goes on was drained.
            Some(Outcome::Cancelled) => Cut::Drained,
            Some(_) => Cut::Failed,
        };
        let expires = self.config.queue_ttl.map(|ttl| {
            let from_ms = task.options.not_before_ms.unwrap_or(0).max(task.submitted_at_ms);
            let waited = Duration::from_millis(unix_ms().saturating_sub(from_ms));
            self.clock.now().saturating_add(ttl.saturating_sub(waited))
        });
        Arrival {
            task: task.id,
            function: task.function,
            priority: task.options.priority,
            retry: task.options.retry,
            attempt: state.attempt,
            cut,
            spent: state.spent,
            concurrency: self.config.concurrency.get(&task.function_name).copied(),
            expires,
        }
    }

    pub(super) fn hear_control(&mut self, control: Result<Control, RecvError>) {
        match control {
            // Of a task that is not in hand another dispatcher hears as well; the wish stays with the task.
            Ok(Control::Cancel(task)) if self.tasks.contains_key(&task) => self.tell(Input::Cancel { task }),
            Ok(Control::Cancel(_)) => {}
            Ok(Control::DrainWorker(worker)) => self.tell(Input::DrainWorker { worker }),
            Err(RecvError::Lagged(missed)) => tracing::warn!(missed, "some words of gateways were missed"),
            Err(RecvError::Closed) => self.controls = None,
        }
    }
}
