//! The one thread that writes. It takes whatever requests are there, carries them out in one
//! transaction, makes that durable with one sync, changes the memory accordingly, and only then
//! answers. There is no timer: under load the groups grow by themselves, because requests gather
//! while the disk is busy.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bulkhead_protocol::id::{TaskId, WorkerId};
use bulkhead_protocol::outcome::{Outcome, Report};
use bulkhead_protocol::task::{Attempt, Spent};
use tokio::sync::{mpsc, oneshot};

use super::Shared;
use super::database::{Changed, Failure};
use super::functions::Registration;
use super::record::Place;
use super::submission::NewTask;
use super::transition::{Effect, Group};
use crate::store::types::{CancelQueued, Error, Recovered, Submitted, Transition};

/// Most requests in one group: bounds how long the first of them waits for the others.
const MAX_GROUP: usize = 1024;

/// Requests that wait for the committer; more wait for a place.
pub(super) const MAX_PENDING: usize = 1024;

/// The least time between two tries at opening the file anew; requests in between are refused.
const REOPEN_PAUSE: Duration = Duration::from_millis(250);

/// Where an answer goes.
pub(super) type Reply<T> = oneshot::Sender<Result<T, Error>>;

/// What the committer is asked to do.
pub(super) enum Request {
    /// See [`Group::submit`].
    Submit { tasks: Vec<NewTask>, reply: Reply<Vec<Submitted>> },
    /// See [`Group::adopt`].
    Adopt { task: Box<NewTask>, started_at_ms: u64, reply: Reply<()> },
    /// See [`Shared::start`]; only for tasks that are being changed or that nobody claimed.
    Start { id: TaskId, attempt: Attempt, worker: WorkerId, at_ms: u64, reply: Reply<Transition> },
    /// See [`Shared::recover`].
    Recover { id: TaskId, attempt: Attempt, reply: Reply<Recovered> },
    /// See [`Group::finish`].
    Finish {
        id: TaskId,
        attempt: Attempt,
        report: Arc<Report>,
        dead_letter: bool,
        at_ms: u64,
        reply: Reply<Transition>,
    },
    /// See [`Group::requeue`].
    Requeue {
        id: TaskId,
        attempt: Attempt,
        outcome: Outcome,
        spent: Spent,
        not_before_ms: u64,
        reply: Reply<Transition>,
    },
    /// See [`Group::cancel`].
    Cancel { id: TaskId, at_ms: u64, reply: Reply<CancelQueued> },
    /// See [`Group::promote`].
    Promote { reply: Reply<()> },
    /// See [`Group::expire`].
    Expire { now_ms: u64, ttl_ms: u64, reply: Reply<usize> },
    /// A change of the functions; gets a transaction of its own.
    Register(Registration),
    /// Write everything, close the file, end.
    Close { reply: Reply<()> },
}

/// An answer that waits for the commit.
type Answer = Box<dyn FnOnce(Result<(), &str>) + Send>;

/// The state of the thread.
pub(super) struct Committer {
    /// What it shares with the callers.
    shared: Arc<Shared>,
    /// Where the requests come from.
    requests: mpsc::Receiver<Request>,
    /// The number that the newest queue entry got.
    next_seq: u64,
    /// When the file was last found unusable; none while all is well.
    broken_since: Option<Instant>,
}

impl Committer {
    pub(super) fn new(shared: Arc<Shared>, requests: mpsc::Receiver<Request>, next_seq: u64) -> Self {
        Self { shared, requests, next_seq, broken_since: None }
    }

    /// Works until asked to close, or until nobody is left who could ask.
    pub(super) fn run(mut self) {
        let mut pending = Vec::new();
        let mut closing = Vec::new();
        while closing.is_empty() && self.requests.blocking_recv_many(&mut pending, MAX_GROUP) > 0 {
            let mut group = Vec::with_capacity(pending.len());
            for request in pending.drain(..) {
                match request {
                    Request::Register(registration) => {
                        self.commit(std::mem::take(&mut group));
                        self.register(registration);
                    }
                    Request::Close { reply } => closing.push(reply),
                    request => group.push(request),
                }
            }
            self.commit(group);
        }
        self.close(closing);
    }

    fn commit(&mut self, requests: Vec<Request>) {
        if requests.is_empty() {
            return;
        }
        if let Err(reason) = self.recover() {
            requests.into_iter().for_each(|request| request.refuse(&reason));
            return;
        }
        let mut answers: Vec<Answer> = Vec::with_capacity(requests.len());
        let mut after = Vec::new();
        let shared = self.shared.clone();
        let committed = shared.file.write(|transaction| {
            let mut group = Group::begin(&shared, transaction, &mut self.next_seq, now_ms())?;
            for request in requests {
                match request {
                    // Decided in memory, once it is known what became of the group.
                    Request::Start { .. } | Request::Recover { .. } => after.push(request),
                    request => answers.extend(request.carry_out(&mut group)?),
                }
            }
            if group.changed {
                group.write_starts()?;
            }
            let changed = if group.changed { Changed::Yes } else { Changed::No };
            Ok((std::mem::take(&mut group.effects), changed))
        });
        match committed {
            Ok(effects) => {
                shared.apply(effects);
                answers.into_iter().for_each(|answer| answer(Ok(())));
                for request in after {
                    request.carry_out_after(&shared);
                }
            }
            Err(failure) => {
                let reason = self.fail(&failure);
                answers.into_iter().for_each(|answer| answer(Err(&reason)));
                // Those after are dropped with their replies, which tells their callers.
            }
        }
    }

    fn register(&mut self, registration: Registration) {
        if let Err(reason) = self.recover() {
            return registration.refuse(Error::Unavailable { reason });
        }
        if let Err(failure) = registration.carry_out(&self.shared) {
            self.fail(&failure);
        }
    }

    /// Notes that a commit failed; gives the reason for those who waited for it.
    fn fail(&mut self, failure: &Failure) -> String {
        tracing::error!(error = %failure, "a commit failed; nothing of it was acknowledged");
        self.broken_since = Some(Instant::now());
        failure.to_string()
    }

    /// Opens the file anew after a failure.
    fn recover(&mut self) -> Result<(), String> {
        let Some(since) = self.broken_since else { return Ok(()) };
        if since.elapsed() < REOPEN_PAUSE {
            return Err("the last write failed; the next try comes soon".to_owned());
        }
        self.broken_since = Some(Instant::now());
        let reopened = self.shared.file.reopen().and_then(|()| self.shared.load());
        match reopened {
            Ok(next_seq) => {
                tracing::info!("the store's file is open again");
                self.next_seq = self.next_seq.max(next_seq);
                self.broken_since = None;
                Ok(())
            }
            Err(failure) => Err(failure.to_string()),
        }
    }

    fn close(mut self, closing: Vec<Reply<()>>) {
        let shared = self.shared.clone();
        let written = self.recover().and_then(|()| {
            let starts = shared.file.write(|transaction| {
                let mut group = Group::begin(&shared, transaction, &mut self.next_seq, now_ms())?;
                group.write_starts()?;
                Ok(((), if group.changed { Changed::Yes } else { Changed::No }))
            });
            starts.map_err(|failure| failure.to_string())
        });
        shared.file.close();
        shared.folder.release();
        drop(self.requests);
        for reply in closing {
            let _ = reply.send(written.clone().map_err(|reason| Error::Unavailable { reason }));
        }
    }
}

impl Request {
    /// Does it within `group`; the answer waits for the commit.
    fn carry_out(self, group: &mut Group<'_>) -> Result<Option<Answer>, Failure> {
        Ok(Some(match self {
            Self::Submit { tasks, reply } => answer(reply, group.submit(tasks))?,
            Self::Adopt { task, started_at_ms, reply } => answer(reply, group.adopt(*task, started_at_ms))?,
            Self::Finish { id, attempt, report, dead_letter, at_ms, reply } => {
                answer(reply, group.finish(id, attempt, &report, dead_letter, at_ms))?
            }
            Self::Requeue { id, attempt, outcome, spent, not_before_ms, reply } => {
                answer(reply, group.requeue(id, attempt, outcome, spent, not_before_ms))?
            }
            Self::Cancel { id, at_ms, reply } => answer(reply, group.cancel(id, at_ms))?,
            Self::Promote { reply } => answer(reply, group.promote())?,
            Self::Expire { now_ms, ttl_ms, reply } => answer(reply, group.expire(now_ms, ttl_ms))?,
            Self::Start { .. } | Self::Recover { .. } | Self::Register(_) | Self::Close { .. } => return Ok(None),
        }))
    }

    /// Does what is decided in memory, between two groups.
    fn carry_out_after(self, shared: &Shared) {
        // The caller may have gone; what was decided counts all the same.
        match self {
            Self::Start { id, attempt, worker, at_ms, reply } => {
                let _ = reply.send(shared.start(id, attempt, worker, at_ms));
            }
            Self::Recover { id, attempt, reply } => drop(reply.send(shared.recover(id, attempt))),
            _ => {}
        }
    }

    /// Answers that nothing was done.
    fn refuse(self, reason: &str) {
        let error = || Error::Unavailable { reason: reason.to_owned() };
        match self {
            Self::Submit { reply, .. } => drop(reply.send(Err(error()))),
            Self::Start { reply, .. } | Self::Finish { reply, .. } | Self::Requeue { reply, .. } => {
                drop(reply.send(Err(error())));
            }
            Self::Cancel { reply, .. } => drop(reply.send(Err(error()))),
            Self::Recover { reply, .. } => drop(reply.send(Err(error()))),
            Self::Expire { reply, .. } => drop(reply.send(Err(error()))),
            Self::Adopt { reply, .. } | Self::Promote { reply } | Self::Close { reply } => {
                drop(reply.send(Err(error())));
            }
            Self::Register(registration) => registration.refuse(error()),
        }
    }
}

/// Turns what was decided into an answer. A record that cannot be read concerns only the request
/// that needed it; a failure of the engine concerns the whole group.
fn answer<T: Send + 'static>(reply: Reply<T>, decided: Result<T, Failure>) -> Result<Answer, Failure> {
    let decided = match decided {
        Err(failure @ Failure::Engine(_)) => {
            let _ = reply.send(Err(Error::Unavailable { reason: failure.to_string() }));
            return Err(failure);
        }
        decided => decided.map_err(Error::from),
    };
    Ok(Box::new(move |committed| {
        let result = match committed {
            Ok(()) => decided,
            Err(reason) => Err(Error::Unavailable { reason: reason.to_owned() }),
        };
        // The caller may have gone; what was committed stays.
        let _ = reply.send(result);
    }))
}

impl Shared {
    /// Carries a commit over into memory and wakes those whom it concerns.
    fn apply(&self, effects: Vec<Effect>) {
        let mut ended = Vec::new();
        let mut ready = false;
        let mut live = self.live();
        for effect in effects {
            match effect {
                Effect::Queued { queue, seq, id } => {
                    live.queued += 1;
                    live.push(queue, seq, id);
                    ready = true;
                }
                Effect::Delayed { until_ms } => {
                    live.queued += 1;
                    live.next_due_ms = Some(live.next_due_ms.map_or(until_ms, |due| due.min(until_ms)));
                    // A claim that sleeps until a later time must learn of the earlier one.
                    ready = true;
                }
                Effect::Promoted { queue, seq, id } => {
                    live.push(queue, seq, id);
                    ready = true;
                }
                Effect::NextDue { at_ms } => live.next_due_ms = at_ms,
                Effect::Adopted { id, task } => drop(live.tasks.insert(id, *task)),
                Effect::Left { id, queue, place } => {
                    if let Place::Ready { seq } = place {
                        live.forget(queue, seq);
                    }
                    let claimed = live.tasks.remove(&id).is_some_and(|task| !task.reserved);
                    if !claimed {
                        live.queued = live.queued.saturating_sub(1);
                    }
                }
                Effect::Ended { id } => ended.push(id),
            }
        }
        drop(live);
        if ready {
            self.ready.notify_waiters();
        }
        ended.into_iter().for_each(|id| self.completion.ended(id));
    }
}

/// Milliseconds since the Unix epoch.
pub(super) fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
