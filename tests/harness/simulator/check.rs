//! What must never be, by name.

use std::fmt;

/// A broken promise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Violation {
    /// A task has not come to its end long after everything was whole again, or not all of them did.
    Stuck,
    /// A task waits although a healthy worker is free.
    Idle,
    /// A task ended more than once, or never.
    Ends,
    /// The store was told an end that no process of this attempt had.
    Invented,
    /// An end was taken from a worker that does not have the attempt.
    WrongWorker,
    /// An attempt was assigned while another of its task is in hand, or was not the next one.
    WrongAttempt,
    /// A task was assigned that the dispatcher does not have, or to a worker that cannot take it.
    WrongAssignment,
    /// A task ran, or was tried again, more often than its budgets allow.
    Budget,
    /// A task crashed more often than the cap allows, or went to the dead letters otherwise than by it.
    CrashCap,
    /// A task was given up although a budget allowed another attempt.
    GivenUp,
    /// More attempts of a function run at once than its limit allows.
    Concurrency,
    /// A worker has more attempts than slots and places to wait.
    Overfull,
    /// The dispatcher let go of something that the store does not have, or writes twice at once.
    Unstored,
    /// A worker was evicted that was neither silent nor without a connection for long enough.
    Evicted,
    /// Whoever wanted a task to end was told what is not so.
    Cancel,
    /// A claimed task was turned away although there should have been room.
    Refused,
    /// A dispatcher still holds something when all is over.
    Leak,
    /// The core panicked.
    Panic,
    /// The same seed went another way the second time.
    Replay,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}
