//! How tasks and their states are written on disk. Every record begins with a version byte, so a
//! later version can tell how to read what this one wrote.

use bulkhead_protocol::codec;
use bulkhead_protocol::outcome::Logs;
use bulkhead_protocol::task::{Attempt, Status, Task, TaskState};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::database::Failure;

/// The version that this code writes and the only one that it reads.
const RECORD_VERSION: u8 = 1;

/// Inputs and results up to this size stand inside the record of the task or state: a B-tree entry
/// less to write and to find. Larger ones would make listings and states slow to read.
const MAX_INLINE_BYTES: usize = 1024;

/// Which queue a task that has not ended stands in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Place {
    /// In the queue of its priority and function, at this number.
    Ready {
        /// Its number; lower goes first.
        seq: u64,
    },
    /// Among those whose time has not come.
    Delayed {
        /// When it comes; milliseconds since the Unix epoch.
        until_ms: u64,
        /// Tells those of the same time apart.
        seq: u64,
    },
}

/// A payload that goes with a record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Payload {
    /// There is none, or it is empty.
    None,
    /// Small enough to stand here.
    Inline(Vec<u8>),
    /// In the table of payloads.
    Apart,
}

/// The mutable part of a task. A task that was only ever submitted has none: its [`Place`] then
/// stands in its task record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct StateRecord {
    /// What clients see. `Running` on disk with nobody in memory who runs it reads as `Queued`.
    pub(super) state: TaskState,
    /// The lowest attempt that may still start or end the task: one that was requeued may not.
    pub(super) fence: Attempt,
    /// Where it waits, also while it runs, so that a crash puts it back there; none at the end.
    pub(super) place: Option<Place>,
    /// The result, once completed.
    pub(super) result: Payload,
    /// Whether logs stand in the table of payloads.
    pub(super) has_logs: bool,
}

impl StateRecord {
    /// The record that a task has before its first change.
    pub(super) fn queued(place: Place) -> Self {
        Self { state: TaskState::queued(), fence: 0, place: Some(place), result: Payload::None, has_logs: false }
    }

    /// What clients see of a task that nobody in memory runs.
    pub(super) fn unclaimed_state(self) -> TaskState {
        let status = if self.state.status.is_terminal() { self.state.status } else { Status::Queued };
        TaskState { status, ..self.state }
    }

    pub(super) fn encode(&self) -> Result<Vec<u8>, Failure> {
        versioned(self)
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, Failure> {
        decode_versioned(bytes)
    }
}

/// The immutable part of a task, as read.
pub(super) struct TaskRecord {
    /// Where it was put at first.
    pub(super) place: Place,
    /// The task; its input is empty when `input_apart`.
    pub(super) task: Task,
    /// Whether the input stands in the table of payloads.
    pub(super) input_apart: bool,
}

/// Version, number, time: what the committer fills in once the rest was encoded elsewhere.
const PLACE_BYTES: usize = 1 + 8 + 8;

/// A task as it is written: encoded by the caller's thread, placed by the committer's.
pub(super) struct EncodedTask {
    /// The record, its place still open.
    record: Vec<u8>,
    /// The input, when it stands apart.
    pub(super) input: Option<Vec<u8>>,
}

impl EncodedTask {
    /// Encodes `task` and takes its input out of it.
    pub(super) fn new(task: &mut Task) -> Result<Self, Failure> {
        let apart = task.input.bytes.len() > MAX_INLINE_BYTES;
        let input = apart.then(|| std::mem::take(&mut task.input.bytes));
        let mut record = vec![0; PLACE_BYTES];
        record[0] = RECORD_VERSION;
        record.extend_from_slice(&codec::encode(&(apart, &*task)).map_err(Failure::codec)?);
        Ok(Self { record, input })
    }

    /// The record of the task at `place`.
    pub(super) fn place(&mut self, place: Place) -> &[u8] {
        let (seq, until_ms) = match place {
            Place::Ready { seq } => (seq, 0),
            Place::Delayed { until_ms, seq } => (seq, until_ms),
        };
        self.record[1..9].copy_from_slice(&seq.to_be_bytes());
        self.record[9..17].copy_from_slice(&until_ms.to_be_bytes());
        &self.record
    }
}

impl TaskRecord {
    pub(super) fn decode(bytes: &[u8]) -> Result<Self, Failure> {
        let (place, body) = Self::split(bytes)?;
        let (input_apart, task) = codec::decode(body).map_err(Failure::codec)?;
        Ok(Self { place, task, input_apart })
    }

    fn split(bytes: &[u8]) -> Result<(Place, &[u8]), Failure> {
        let (head, body) = bytes.split_first_chunk::<PLACE_BYTES>().ok_or_else(|| Failure::record("is cut off"))?;
        check_version(head[0])?;
        let number = |from: usize| head[from..from + 8].iter().fold(0, |value, byte| value << 8 | u64::from(*byte));
        let (seq, until_ms) = (number(1), number(9));
        let place = if until_ms == 0 { Place::Ready { seq } } else { Place::Delayed { until_ms, seq } };
        Ok((place, body))
    }
}

impl Payload {
    /// Splits `bytes` into what the record says of them and what is to be written apart.
    pub(super) fn of(bytes: Vec<u8>) -> (Self, Option<Vec<u8>>) {
        match bytes.len() {
            0 => (Self::None, None),
            1..=MAX_INLINE_BYTES => (Self::Inline(bytes), None),
            _ => (Self::Apart, Some(bytes)),
        }
    }
}

/// The logs as they are written, when there is anything to write.
pub(super) fn encode_logs(logs: &Logs) -> Result<Option<Vec<u8>>, Failure> {
    if logs.stdout.is_empty() && logs.stderr.is_empty() && !logs.truncated {
        return Ok(None);
    }
    versioned(logs).map(Some)
}

/// Encodes any other record.
pub(super) fn versioned<T: Serialize>(value: &T) -> Result<Vec<u8>, Failure> {
    let mut bytes = codec::encode(value).map_err(Failure::codec)?;
    bytes.insert(0, RECORD_VERSION);
    Ok(bytes)
}

/// Reads what [`versioned`] wrote.
pub(super) fn decode_versioned<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Failure> {
    let (version, body) = bytes.split_first().ok_or_else(|| Failure::record("is empty"))?;
    check_version(*version)?;
    codec::decode(body).map_err(Failure::codec)
}

fn check_version(version: u8) -> Result<(), Failure> {
    if version == RECORD_VERSION { Ok(()) } else { Err(Failure::record("has a version unknown here")) }
}
