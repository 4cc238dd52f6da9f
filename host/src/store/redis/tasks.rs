//! Tasks: how they come in, change and are read.

use std::sync::Arc;
use std::time::Duration;

use bulkhead_protocol::id::TaskId;
use bulkhead_protocol::outcome::Logs;
use bulkhead_protocol::task::{Progress, Status, Task, TaskState};
use bytes::Bytes;
use redis::Value;
use tokio::time::Instant;

use super::desk::cancelled;
use super::record::{EncodedTask, STATE_FIELDS, bytes, decode, encode, state, unreadable};
use super::scripts::{CANCEL, CONTROL, PAYLOAD, PROGRESS, RESULT, SUBMIT};
use super::shared::{BULK_BYTES, Shared};
use crate::store::types::{CancelQueued, Completed, Control, Error, IDEMPOTENCY_WINDOW_MS, Standing, Submitted};

/// Most tasks that one script stores: bounds how long it keeps the server.
const SUBMITTED_AT_ONCE: usize = 256;

/// Bytes of tasks from which on a script takes no more of them.
const SUBMITTED_BYTES: usize = 4 * 1024 * 1024;

/// Most tasks whose progress one script notes.
const PROGRESS_AT_ONCE: usize = 256;

/// How long to wait before a state is read again that somebody waits for, while Redis does not answer.
const READ_AGAIN: Duration = Duration::from_millis(200);

/// What somebody who waits wants to see.
#[derive(Clone, Copy)]
enum Look {
    /// How far the task has come.
    AtState,
    /// That and, once it is completed, its result.
    AtResult,
}

impl Shared {
    pub(in crate::store) async fn submit(&self, tasks: Vec<Task>) -> Result<Vec<Submitted>, Error> {
        let mut answers = Vec::with_capacity(tasks.len());
        let mut batch: Vec<EncodedTask> = Vec::new();
        let mut size = 0;
        for task in tasks {
            let task = EncodedTask::new(task)?;
            if batch.len() == SUBMITTED_AT_ONCE || (!batch.is_empty() && size + task.size() > SUBMITTED_BYTES) {
                answers.extend(self.submit_batch(&batch).await?);
                batch.clear();
                size = 0;
            }
            size += task.size();
            batch.push(task);
        }
        if !batch.is_empty() {
            answers.extend(self.submit_batch(&batch).await?);
        }
        Ok(answers)
    }

    async fn submit_batch(&self, tasks: &[EncodedTask]) -> Result<Vec<Submitted>, Error> {
        let mut call = SUBMIT.call().text(self.max_queued).text(IDEMPOTENCY_WINDOW_MS);
        for task in tasks {
            let (key, content) = task.idempotency.as_ref().map_or(("", ""), |(key, content)| (key, content));
            call = call.text(task.id).bytes(task.lane.as_bytes()).optional(task.not_before_ms);
            call =
                call.text(task.submitted_at_ms).optional(task.ttl_ms).bytes(key.as_bytes()).bytes(content.as_bytes());
            call = call.bytes(&task.record).bytes(&task.input);
        }
        let answers: Vec<String> = self.run(call).await?;
        if answers.len() != tasks.len() {
            return Err(unreadable("a submission's answer has another length"));
        }
        answers.iter().map(|answer| submitted(answer)).collect()
    }

    pub(in crate::store) async fn cancel_queued(&self, id: TaskId, at_ms: u64) -> Result<CancelQueued, Error> {
        let cancelled = cancelled()?;
        let call = CANCEL.call().text(self.result_ttl_ms).bytes(&cancelled).text(id).text(at_ms);
        let answer: String = self.run(call).await?;
        match answer.as_str() {
            "cancelled" => Ok(CancelQueued::Cancelled),
            "running" => Ok(CancelQueued::Running),
            "ended" => Ok(CancelQueued::Ended),
            "unknown" => Ok(CancelQueued::Unknown),
            _ => Err(unreadable("a cancel's answer has another form")),
        }
    }

    pub(in crate::store) async fn send_control(&self, control: Control) -> Result<(), Error> {
        let message = encode(&control)?;
        let cancelled = match control {
            Control::Cancel(id) => Some(id),
            Control::DrainWorker(_) => None,
        };
        self.run(CONTROL.call().bytes(&message).optional(cancelled)).await
    }

    pub(in crate::store) async fn set_progress(&self, said: Vec<(TaskId, Progress)>) -> Result<(), Error> {
        for said in said.chunks(PROGRESS_AT_ONCE) {
            let encoded = said.iter().map(|(_, progress)| encode(progress)).collect::<Result<Vec<_>, _>>()?;
            let mut call = PROGRESS.call();
            for ((id, _), progress) in said.iter().zip(&encoded) {
                call = call.text(id).bytes(progress);
            }
            self.run::<()>(call).await?;
        }
        Ok(())
    }

    pub(in crate::store) async fn progress(&self, id: TaskId) -> Result<Option<Progress>, Error> {
        self.check_open()?;
        let found: Option<Vec<u8>> = self.link.ask(redis::cmd("HGET").arg(self.task_key(id)).arg("progress")).await?;
        found.as_deref().map(decode).transpose()
    }

    pub(in crate::store) async fn state(&self, id: TaskId) -> Result<Option<TaskState>, Error> {
        self.check_open()?;
        let values: Vec<Value> = self.link.ask(redis::cmd("HMGET").arg(self.task_key(id)).arg(&STATE_FIELDS)).await?;
        state(&values)
    }

    pub(in crate::store) async fn task(&self, id: TaskId) -> Result<Option<(Arc<Task>, TaskState)>, Error> {
        self.check_open()?;
        let mut command = redis::cmd("HMGET");
        command.arg(self.task_key(id)).arg(&STATE_FIELDS).arg("size").arg("task");
        let values: Vec<Value> = self.link.ask(&command).await?;
        let Some(state) = state(&values)? else { return Ok(None) };
        let mut task: Task = decode(bytes(values.last()).unwrap_or_default())?;
        if bytes(values.get(STATE_FIELDS.len())).is_some() {
            let Some((_, input)) = self.payload(id, "input").await? else { return Ok(None) };
            task.input.bytes = input;
        }
        Ok(Some((Arc::new(task), state)))
    }

    pub(in crate::store) async fn wait(&self, id: TaskId, wait: Duration) -> Result<Option<TaskState>, Error> {
        Ok(self.wait_until(id, wait, Look::AtState).await?.map(|found| found.state))
    }

    pub(in crate::store) async fn wait_for_result(
        &self,
        id: TaskId,
        wait: Duration,
    ) -> Result<Option<Standing>, Error> {
        self.wait_until(id, wait, Look::AtResult).await
    }

    async fn wait_until(&self, id: TaskId, wait: Duration, look: Look) -> Result<Option<Standing>, Error> {
        let has_ended = |found: &Option<Standing>| found.as_ref().is_none_or(|found| found.state.status.is_terminal());
        if wait.is_zero() {
            return self.look(id, look).await;
        }
        let waiter = self.completion.waiter(id)?;
        // A wait without an end in this century is for ever.
        let deadline = Instant::now() + wait.min(Duration::from_secs(100 * 365 * 24 * 60 * 60));
        let mut found = None;
        loop {
            let ended = waiter.ended.notified();
            tokio::pin!(ended);
            // From here on the end is not missed, though nobody awaits it yet.
            ended.as_mut().enable();
            let again = match self.look(id, look).await {
                Ok(now) if has_ended(&now) => return Ok(now),
                Ok(now) => {
                    found = now;
                    deadline
                }
                // Redis went away while somebody waited: that need not end the wait.
                Err(_) if found.is_some() && self.check_open().is_ok() => deadline.min(Instant::now() + READ_AGAIN),
                Err(error) => return Err(error),
            };
            let _ = tokio::time::timeout_at(again, ended).await;
            if Instant::now() >= deadline {
                return self.look(id, look).await;
            }
        }
    }

    async fn look(&self, id: TaskId, look: Look) -> Result<Option<Standing>, Error> {
        match look {
            Look::AtState => Ok(self.state(id).await?.map(|state| Standing { state, completed: None })),
            Look::AtResult => self.standing(id).await,
        }
    }

    async fn standing(&self, id: TaskId) -> Result<Option<Standing>, Error> {
        self.check_open()?;
        let call = RESULT.call().text(id).text(BULK_BYTES);
        let call = STATE_FIELDS.iter().fold(call, |call, field| call.bytes(field.as_bytes()));
        let values: Vec<Value> = self.run(call).await?;
        let Some(state) = state(&values)? else { return Ok(None) };
        if state.status != Status::Completed {
            return Ok(Some(Standing { state, completed: None }));
        }
        let [size, task, result] = [0, 1, 2].map(|place| values.get(STATE_FIELDS.len() + place));
        let task: Task = decode(bytes(task).unwrap_or_default())?;
        let Some(result) = self.payload_of(id, "result", size, result).await? else { return Ok(None) };
        let completed = Completed { encoding: task.input.encoding, result: result.into() };
        Ok(Some(Standing { state, completed: Some(completed) }))
    }

    pub(in crate::store) async fn result(&self, id: TaskId) -> Result<Option<Bytes>, Error> {
        let found = self.payload(id, "result").await?;
        Ok(found.filter(|(status, _)| status == b"C").map(|(_, result)| result.into()))
    }

    pub(in crate::store) async fn logs(&self, id: TaskId) -> Result<Option<Logs>, Error> {
        let found = self.payload(id, "logs").await?;
        match found {
            Some((status, logs)) if status == b"C" || status == b"F" => {
                Ok(Some(if logs.is_empty() { Logs::default() } else { decode(&logs)? }))
            }
            _ => Ok(None),
        }
    }

    /// The status of a task and one of its payloads, empty when it has none.
    async fn payload(&self, id: TaskId, field: &str) -> Result<Option<(Vec<u8>, Vec<u8>)>, Error> {
        let call = PAYLOAD.call().text(id).bytes(field.as_bytes()).text(BULK_BYTES);
        let answer: Vec<Value> = self.run(call).await?;
        let Some(status) = bytes(answer.first()) else { return Ok(None) };
        let payload = self.payload_of(id, field, answer.get(1), answer.get(2)).await?;
        Ok(payload.map(|payload| (status.to_vec(), payload)))
    }

    /// A payload of which a script gave the size and, unless it was too large, the bytes; none when the task is gone
    /// by now.
    async fn payload_of(
        &self,
        id: TaskId,
        field: &str,
        size: Option<&Value>,
        payload: Option<&Value>,
    ) -> Result<Option<Vec<u8>>, Error> {
        match (size, bytes(payload)) {
            (_, Some(payload)) => Ok(Some(payload.to_vec())),
            (Some(Value::Int(0)), None) => Ok(Some(Vec::new())),
            (_, None) => self.bulk.ask(redis::cmd("HGET").arg(self.task_key(id)).arg(field)).await,
        }
    }
}

fn submitted(answer: &str) -> Result<Submitted, Error> {
    let id = || answer[1..].parse().map_err(|_| unreadable("an idempotency key has no task"));
    match answer.as_bytes().first() {
        Some(b'S') => Ok(Submitted::Stored),
        Some(b'F') => Ok(Submitted::QueueFull),
        Some(b'D') => Ok(Submitted::Duplicate(id()?)),
        Some(b'C') => Ok(Submitted::Conflict(id()?)),
        _ => Err(unreadable("a submission's answer has another form")),
    }
}
