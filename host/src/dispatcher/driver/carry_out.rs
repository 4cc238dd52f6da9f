//! What the state machine decides, carried out.

use std::sync::Arc;

use bulkhead_dispatch::{CancelAnswer, Output, Record, Refusal};
use bulkhead_protocol::id::{TaskId, WorkerId};
use bulkhead_protocol::outcome::{Outcome, Report};
use bulkhead_protocol::task::Attempt as Number;
use bulkhead_protocol::worker_message::{AttemptId, ToWorker};
use tokio_util::sync::CancellationToken;

use super::{Begun, Driver, Event, guarded};
use crate::dispatcher::attempt::Attempt;
use crate::dispatcher::handle::LOCAL;
use crate::dispatcher::write::{Write, cancel_stored, unix_ms};
use crate::telemetry::stage::{self, Stage};

impl Driver {
    pub(super) fn carry_out(&mut self, output: Output) {
        match output {
            Output::Claim { max } => {
                let store = self.store.clone();
                self.claim = Some(Box::pin(async move { store.claim(max).await }));
            }
            Output::StopClaiming => self.claim = None,
            Output::Assign { worker, task, attempt } if worker == LOCAL => self.begin(task, attempt),
            Output::Assign { worker, task, attempt } => self.assign(worker, AttemptId { task, attempt }),
            Output::CancelAttempt { worker, task, attempt } => self.kill(worker, task, attempt),
            Output::Recover { worker, task, attempt } => self.recover(worker, task, attempt),
            Output::Record { task, attempt, record } => self.record(task, attempt, record),
            Output::CancelStored { task } => {
                let store = self.store.clone();
                let failed = Event::CancelStored { task, answer: CancelAnswer::Failed };
                self.ask(
                    failed,
                    async move { Event::CancelStored { task, answer: cancel_stored(&store, task).await } },
                );
            }
            Output::CancelAnswered { task, result } => {
                for waiter in self.cancels.remove(&task).unwrap_or_default() {
                    // Who asked may have gone.
                    let _ = waiter.send(result);
                }
            }
            Output::DeadLetter { task, attempt } => {
                tracing::warn!(task_id = %task, attempt, "the task crashed too often and is a dead letter");
            }
            Output::Refuse { task, reason: Refusal::WindowFull } => {
                self.tasks.remove(&task);
                tracing::error!(task_id = %task, "a claim brought more tasks than asked for; this one waits for a restart");
            }
            Output::Refuse { task, reason: Refusal::Duplicate } => {
                tracing::debug!(task_id = %task, "a task was claimed twice");
            }
            Output::Discard { worker, task, attempt } => {
                tracing::debug!(worker_id = %worker, task_id = %task, attempt, "a late report was dropped");
                self.reports.discard(task, attempt, worker);
                self.acknowledge(worker, task, attempt);
            }
            // The store hands out what it has as claimed when it is opened anew.
            Output::Release { task } | Output::Forget { task } => {
                self.tasks.remove(&task);
                for ended in self.reports.take_all(task) {
                    self.acknowledge(ended.worker, task, ended.attempt);
                }
            }
            Output::AskToDrain { worker } => {
                tracing::info!(worker_id = %worker, "a worker is asked to finish what it has and leave");
                self.say(worker, ToWorker::Drain);
            }
            Output::Evict { worker } => {
                if let Some(remotes) = &mut self.remotes {
                    remotes.roster.evict(worker);
                }
            }
            Output::Dismiss { worker } => {
                if let Some(remotes) = &mut self.remotes {
                    remotes.roster.dismiss(worker);
                }
            }
            Output::Drained => {
                self.drained = true;
            }
            Output::WakeAt(at) => {
                self.wake_at = at;
                if let Some(at) = at {
                    self.alarm.as_mut().reset(self.clock.moment(at));
                }
            }
        }
    }

    fn say(&mut self, worker: WorkerId, message: ToWorker) {
        if let Some(remotes) = &mut self.remotes {
            remotes.roster.send(worker, message);
        }
    }

    /// Runs an attempt in this process.
    fn begin(&mut self, task: TaskId, number: Number) {
        let (Some(input), Some(run)) = (self.tasks.get(&task).map(Arc::clone), &self.run) else {
            debug_assert!(
                false,
                "a task is kept until it is forgotten, and the local worker is here only with an executor"
            );
            return;
        };
        stage::reached(Stage::Sent, task);
        let cancel = CancellationToken::new();
        self.kills.insert(task, (number, cancel.clone()));
        self.begun.push(Begun { task, attempt: number, worker: LOCAL, at_ms: unix_ms() });
        let attempt = Attempt {
            store: self.store.clone(),
            run: Arc::clone(run),
            function_configs: Arc::clone(&self.config.function_configs),
            task: input,
            number,
            cancel,
        };
        let step = "run the attempt".to_owned();
        let report = Report::without_process(Outcome::SetupFailed { step, errno: 0 });
        let failed = Event::Ended { task, attempt: number, report };
        self.attempts
            .spawn(guarded(failed, async move { Event::Ended { task, attempt: number, report: attempt.run().await } }));
    }

    fn kill(&mut self, worker: WorkerId, task: TaskId, attempt: Number) {
        if worker != LOCAL {
            return self.kill_remote(worker, AttemptId { task, attempt });
        }
        if let Some((number, cancel)) = self.kills.get(&task)
            && *number == attempt
        {
            cancel.cancel();
        }
    }

    fn recover(&mut self, worker: WorkerId, task: TaskId, attempt: Number) {
        let store = self.store.clone();
        self.ask(Event::Recovered { task, attempt, answer: None }, async move {
            let answer = store.recover(task, attempt, worker).await;
            let answer = answer.inspect_err(|error| {
                let error = error as &dyn std::error::Error;
                tracing::warn!(task_id = %task, attempt, error, "it is not known yet whose an attempt is");
            });
            Event::Recovered { task, attempt, answer: answer.ok() }
        });
    }

    fn record(&mut self, task: TaskId, attempt: Number, record: Record) {
        let ended = self.reports.told(task, attempt, self.speaker);
        let (report, at_ms) = match ended {
            Some(ended) => {
                ended.is_recording = true;
                (ended.report.clone(), ended.at_ms)
            }
            None => (None, unix_ms()),
        };
        let write = match record {
            Record::Finish { outcome, dead_letter } => Write::finish(report, outcome, dead_letter, at_ms),
            Record::Requeue { outcome, spent, not_before } => {
                // Of an attempt that is followed by another, only the outcome is stored.
                if let Some(ended) = self.reports.told(task, attempt, self.speaker) {
                    ended.report = None;
                }
                let wait = not_before.saturating_sub(self.clock.now());
                let wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
                Write::Requeue { outcome, spent, not_before_ms: unix_ms().saturating_add(wait_ms) }
            }
        };
        let store = self.store.clone();
        self.ask(Event::Written { task, attempt, applied: None }, async move {
            let applied = write.make(&store, task, attempt).await;
            let applied = applied.inspect_err(|error| {
                let error = error as &dyn std::error::Error;
                tracing::warn!(task_id = %task, attempt, error, "the end of an attempt is not stored yet");
            });
            Event::Written { task, attempt, applied: applied.ok() }
        });
    }
}
