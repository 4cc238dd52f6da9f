//! How tasks, states and functions are written in Redis. Encoded records begin with a version byte, so a
//! later version can tell how to read what this one wrote; plain fields are text.

use std::str::FromStr;

use bulkhead_protocol::codec;
use bulkhead_protocol::id::TaskId;
use bulkhead_protocol::package::sha256;
use bulkhead_protocol::task::{Priority, Status, Task, TaskState};
use redis::Value;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::store::types::Error;

/// The version that this code writes and the only one that it reads.
const RECORD_VERSION: u8 = 1;

/// Inputs up to this size stand inside the record of the task. Larger ones would make listings slow to read.
const MAX_INLINE_BYTES: usize = 1024;

/// Longest time to live in milliseconds, some three thousand years: the server adds it to the time of day.
const MAX_TTL_MS: u64 = 100_000_000_000_000;

/// The fields of a task that make up its state, in the order that [`state`] reads them.
pub(super) const STATE_FIELDS: [&str; 9] =
    ["status", "attempt", "started", "ended", "outcome", "usage", "spent", "worker", "dead"];

/// A task as the scripts take it.
pub(super) struct EncodedTask {
    /// Its id.
    pub(super) id: TaskId,
    /// Priority and function: where it queues.
    pub(super) lane: String,
    /// The record.
    pub(super) record: Vec<u8>,
    /// The input, when it stands apart.
    pub(super) input: Vec<u8>,
    /// Before when it does not run; milliseconds since the Unix epoch.
    pub(super) not_before_ms: Option<u64>,
    /// When it was submitted; milliseconds since the Unix epoch.
    pub(super) submitted_at_ms: u64,
    /// How long it is kept after its end, when it says so itself.
    pub(super) ttl_ms: Option<u64>,
    /// SHA-256 of its idempotency key, and of function and input.
    pub(super) idempotency: Option<(String, String)>,
}

impl EncodedTask {
    pub(super) fn new(mut task: Task) -> Result<Self, Error> {
        let idempotency = task.options.idempotency_key.as_ref().map(|key| {
            let encoding = [task.input.encoding as u8];
            let content = [task.function.0.as_bytes().as_slice(), &encoding, &task.input.bytes].concat();
            (hex(&sha256(key.as_bytes())), hex(&sha256(&content)))
        });
        let is_apart = task.input.bytes.len() > MAX_INLINE_BYTES;
        let input = if is_apart { std::mem::take(&mut task.input.bytes) } else { Vec::new() };
        let priority = match task.options.priority {
            Priority::Low => 0,
            Priority::Normal => 1,
            Priority::High => 2,
        };
        Ok(Self {
            id: task.id,
            lane: format!("{priority}:{}", task.function),
            record: encode(&task)?,
            input,
            not_before_ms: task.options.not_before_ms,
            submitted_at_ms: task.submitted_at_ms,
            ttl_ms: task.options.result_ttl_ms.map(|ttl_ms| ttl_ms.min(MAX_TTL_MS)),
            idempotency,
        })
    }

    /// Bytes that it takes on its way.
    pub(super) fn size(&self) -> usize {
        self.record.len() + self.input.len()
    }
}

/// A duration that the server can add to the time of day.
pub(super) fn ttl_ms(ttl: std::time::Duration) -> u64 {
    u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX).min(MAX_TTL_MS)
}

/// Encodes a record.
pub(super) fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>, Error> {
    let mut bytes = codec::encode(value).map_err(unreadable)?;
    bytes.insert(0, RECORD_VERSION);
    Ok(bytes)
}

/// Reads what [`encode`] wrote.
pub(super) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Error> {
    match bytes.split_first() {
        Some((&RECORD_VERSION, body)) => codec::decode(body).map_err(unreadable),
        Some((version, _)) => Err(unreadable(format!("it has version {version}, this program reads {RECORD_VERSION}"))),
        None => Err(unreadable("it is empty")),
    }
}

/// What clients see of a task, from the values of [`STATE_FIELDS`]; none when there is no such task. One
/// whose dispatcher died waits for its next attempt: it reads as queued.
pub(super) fn state(values: &[Value]) -> Result<Option<TaskState>, Error> {
    state_with(values, Status::Queued)
}

/// As [`state`], but a task whose dispatcher died is running: its attempt was cut off.
pub(super) fn claimed_state(values: &[Value]) -> Result<Option<TaskState>, Error> {
    state_with(values, Status::Running)
}

fn state_with(values: &[Value], lost: Status) -> Result<Option<TaskState>, Error> {
    let Some(status) = bytes(values.first()) else { return Ok(None) };
    let status = match status {
        b"Q" => Status::Queued,
        b"R" => Status::Running,
        b"L" => lost,
        b"C" => Status::Completed,
        b"F" => Status::Failed,
        _ => return Err(unreadable("a task has an unknown status")),
    };
    Ok(Some(TaskState {
        status,
        attempt: text(values.get(1))?.unwrap_or_default(),
        started_at_ms: text(values.get(2))?,
        ended_at_ms: text(values.get(3))?,
        outcome: bytes(values.get(4)).map(decode).transpose()?,
        usage: bytes(values.get(5)).map(decode).transpose()?.unwrap_or_default(),
        spent: bytes(values.get(6)).map(decode).transpose()?.unwrap_or_default(),
        worker: text(values.get(7))?,
        dead_letter: bytes(values.get(8)).is_some(),
    }))
}

/// A field that is there.
pub(super) fn bytes(value: Option<&Value>) -> Option<&[u8]> {
    match value {
        Some(Value::BulkString(bytes)) => Some(bytes),
        _ => None,
    }
}

/// A field that is text which can be read as something else.
pub(super) fn text<T: FromStr>(value: Option<&Value>) -> Result<Option<T>, Error> {
    let Some(bytes) = bytes(value) else { return Ok(None) };
    let parsed = std::str::from_utf8(bytes).ok().and_then(|text| text.parse().ok());
    parsed.map(Some).ok_or_else(|| unreadable("a field of a task is no number or id"))
}

/// A record that this program cannot read, or an answer that no script of its gives.
pub(super) fn unreadable(what: impl std::fmt::Display) -> Error {
    Error::Unavailable { reason: format!("a record in Redis cannot be read: {what}") }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
