//! One write, as its script takes it, and a group's answers.

use std::sync::Arc;

use bulkhead_protocol::id::TaskId;
use bulkhead_protocol::outcome::Report;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use crate::store::redis::record::unreadable;
use crate::store::redis::scripts::Call;
use crate::store::types::Error;

/// What a write says of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// It began.
    Start,
    /// Its task ends.
    End,
    /// Its task waits again.
    Requeue,
}

/// What the script says to a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// It was made.
    Applied,
    /// Something newer is known.
    Stale,
    /// This dispatcher was taken for dead.
    Taken,
}

/// A write.
#[derive(Debug)]
pub(super) struct Write {
    /// Of which kind.
    kind: Kind,
    /// Of which task.
    task: TaskId,
    /// What the script takes of it, behind its kind.
    arguments: Vec<Argument>,
    /// Bytes of `arguments`.
    size: usize,
}

/// One argument of a script.
#[derive(Debug)]
enum Argument {
    /// Made for it.
    Own(Vec<u8>),
    /// The result in a report, which may be too large to copy.
    ResultOf(Arc<Report>),
}

/// A write, and who waits for it.
#[derive(Debug)]
pub(super) struct Awaited {
    /// The write.
    pub(super) write: Write,
    /// Who waits; may have gone.
    waiter: oneshot::Sender<Result<Answer, Error>>,
    /// Its place in the queue, where it has one.
    pub(super) place: Option<OwnedSemaphorePermit>,
}

impl Write {
    pub(super) fn new(kind: Kind, task: TaskId) -> Self {
        Self { kind, task, arguments: Vec::with_capacity(9), size: 0 }
    }

    /// Adds an argument that is text.
    pub(super) fn text(self, value: impl ToString) -> Self {
        self.bytes(value.to_string().into_bytes())
    }

    /// Adds an argument.
    pub(super) fn bytes(mut self, bytes: Vec<u8>) -> Self {
        self.size += bytes.len();
        self.arguments.push(Argument::Own(bytes));
        self
    }

    /// Adds the result in a report as an argument.
    pub(super) fn result_of(mut self, report: Arc<Report>) -> Self {
        self.size += report.result.len();
        self.arguments.push(Argument::ResultOf(report));
        self
    }

    /// Bytes of the arguments.
    pub(super) fn size(&self) -> usize {
        self.size
    }

    /// Whether an attempt began.
    pub(super) fn is_start(&self) -> bool {
        self.kind == Kind::Start
    }

    /// Gives it to whoever makes it; the future is done when it was made.
    ///
    /// # Cancel safety
    /// The write is made all the same.
    pub(super) fn awaited(self) -> (Awaited, impl Future<Output = Result<Answer, Error>>) {
        let (waiter, answer) = oneshot::channel();
        let awaited = Awaited { write: self, waiter, place: None };
        // The store was dropped or closed before it was made.
        let gone = || Error::Unavailable { reason: "the store was closed before a write was made".to_owned() };
        (awaited, async move { answer.await.unwrap_or_else(|_| Err(gone())) })
    }
}

impl Awaited {
    /// The task.
    pub(super) fn task(&self) -> TaskId {
        self.write.task
    }

    /// Adds it to the script's arguments.
    pub(super) fn append_to<'a>(&'a self, call: Call<'a>) -> Call<'a> {
        let kind: &[u8] = match self.write.kind {
            Kind::Start => b"S",
            Kind::End => b"E",
            Kind::Requeue => b"Q",
        };
        self.write.arguments.iter().fold(call.bytes(kind), |call, argument| match argument {
            Argument::Own(bytes) => call.bytes(bytes),
            Argument::ResultOf(report) => call.bytes(&report.result),
        })
    }
}

/// Tells everybody who waits for a write of a group what came of it.
pub(super) fn answer(group: Vec<Awaited>, answers: Result<String, Error>) {
    match answers {
        Ok(answers) => {
            for (write, letter) in group.into_iter().zip(answers.bytes()) {
                write.answer(read(letter));
            }
        }
        Err(error) => {
            let reason = match error {
                Error::Unavailable { reason } => reason,
                other => other.to_string(),
            };
            group.into_iter().for_each(|write| write.answer(Err(Error::Unavailable { reason: reason.clone() })));
        }
    }
}

impl Awaited {
    fn answer(self, answer: Result<Answer, Error>) {
        // Who waited may have gone.
        let _ = self.waiter.send(answer);
    }
}

fn read(letter: u8) -> Result<Answer, Error> {
    match letter {
        b'a' => Ok(Answer::Applied),
        b's' => Ok(Answer::Stale),
        b't' => Ok(Answer::Taken),
        _ => Err(unreadable("the task of a write has another form")),
    }
}
