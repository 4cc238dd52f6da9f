//! Request bodies: received within bounds of size, time and memory, and read as JSON.

use std::sync::Arc;

use axum::body::{Body, Bytes, HttpBody};
use axum::http::{HeaderMap, header};
use bytes::BytesMut;
use futures_util::StreamExt;
use serde::de::DeserializeOwned;
use serde_json::error::Category;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::problem::{Kind, Problem};
use crate::config::GatewayBounds;

/// Bodies up to this size do not count towards the memory for bodies: what is received at once of
/// them is bounded by the number of connections.
const SMALL_BODY_BYTES: u64 = 64 * 1024;
/// Bytes behind one permit of the memory for bodies; a semaphore counts to 2^32 at most in one step.
const PERMIT_BYTES: u64 = 1024;

/// Receives bodies.
pub(super) struct Receiver {
    /// Memory for bodies over [`SMALL_BODY_BYTES`].
    memory: Arc<Semaphore>,
    /// How long one body may take.
    timeout: std::time::Duration,
}

/// The bound of one body.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bound {
    /// What the limit is called, with its unit.
    pub(super) name: &'static str,
    /// Most bytes.
    pub(super) bytes: u64,
}

/// A body in memory.
#[derive(Debug)]
pub(super) struct Received {
    /// The body.
    pub(super) bytes: Bytes,
    /// Its share of the memory for bodies, given back when the request is answered.
    pub(super) share: Option<OwnedSemaphorePermit>,
}

impl Receiver {
    /// A receiver with the configured bounds.
    pub(super) fn new(bounds: &GatewayBounds) -> Self {
        let permits = usize::try_from(bounds.body_memory.0 / PERMIT_BYTES).unwrap_or(usize::MAX);
        Self { memory: Arc::new(Semaphore::new(permits.min(Semaphore::MAX_PERMITS))), timeout: bounds.body_timeout.0 }
    }

    /// Receives a body of at most `bound`; waits for memory first when it is large.
    pub(super) async fn receive(&self, body: Body, bound: Bound) -> Result<Received, Problem> {
        let hint = body.size_hint();
        // Without a length, as much as is allowed may come.
        let expected = hint.upper().unwrap_or(bound.bytes);
        if hint.lower() > bound.bytes {
            return Err(too_large(bound, Some(hint.lower())));
        }
        let share = match expected > SMALL_BODY_BYTES {
            true => Some(self.reserve(expected).await?),
            false => None,
        };
        let late = |_| Problem::new(Kind::RequestTimeout, format!("the body took longer than {:?}", self.timeout));
        let bytes = tokio::time::timeout(self.timeout, collect(body, bound)).await.map_err(late)??;
        Ok(Received { bytes, share })
    }

    async fn reserve(&self, bytes: u64) -> Result<OwnedSemaphorePermit, Problem> {
        let permits = u32::try_from(bytes.div_ceil(PERMIT_BYTES)).unwrap_or(u32::MAX);
        let closed = |_| Problem::new(Kind::ShuttingDown, "the server takes no new work");
        Arc::clone(&self.memory).acquire_many_owned(permits).await.map_err(closed)
    }
}

async fn collect(body: Body, bound: Bound) -> Result<Bytes, Problem> {
    let broken = |_| Problem::new(Kind::MalformedRequest, "the body ended before it was complete");
    let hint = body.size_hint().lower();
    let mut chunks = body.into_data_stream();
    // Small bodies come in one piece, which is passed on as it is.
    let Some(first) = chunks.next().await.transpose().map_err(broken)? else { return Ok(Bytes::new()) };
    let mut size = first.len() as u64;
    let mut whole = None;
    while let Some(chunk) = chunks.next().await.transpose().map_err(broken)? {
        size += chunk.len() as u64;
        if size > bound.bytes {
            return Err(too_large(bound, None));
        }
        let whole = whole.get_or_insert_with(|| {
            let mut whole = BytesMut::with_capacity(usize::try_from(hint).unwrap_or_default());
            whole.extend_from_slice(&first);
            whole
        });
        whole.extend_from_slice(&chunk);
    }
    match whole {
        Some(whole) => Ok(whole.freeze()),
        None if size > bound.bytes => Err(too_large(bound, None)),
        None => Ok(first),
    }
}

/// The problem with something larger than `bound`.
pub(super) fn too_large(bound: Bound, asked: Option<u64>) -> Problem {
    let detail = match asked {
        Some(asked) => format!("{asked} bytes are more than {} allows: {} bytes", bound.name, bound.bytes),
        None => format!("more than {} allows: {} bytes", bound.name, bound.bytes),
    };
    Problem::over_limit(Kind::TooLarge, bound.name, bound.bytes, asked, detail)
}

/// The media type of a request's body in lower case, without parameters; empty when not given.
pub(super) fn media_type(headers: &HeaderMap) -> String {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

/// Checks that a body has one of the media types that an endpoint takes. Types that a page in a
/// browser can send anywhere without asking (forms and plain text) are never among them.
pub(super) fn require_media_type(headers: &HeaderMap, known: &[&str]) -> Result<(), Problem> {
    let given = media_type(headers);
    if known.contains(&given.as_str()) {
        return Ok(());
    }
    let found = if given.is_empty() { "none was given".to_owned() } else { format!("{given:.100} was given") };
    let detail = format!("set `Content-Type` to {}; {found}", known.join(" or "));
    let known = known.iter().map(|known| (*known).to_owned()).collect();
    Err(Problem::new(Kind::UnsupportedMediaType, detail).with_known(known))
}

/// Reads a JSON document.
pub(super) fn read_json<T: DeserializeOwned>(json: &[u8]) -> Result<T, Problem> {
    let mut deserializer = serde_json::Deserializer::from_slice(json);
    let value = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        let path = error.path().to_string();
        json_problem(&path, error.inner())
    })?;
    deserializer.end().map_err(|error| json_problem(".", &error))?;
    Ok(value)
}

fn json_problem(path: &str, error: &serde_json::Error) -> Problem {
    let (line, column) = (error.line(), error.column());
    let message = error.to_string();
    let said = message.strip_suffix(&format!(" at line {line} column {column}")).unwrap_or(&message);
    if error.classify() != Category::Data {
        let detail = format!("the body is no JSON: {said} at line {line} column {column}");
        return Problem::new(Kind::MalformedRequest, detail).at(line, column);
    }
    Problem::invalid(field_of(path, said), said).at(line, column)
}

/// The field that an error is about: serde's path leads to the object in which a field is missing or
/// unknown, and the message names the field itself.
fn field_of(path: &str, said: &str) -> String {
    let path = if path == "." { "" } else { path };
    let named = ["missing field `", "unknown field `", "duplicate field `"]
        .iter()
        .find_map(|start| said.strip_prefix(start)?.split('`').next())
        .unwrap_or_default();
    match (path.is_empty(), named.is_empty()) {
        (_, true) => path.to_owned(),
        (true, false) => named.to_owned(),
        // The path of an unknown field holds the field already.
        (false, false) if path == named || path.ends_with(&format!(".{named}")) => path.to_owned(),
        (false, false) => format!("{path}.{named}"),
    }
}

#[cfg(test)]
mod tests;
