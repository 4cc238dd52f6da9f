//! Where a queued task has come, told to whoever asks for it: an evaluation reads these lines of the log
//! and their times to the microsecond. Costs a look at one number while nobody asks.

use bulkhead_protocol::id::TaskId;

/// What these lines of the log are filtered by: `BULKHEAD_LOG=warn,bulkhead::stage=trace`. A level below
/// all else, so that no other filter brings them.
pub const TARGET: &str = "bulkhead::stage";

/// How far a task has come. In this order for each task that is not tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// The gateway has read the request and made a task of it.
    Received,
    /// The store has it.
    Stored,
    /// A dispatcher has it from the queue.
    Claimed,
    /// It is on its way to its worker, or to the executor beside the dispatcher.
    Sent,
    /// Its worker gives it to the executor.
    Begun,
    /// The executor has reported its end.
    Reported,
    /// The dispatcher has heard of it.
    Heard,
    /// The store has its end.
    Recorded,
    /// The gateway has the result and answers.
    Answered,
}

impl Stage {
    /// All of them, in their order.
    pub const ALL: [Self; 9] = [
        Self::Received,
        Self::Stored,
        Self::Claimed,
        Self::Sent,
        Self::Begun,
        Self::Reported,
        Self::Heard,
        Self::Recorded,
        Self::Answered,
    ];

    /// The word in the log.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Received => "received",
            Self::Stored => "stored",
            Self::Claimed => "claimed",
            Self::Sent => "sent",
            Self::Begun => "begun",
            Self::Reported => "reported",
            Self::Heard => "heard",
            Self::Recorded => "recorded",
            Self::Answered => "answered",
        }
    }
}

/// Says that a task has come that far.
#[inline]
pub fn reached(stage: Stage, task: TaskId) {
    tracing::trace!(target: TARGET, task_id = %task, stage = stage.as_str());
}
