//! This process as one of the dispatchers: its lease, its claims, and what it does as the owner of a task.
//!
//! A dispatcher has an id as long as its lease holds. Once it was taken for dead it goes on under a new
//! id, after [`Error::TakenOver`] told its caller that nothing it claimed before is its own any more.
//!
//! Claims are numbered. The next one says which answer was the last that arrived: what an earlier answer
//! held that was lost, with a broken connection or a caller that no longer waits, is handed out again.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bulkhead_protocol::id::{TaskId, WorkerId};
use bulkhead_protocol::outcome::Outcome;
use bulkhead_protocol::task::{Attempt, Task};
use futures_util::future::try_join_all;
use redis::Value;
use tokio::sync::Notify;

use super::record::{EncodedTask, STATE_FIELDS, bytes, claimed_state, decode, encode, text, unreadable};
use super::scripts::{ADOPT, CLAIM, LEAVE, QUEUED, RECOVER, RENEW};
use super::shared::Shared;
use crate::store::types::{Claimed, Error, Recovered};

/// Most tasks that one claim brings: bounds how long it keeps the server.
const MAX_CLAIMED: usize = 1024;

/// Inputs that stand apart come with the claim up to this size; larger ones are read one by one, so that its answer stays
/// below some 16 MiB.
const MAX_INLINE_BYTES: usize = 16 * 1024;

/// A lease is renewed this many times in its length.
const RENEWALS: u32 = 5;

/// Who this process is among the dispatchers.
pub(super) struct Desk {
    /// As it stands.
    identity: Mutex<Identity>,
    /// Claims take turns, so that each knows whether the answer of the one before arrived.
    claiming: tokio::sync::Mutex<()>,
    /// Whether this process was taken for dead and nobody was told.
    taken_over: AtomicBool,
    /// Wakes the renewal once there is a lease.
    entered: Notify,
}

/// An id and its claims.
#[derive(Clone)]
pub(super) struct Identity {
    /// The id.
    pub(super) id: String,
    /// Whether there is no lease yet.
    is_fresh: bool,
    /// Number of the newest claim.
    requests: u64,
    /// Number of the newest claim whose answer arrived.
    received: u64,
}

/// What a claim brought.
enum Answer {
    /// Tasks.
    Tasks(Vec<Claimed>),
    /// Nothing, until a time comes or something happens.
    Nothing {
        /// How long until the next delayed task.
        until_due: Option<Duration>,
    },
    /// Ask again at once.
    Again,
}

impl Desk {
    pub(super) fn new() -> Self {
        Self {
            identity: Mutex::new(Identity::new()),
            claiming: tokio::sync::Mutex::new(()),
            taken_over: AtomicBool::new(false),
            entered: Notify::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Identity> {
        self.identity.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn now(&self) -> Identity {
        self.lock().clone()
    }

    /// Notes that `id` has a lease.
    pub(super) fn enter(&self, id: &str) {
        let mut identity = self.lock();
        if identity.id == id && identity.is_fresh {
            identity.is_fresh = false;
            self.entered.notify_one();
        }
    }

    /// Notes that `id` was taken for dead.
    fn lose(&self, id: &str) {
        let mut identity = self.lock();
        if identity.id == id {
            tracing::warn!("another dispatcher took over what this one had claimed");
            *identity = Identity::new();
            self.taken_over.store(true, Ordering::Release);
        }
    }
}

impl Identity {
    fn new() -> Self {
        Self { id: uuid::Uuid::now_v7().to_string(), is_fresh: true, requests: 0, received: 0 }
    }

    /// As the scripts take it.
    pub(super) fn fresh(&self) -> u8 {
        u8::from(self.is_fresh)
    }
}

impl Shared {
    pub(in crate::store) async fn claim(&self, max: usize) -> Result<Vec<Claimed>, Error> {
        let max = max.min(MAX_CLAIMED);
        loop {
            let ready = self.ready.notified();
            tokio::pin!(ready);
            // From here on a word of something to claim is not missed, though nobody awaits it yet.
            ready.as_mut().enable();
            self.check_open()?;
            if self.desk.taken_over.swap(false, Ordering::AcqRel) {
                return Err(Error::TakenOver);
            }
            if max == 0 {
                return Ok(Vec::new());
            }
            match self.ask_for_tasks(max).await? {
                Answer::Tasks(tasks) => return Ok(tasks),
                Answer::Again => {}
                Answer::Nothing { until_due: None } => ready.await,
                Answer::Nothing { until_due: Some(wait) } => {
                    let _ = tokio::time::timeout(wait, ready).await;
                }
            }
        }
    }

    async fn ask_for_tasks(&self, max: usize) -> Result<Answer, Error> {
        let _turn = self.desk.claiming.lock().await;
        let me = {
            let mut identity = self.desk.lock();
            identity.requests += 1;
            identity.clone()
        };
        let call = CLAIM.call().bytes(me.id.as_bytes()).text(me.fresh()).text(me.requests).text(me.received);
        let call = call.text(max).text(MAX_INLINE_BYTES).text(self.lease.as_millis()).text(self.result_ttl_ms);
        let cancelled = cancelled()?;
        let answer: Vec<Value> = self.run(call.bytes(&cancelled)).await?;
        match bytes(answer.first()) {
            Some(b"ok") => self.desk.enter(&me.id),
            Some(b"taken") => {
                self.desk.lose(&me.id);
                return Ok(Answer::Again);
            }
            _ => return Ok(Answer::Again),
        }
        let [_, until_due, more, Value::Array(found)] = answer.as_slice() else {
            return Err(unreadable("a claim's answer has another form"));
        };
        let tasks = try_join_all(found.iter().map(|task| self.claimed(task))).await?;
        let tasks: Vec<_> = tasks.into_iter().flatten().collect();
        // Nothing is awaited from here on: what the answer held reaches the caller.
        let mut identity = self.desk.lock();
        if identity.id != me.id {
            return Ok(Answer::Again);
        }
        identity.received = me.requests;
        Ok(match (tasks.is_empty(), more) {
            (false, _) => Answer::Tasks(tasks),
            (true, Value::Int(1)) => Answer::Again,
            (true, _) => {
                // One millisecond more, as both clocks are cut to whole ones.
                let until_due_ms = text::<i64>(Some(until_due))?.and_then(|due| u64::try_from(due).ok());
                Answer::Nothing { until_due: until_due_ms.map(|ms| Duration::from_millis(ms.saturating_add(1))) }
            }
        })
    }

    /// A task from the answer of a claim; none when this program cannot read it, which must not keep the
    /// others from being handed out.
    async fn claimed(&self, value: &Value) -> Result<Option<Claimed>, Error> {
        let Value::Array(fields) = value else { return Err(unreadable("a claimed task has another form")) };
        let read = || {
            let id: TaskId = text(fields.first())?.ok_or_else(|| unreadable("a claimed task has no id"))?;
            let task: Task = decode(bytes(fields.get(3)).unwrap_or_default())?;
            let state = claimed_state(fields.get(4..).unwrap_or_default())?;
            Ok((id, task, state.ok_or_else(|| unreadable("a claimed task has no state"))?))
        };
        let (id, mut task, state) = match read() {
            Ok(read) => read,
            Err::<_, Error>(error) => {
                tracing::error!(error = &error as &dyn std::error::Error, "a claimed task is passed over");
                return Ok(None);
            }
        };
        match (fields.get(1), bytes(fields.get(2))) {
            (_, Some(input)) => task.input.bytes = input.to_vec(),
            (Some(Value::Int(0)), None) => {}
            (_, None) => match self.input(id).await? {
                Some(input) => task.input.bytes = input,
                // It ended and expired meanwhile.
                None => return Ok(None),
            },
        }
        Ok(Some(Claimed { task: Arc::new(task), state }))
    }

    async fn input(&self, id: TaskId) -> Result<Option<Vec<u8>>, Error> {
        self.bulk.ask(redis::cmd("HGET").arg(self.task_key(id)).arg("input")).await
    }

    pub(in crate::store) async fn adopt(&self, task: Task, started_at_ms: u64) -> Result<(), Error> {
        let task = EncodedTask::new(task)?;
        loop {
            let me = self.desk.now();
            let call = ADOPT.call().bytes(me.id.as_bytes()).text(me.fresh()).text(self.lease.as_millis());
            let call = call.text(task.id).bytes(task.lane.as_bytes()).text(started_at_ms).optional(task.ttl_ms);
            let answer: String = self.run(call.bytes(&task.record).bytes(&task.input)).await?;
            if answer == "ok" {
                self.desk.enter(&me.id);
                return Ok(());
            }
            self.taken_for_dead(&me.id);
        }
    }

    pub(in crate::store) async fn recover(
        &self,
        id: TaskId,
        attempt: Attempt,
        worker: WorkerId,
    ) -> Result<Recovered, Error> {
        let cancelled = cancelled()?;
        loop {
            let me = self.desk.now();
            let call = RECOVER.call().bytes(me.id.as_bytes()).text(me.fresh()).text(self.lease.as_millis());
            let call = call.text(self.result_ttl_ms).bytes(&cancelled).text(id).text(attempt).text(worker);
            let answer: String = self.run(call).await?;
            if answer == "taken" {
                self.taken_for_dead(&me.id);
                continue;
            }
            self.desk.enter(&me.id);
            return match answer.as_str() {
                "mine" => Ok(self.whole(id).await?.map_or(Recovered::Stale, Recovered::Taken)),
                "owned" => Ok(Recovered::Owned),
                _ => Ok(Recovered::Stale),
            };
        }
    }

    /// A task of this dispatcher with its input.
    async fn whole(&self, id: TaskId) -> Result<Option<Claimed>, Error> {
        let mut command = redis::cmd("HMGET");
        command.arg(self.task_key(id)).arg(&STATE_FIELDS).arg("size").arg("task");
        let fields: Vec<Value> = self.link.ask(&command).await?;
        let Some(state) = claimed_state(&fields)? else { return Ok(None) };
        let mut task: Task = decode(bytes(fields.last()).unwrap_or_default())?;
        if bytes(fields.get(STATE_FIELDS.len())).is_some() {
            task.input.bytes = self.input(id).await?.unwrap_or_default();
        }
        Ok(Some(Claimed { task: Arc::new(task), state }))
    }

    pub(in crate::store) async fn queued(&self) -> Result<usize, Error> {
        let me = self.desk.now();
        self.run(QUEUED.call().bytes(me.id.as_bytes()).text(me.received)).await
    }

    /// Keeps this process's lease, once there is one; does not end.
    pub(super) async fn renew(&self) {
        loop {
            let me = self.desk.now();
            if me.is_fresh {
                self.desk.entered.notified().await;
                continue;
            }
            let call = RENEW.call().bytes(me.id.as_bytes()).text(self.lease.as_millis());
            let answer: Result<String, Error> = self.link.run(call).await;
            let pause = match answer {
                Ok(answer) if answer == "taken" => {
                    self.taken_for_dead(&me.id);
                    continue;
                }
                Ok(_) => self.lease / RENEWALS,
                // Before the next regular time, as the lease runs on.
                Err(_) => self.lease / (4 * RENEWALS),
            };
            tokio::time::sleep(pause).await;
        }
    }

    /// Gives back all claims; nothing may be claimed any more.
    pub(super) async fn leave(&self) -> Result<(), Error> {
        // A claim that is still under way comes to the server before this, or finds that it is no dispatcher.
        let me = self.desk.now();
        if me.is_fresh && me.requests == 0 {
            return Ok(());
        }
        while self.link.run::<i64>(LEAVE.call().bytes(me.id.as_bytes())).await? == 0 {}
        Ok(())
    }

    pub(super) fn taken_for_dead(&self, id: &str) {
        self.desk.lose(id);
        self.ready.notify_waiters();
    }
}

/// The outcome of a cancelled task, as it is written.
pub(super) fn cancelled() -> Result<Vec<u8>, Error> {
    encode(&Outcome::Cancelled)
}
