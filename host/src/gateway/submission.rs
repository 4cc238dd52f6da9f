//! From a client's wish to a stored task: everything in it is checked against its bound here.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use bulkhead_protocol::function::{Function, FunctionRef};
use bulkhead_protocol::id::TaskId;
use bulkhead_protocol::task::{Encoding, Input, RetryPolicy, Task, TaskOptions};
use serde_json::value::RawValue;

use super::api::{DurationText, GROUP_LABEL, Submit};
use super::body::{Bound, too_large};
use super::problem::{Kind, Problem};
use super::state::{Gateway, unix_ms};
use crate::config::milliseconds;
use crate::store::{MAX_QUEUED, Submitted};
use crate::telemetry::stage::{self, Stage};

/// Most labels of a task.
pub(super) const MAX_LABELS: usize = 16;
/// Longest key of a label in bytes.
pub(super) const MAX_LABEL_KEY_BYTES: usize = 64;
/// Longest value of a label in bytes.
pub(super) const MAX_LABEL_VALUE_BYTES: usize = 256;
/// Longest idempotency key in bytes.
pub(super) const MAX_IDEMPOTENCY_KEY_BYTES: usize = 256;
/// Most attempts after the first.
pub(super) const MAX_RETRIES: u32 = 100;
/// Longest wait before a second attempt.
pub(super) const MAX_BACKOFF: Duration = Duration::from_secs(60 * 60);
/// Longest wait before a first attempt, and longest life of a result.
pub(super) const MAX_DELAY: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// Base64 as everybody writes it; padding may be missing.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Decodes a field in base64.
pub(super) fn decode_base64(field: &str, text: &str) -> Result<Vec<u8>, Problem> {
    BASE64
        .decode(text)
        .map_err(|error| Problem::new(Kind::MalformedPayload, format!("`{field}` is no base64: {error}")))
}

/// The input that a request carries in one of its two forms.
pub(super) fn read_input(args: Option<&RawValue>, payload: Option<&str>, bound: Bound) -> Result<Input, Problem> {
    let (encoding, bytes) = match (args, payload) {
        (Some(args), None) => (Encoding::Json, args.get().as_bytes().to_vec()),
        (None, Some(payload)) => (Encoding::Bincode, decode_base64("payload", payload)?),
        (None, None) => {
            let detail = "missing field `args` (arguments in JSON) or `payload` (base64 of arguments in bincode)";
            return Err(Problem::invalid("args", detail));
        }
        (Some(_), Some(_)) => {
            return Err(Problem::invalid("payload", "`args` and `payload` exclude each other"));
        }
    };
    let size = bytes.len() as u64;
    if size > bound.bytes {
        return Err(too_large(bound, Some(size)));
    }
    Ok(Input { encoding, bytes })
}

/// The function that a reference in a path means.
pub(super) async fn resolve(gateway: &Gateway, reference: &str) -> Result<Arc<Function>, Problem> {
    let parsed: FunctionRef = reference.parse().map_err(|error: bulkhead_protocol::function::InvalidFunctionRef| {
        Problem::new(Kind::UnknownFunction, error.to_string())
    })?;
    let function = gateway.store.resolve(&parsed).await?;
    function.ok_or_else(|| Problem::new(Kind::UnknownFunction, format!("there is no function {parsed}")))
}

/// What the references of one request mean. Each is looked up once: a batch costs the store one question for
/// each function and not for each task, and all its tasks run the same version. No longer than its lines.
#[derive(Default)]
pub(super) struct Resolved(HashMap<String, Arc<Function>>);

impl Resolved {
    async fn resolve(&mut self, gateway: &Gateway, reference: &str) -> Result<Arc<Function>, Problem> {
        if let Some(function) = self.0.get(reference) {
            return Ok(Arc::clone(function));
        }
        let function = resolve(gateway, reference).await?;
        self.0.insert(reference.to_owned(), Arc::clone(&function));
        Ok(function)
    }
}

/// Checks everything about a task but whether its idempotency key is taken.
pub(super) async fn read_task(gateway: &Gateway, submit: Submit, resolved: &mut Resolved) -> Result<Task, Problem> {
    let input = read_input(submit.args.as_deref(), submit.payload.as_deref(), gateway.input_bound())?;
    let function = resolved.resolve(gateway, &submit.function).await?;
    let options = read_options(&submit, gateway.caps.timeout)?;
    Ok(new_task(&function, input, options))
}

/// A task with an id of its own.
pub(super) fn new_task(function: &Function, input: Input, options: TaskOptions) -> Task {
    Task {
        id: TaskId(uuid::Uuid::now_v7()),
        function: function.id,
        function_name: function.name.clone(),
        input,
        options,
        submitted_at_ms: unix_ms(),
    }
}

fn read_options(submit: &Submit, longest_timeout: DurationText) -> Result<TaskOptions, Problem> {
    let timeout_ms = submit.timeout.map(|timeout| check_timeout(timeout, longest_timeout)).transpose()?;
    let delay = submit.delay.map(|delay| check_duration("delay", delay, Duration::ZERO, MAX_DELAY)).transpose()?;
    let result_ttl = submit.result_ttl.map(|ttl| check_duration("result_ttl", ttl, Duration::ZERO, MAX_DELAY));
    let result_ttl_ms = result_ttl.transpose()?.map(milliseconds);
    check_labels(&submit.labels)?;
    if let Some(key) = &submit.idempotency_key {
        check_idempotency_key(key)?;
    }
    let retry = match &submit.retry {
        Some(retry) => {
            if retry.max > MAX_RETRIES {
                return Err(out_of_range("retry.max", retry.max, 0, MAX_RETRIES));
            }
            let default = DurationText(Duration::from_millis(RetryPolicy::default().backoff_ms));
            let backoff = retry.backoff.unwrap_or(default);
            let backoff = check_duration("retry.backoff", backoff, Duration::ZERO, MAX_BACKOFF)?;
            RetryPolicy { max: retry.max, backoff_ms: milliseconds(backoff) }
        }
        None => RetryPolicy::default(),
    };
    Ok(TaskOptions {
        timeout_ms,
        not_before_ms: delay.filter(|delay| !delay.0.is_zero()).map(|delay| unix_ms() + milliseconds(delay)),
        priority: submit.priority,
        retry,
        labels: submit.labels.clone(),
        idempotency_key: submit.idempotency_key.clone(),
        result_ttl_ms,
    })
}

/// Milliseconds of a wall time that a task asks for.
pub(super) fn check_timeout(timeout: DurationText, longest: DurationText) -> Result<u64, Problem> {
    check_duration("timeout", timeout, Duration::from_millis(1), longest.0).map(milliseconds)
}

/// Checks an idempotency key.
pub(super) fn check_idempotency_key(key: &str) -> Result<(), Problem> {
    if (1..=MAX_IDEMPOTENCY_KEY_BYTES).contains(&key.len()) {
        return Ok(());
    }
    Err(out_of_range("idempotency_key", format!("a length of {}", key.len()), 1, MAX_IDEMPOTENCY_KEY_BYTES))
}

fn check_labels(labels: &BTreeMap<String, String>) -> Result<(), Problem> {
    if labels.len() > MAX_LABELS {
        return Err(out_of_range("labels", format!("{} labels", labels.len()), 0, MAX_LABELS));
    }
    for (key, value) in labels {
        let field = || format!("labels.{:.64}", key);
        if !(1..=MAX_LABEL_KEY_BYTES).contains(&key.len()) {
            return Err(out_of_range("labels", format!("a key of {} bytes", key.len()), 1, MAX_LABEL_KEY_BYTES));
        }
        if value.len() > MAX_LABEL_VALUE_BYTES {
            return Err(out_of_range(field(), format!("{} bytes", value.len()), 0, MAX_LABEL_VALUE_BYTES));
        }
        if key == GROUP_LABEL {
            return Err(Problem::invalid(field(), format!("the label {GROUP_LABEL} is set by batches")));
        }
    }
    Ok(())
}

fn check_duration(
    field: &str,
    given: DurationText,
    shortest: Duration,
    longest: Duration,
) -> Result<DurationText, Problem> {
    if (shortest..=longest).contains(&given.0) {
        return Ok(given);
    }
    Err(out_of_range(field, given, DurationText(shortest), DurationText(longest)))
}

fn out_of_range<T: std::fmt::Display>(
    field: impl Into<String>,
    given: impl std::fmt::Display,
    least: T,
    most: T,
) -> Problem {
    let field = field.into();
    let detail = format!("`{field}`: {given} is not between {least} and {most}");
    Problem::invalid(field, detail)
}

/// What a client is told of one submitted task: its id and whether it was there already.
pub(super) fn read_submitted(id: TaskId, submitted: Submitted) -> Result<(TaskId, bool), Problem> {
    match submitted {
        Submitted::Stored => Ok((id, false)),
        Submitted::Duplicate(earlier) => Ok((earlier, true)),
        Submitted::Conflict(earlier) => {
            let detail = "the idempotency key belongs to a task with another function or input";
            Err(Problem::new(Kind::IdempotencyConflict, detail).with_task(earlier))
        }
        Submitted::QueueFull => {
            let detail = format!("{MAX_QUEUED} tasks wait already; this one was not stored");
            Err(Problem::over_limit(Kind::QueueFull, "queued_tasks", MAX_QUEUED as u64, None, detail))
        }
    }
}

/// Stores one task.
pub(super) async fn submit(gateway: &Gateway, task: Task) -> Result<(TaskId, bool), Problem> {
    gateway.require_open()?;
    let id = task.id;
    stage::reached(Stage::Received, id);
    let answers = gateway.store.submit(vec![task]).await?;
    stage::reached(Stage::Stored, id);
    let answer = answers.into_iter().next();
    answer.map_or_else(
        || Err(Problem::new(Kind::Internal, "the store gave no answer")),
        |answer| read_submitted(id, answer),
    )
}

#[cfg(test)]
mod tests;
