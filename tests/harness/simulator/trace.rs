//! What happened, as text for people or as a number to compare.

use std::fmt::{self, Write};

use bulkhead_dispatch::{Arrival, Input, Output, Record, RecoverAnswer};

use super::names::{A, Ms, T, W};
use super::store::{Answer, Op};

/// How much of a schedule is noted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tracing {
    /// Nothing.
    Off,
    /// A hash of every line.
    Hash,
    /// Every line.
    Text,
}

/// The notes.
#[derive(Debug)]
pub(super) struct Trace {
    /// How much is noted.
    tracing: Tracing,
    /// FNV-1a over all lines.
    pub(super) hash: u64,
    /// The lines, where they are kept.
    pub(super) lines: Vec<String>,
}

/// Hashes what is written to it.
struct Hasher<'h>(&'h mut u64);

impl Write for Hasher<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            *self.0 = (*self.0 ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3);
        }
        Ok(())
    }
}

impl Trace {
    pub(super) fn new(tracing: Tracing) -> Self {
        Self { tracing, hash: 0xCBF2_9CE4_8422_2325, lines: Vec::new() }
    }

    /// Notes something.
    pub(super) fn note(&mut self, now: Ms, text: impl FnOnce() -> String) {
        if self.tracing != Tracing::Off {
            self.line(format_args!("{now:>7}  {}", text()));
        }
    }

    /// Notes what a dispatcher is told.
    pub(super) fn input(&mut self, now: Ms, dispatcher: usize, input: &Input) {
        if self.tracing != Tracing::Off {
            self.line(format_args!("{now:>7}  d{dispatcher} <- {}", Show(input)));
        }
    }

    /// Notes what a dispatcher says.
    pub(super) fn output(&mut self, now: Ms, dispatcher: usize, output: &Output) {
        if self.tracing != Tracing::Off {
            self.line(format_args!("{now:>7}  d{dispatcher}    -> {}", Show(output)));
        }
    }

    /// Notes what the store does.
    pub(super) fn store(&mut self, now: Ms, op: &Op, answer: &Answer) {
        if self.tracing != Tracing::Off {
            self.line(format_args!("{now:>7}  store {}: {}", Show(op), Show(answer)));
        }
    }

    fn line(&mut self, line: fmt::Arguments<'_>) {
        // Writing to these cannot fail.
        let _ = writeln!(Hasher(&mut self.hash), "{line}");
        if self.tracing == Tracing::Text {
            self.lines.push(line.to_string());
        }
    }
}

/// Writes something in the words of a trace.
struct Show<'v, V>(&'v V);

impl fmt::Display for Show<'_, Arrival> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Arrival { task, attempt, cut, spent, .. } = self.0;
        write!(f, "{} {cut:?}", A(*task, *attempt))?;
        write!(f, " spent {}+{}+{}+{}", spent.failures, spent.crashes, spent.losses, spent.returns)
    }
}

impl fmt::Display for Show<'_, Input> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Input::Arrived(arrival) => write!(f, "arrived {}", Show(arrival)),
            Input::Claimed => write!(f, "claimed"),
            Input::ClaimFailed => write!(f, "claim failed"),
            Input::Hello { worker, kind, slots, in_hand } => {
                write!(f, "hello {} {kind:?} {slots} slots", W(*worker))?;
                in_hand.iter().try_for_each(|(task, attempt)| write!(f, " {}", A(*task, *attempt)))
            }
            Input::Ahead { worker, ahead } => write!(f, "ahead {} {ahead}", W(*worker)),
            Input::Resting { worker, resting: true } => write!(f, "rests {}", W(*worker)),
            Input::Resting { worker, resting: false } => write!(f, "rests no more {}", W(*worker)),
            Input::Disconnected { worker } => write!(f, "disconnected {}", W(*worker)),
            Input::DrainWorker { worker } => write!(f, "drain {}", W(*worker)),
            Input::Ready { worker, count } => write!(f, "ready {} {count}", W(*worker)),
            Input::Heartbeat { worker } => write!(f, "heartbeat {}", W(*worker)),
            Input::Started { worker, task, attempt } => write!(f, "started {} {}", W(*worker), A(*task, *attempt)),
            Input::Ended { worker, task, attempt, outcome, .. } => {
                write!(f, "ended {} {} {}", W(*worker), A(*task, *attempt), outcome.kind())
            }
            Input::Goodbye { worker } => write!(f, "goodbye {}", W(*worker)),
            Input::Recovered { task, attempt, answer } => match answer {
                RecoverAnswer::Taken(arrival) => write!(f, "recovered {}: {}", A(*task, *attempt), Show(arrival)),
                answer => write!(f, "recovered {}: {answer:?}", A(*task, *attempt)),
            },
            Input::Fenced { task, attempt } => write!(f, "fenced {}", A(*task, *attempt)),
            Input::TakenOver => write!(f, "taken over"),
            Input::Cancel { task } => write!(f, "cancel {}", T(*task)),
            Input::CancelStored { task, answer } => write!(f, "cancel stored {}: {answer:?}", T(*task)),
            Input::Recorded { task, applied } => write!(f, "recorded {}: {applied}", T(*task)),
            Input::RecordFailed { task } => write!(f, "record failed {}", T(*task)),
            Input::Drain { grace } => write!(f, "drain within {grace:?}"),
            Input::Tick => write!(f, "tick"),
        }
    }
}

impl fmt::Display for Show<'_, Output> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Output::Claim { max } => write!(f, "claim {max}"),
            Output::StopClaiming => write!(f, "stop claiming"),
            Output::Refuse { task, reason } => write!(f, "refuse {}: {reason:?}", T(*task)),
            Output::Release { task } => write!(f, "release {}", T(*task)),
            Output::Assign { worker, task, attempt } => write!(f, "assign {} to {}", A(*task, *attempt), W(*worker)),
            Output::CancelAttempt { worker, task, attempt } => {
                write!(f, "cancel {} on {}", A(*task, *attempt), W(*worker))
            }
            Output::Recover { worker, task, attempt } => write!(f, "recover {} of {}", A(*task, *attempt), W(*worker)),
            Output::AskToDrain { worker } => write!(f, "ask {} to drain", W(*worker)),
            Output::Record { task, attempt, record } => match record {
                Record::Finish { outcome, dead_letter } => {
                    let dead = if *dead_letter { ", a dead letter" } else { "" };
                    write!(f, "finish {} {}{dead}", A(*task, *attempt), outcome.kind())
                }
                Record::Requeue { outcome, spent, not_before } => {
                    write!(f, "requeue {} {} {spent:?} not before {not_before:?}", A(*task, *attempt), outcome.kind())
                }
            },
            Output::CancelStored { task } => write!(f, "ask the store to cancel {}", T(*task)),
            Output::CancelAnswered { task, result } => write!(f, "answer the cancel of {}: {result:?}", T(*task)),
            Output::DeadLetter { task, attempt } => write!(f, "dead letter {}", A(*task, *attempt)),
            Output::Discard { worker, task, attempt } => write!(f, "discard {} of {}", A(*task, *attempt), W(*worker)),
            Output::Forget { task } => write!(f, "forget {}", T(*task)),
            Output::Evict { worker } => write!(f, "evict {}", W(*worker)),
            Output::Dismiss { worker } => write!(f, "dismiss {}", W(*worker)),
            Output::Drained => write!(f, "drained"),
            Output::WakeAt(at) => write!(f, "wake at {at:?}"),
        }
    }
}

impl fmt::Display for Show<'_, Op> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Op::Claim(max) => write!(f, "claim {max}"),
            Op::Started(task, attempt, worker) => write!(f, "started {} on {}", A(*task, *attempt), W(*worker)),
            Op::Finish { task, attempt, outcome, run, .. } => {
                write!(f, "finish {} {} of run {run:?}", A(*task, *attempt), outcome.kind())
            }
            Op::Requeue { task, attempt, outcome, spent, .. } => {
                write!(f, "requeue {} {} {spent:?}", A(*task, *attempt), outcome.kind())
            }
            Op::CancelQueued(task) => write!(f, "cancel {} if queued", T(*task)),
            Op::Recover(task, attempt, worker) => write!(f, "recover {} of {}", A(*task, *attempt), W(*worker)),
            Op::Cancel(task) => write!(f, "cancel {}", T(*task)),
            Op::Submit(task, ..) => write!(f, "submit {}", T(*task)),
        }
    }
}

impl fmt::Display for Show<'_, Answer> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Answer::Claimed(tasks) => tasks.iter().try_for_each(|(task, row)| {
                write!(f, "{} {} by {:?} ", A(*task, row.attempt), row.status.as_str(), row.owner)
            }),
            Answer::TakenOver(lease) => write!(f, "taken over, now {lease}"),
            Answer::Applied(applied) => write!(f, "{applied}"),
            Answer::Cancel(answer) => write!(f, "{answer:?}"),
            Answer::Taken(row) => write!(f, "taken at {} {}", row.attempt, row.status.as_str()),
            Answer::Owned => write!(f, "owned"),
            Answer::Stale => write!(f, "stale"),
            Answer::Unavailable => write!(f, "unavailable"),
        }
    }
}
