//! What a function may know and say while it runs.

use std::{
    fmt::Write as _,
    sync::OnceLock,
    time::{Duration, Instant},
};

use bulkhead_abi::{HostRef, RStr, level};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::Error;

/// The surroundings of one call. A function that wants them takes `&bulkhead::Context` as any of its parameters.
///
/// ```
/// extern crate bulkhead_sdk as bulkhead;
///
/// /// Counts to `to`, and says so.
/// #[bulkhead::function]
/// fn count(context: &bulkhead::Context, to: u32) -> u32 {
///     for n in 0..to {
///         context.progress(f64::from(n) / f64::from(to), format!("at {n}"));
///     }
///     context.info("done");
///     to
/// }
/// # fn main() {
/// let (outcome, lines) = bulkhead::testing::Call::new("count")
///     .args(serde_json::json!({"to": 3}))
///     .run_with_log();
/// assert_eq!(outcome.expect_ok::<u32>(), 3);
/// assert_eq!(lines.last().unwrap().message, "done");
/// # }
/// ```
pub struct Context {
    /// The task's UUID.
    task_id: [u8; 16],
    /// Its text, made when first asked for.
    task_id_text: OnceLock<String>,
    /// From 1.
    attempt: u32,
    /// Nanoseconds of `CLOCK_MONOTONIC`; 0 = none.
    deadline_ns: u64,
    /// JSON object, or empty.
    config: Vec<u8>,
    /// The same, parsed when first asked for.
    config_parsed: OnceLock<Map<String, Value>>,
    /// Takes logs and progress.
    host: HostRef,
}

/// How important a log line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Level {
    /// Something failed.
    Error,
    /// Something is odd, and the function went on.
    Warn,
    /// What a reader of the logs of a healthy call wants to see.
    Info,
    /// Details for the author of the function.
    Debug,
    /// Every step.
    Trace,
}

impl Level {
    fn to_abi(self) -> u8 {
        match self {
            Self::Error => level::ERROR,
            Self::Warn => level::WARN,
            Self::Info => level::INFO,
            Self::Debug => level::DEBUG,
            Self::Trace => level::TRACE,
        }
    }

    pub(crate) fn from_abi(level: u8) -> Self {
        match level {
            level::ERROR => Self::Error,
            level::WARN => Self::Warn,
            level::INFO => Self::Info,
            level::DEBUG => Self::Debug,
            _ => Self::Trace,
        }
    }
}

impl Context {
    pub(crate) fn new(task_id: [u8; 16], attempt: u32, deadline_ns: u64, config: &[u8], host: HostRef) -> Self {
        Self {
            task_id,
            task_id_text: OnceLock::new(),
            attempt,
            deadline_ns,
            config: config.to_vec(),
            config_parsed: OnceLock::new(),
            host,
        }
    }

    /// Writes a line to the log of the call.
    pub fn log(&self, level: Level, message: impl AsRef<str>) {
        self.host.log()(level.to_abi(), RStr::from_str(message.as_ref()));
    }

    /// Logs at [`Level::Error`].
    pub fn error(&self, message: impl AsRef<str>) {
        self.log(Level::Error, message);
    }

    /// Logs at [`Level::Warn`].
    pub fn warn(&self, message: impl AsRef<str>) {
        self.log(Level::Warn, message);
    }

    /// Logs at [`Level::Info`].
    pub fn info(&self, message: impl AsRef<str>) {
        self.log(Level::Info, message);
    }

    /// Logs at [`Level::Debug`].
    pub fn debug(&self, message: impl AsRef<str>) {
        self.log(Level::Debug, message);
    }

    /// Logs at [`Level::Trace`].
    pub fn trace(&self, message: impl AsRef<str>) {
        self.log(Level::Trace, message);
    }

    /// Says how far the call is, as a fraction from 0 to 1, and what it is doing.
    ///
    /// Fractions outside that range are moved to its nearer end, and not-a-number is 0.
    pub fn progress(&self, fraction: f64, message: impl AsRef<str>) {
        let fraction = if fraction.is_nan() { 0.0 } else { fraction.clamp(0.0, 1.0) };
        self.host.progress()(fraction, RStr::from_str(message.as_ref()));
    }

    /// When the host will kill this call, if it has a time limit.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        // `Instant` is CLOCK_MONOTONIC on Linux, without a way to make one from its value: so by the time that is left.
        self.remaining().map(|remaining| Instant::now() + remaining)
    }

    /// How much time is left until [`deadline`](Self::deadline); zero when it has passed.
    #[must_use]
    pub fn remaining(&self) -> Option<Duration> {
        if self.deadline_ns == 0 {
            return None;
        }
        let now = nix::time::ClockId::CLOCK_MONOTONIC.now().map(Duration::from).ok()?;
        Some(Duration::from_nanos(self.deadline_ns).saturating_sub(now))
    }

    /// The task's id: a UUID, the same for every attempt.
    #[must_use]
    pub fn task_id(&self) -> &str {
        self.task_id_text.get_or_init(|| {
            let mut text = String::with_capacity(36);
            for (index, byte) in self.task_id.iter().enumerate() {
                if matches!(index, 4 | 6 | 8 | 10) {
                    text.push('-');
                }
                let _ = write!(text, "{byte:02x}");
            }
            text
        })
    }

    /// Which try of the task this is, from 1. Together with [`task_id`](Self::task_id) it names this very run.
    #[must_use]
    pub fn attempt(&self) -> u32 {
        self.attempt
    }

    /// The whole configuration that the function was registered with, as the author's own type.
    ///
    /// # Errors
    ///
    /// When the configuration does not fit the type; a function without one has the empty object.
    pub fn config<T: DeserializeOwned>(&self) -> Result<T, Error> {
        let json: &[u8] = if self.config.is_empty() { b"{}" } else { &self.config };
        serde_json::from_slice(json)
            .map_err(|error| Error::new(format!("the configuration does not fit: {error}")).with_code("config"))
    }

    /// One value of the configuration.
    #[must_use]
    pub fn config_value(&self, name: &str) -> Option<&Value> {
        self.config_parsed
            // What is no object has no values; `config` is there for who wants to know.
            .get_or_init(|| serde_json::from_slice(&self.config).unwrap_or_default())
            .get(name)
    }
}

/// The configuration may hold secrets, so it is not shown.
impl std::fmt::Debug for Context {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Context")
            .field("task_id", &self.task_id())
            .field("attempt", &self.attempt)
            .finish_non_exhaustive()
    }
}
