//! Running functions in tests, on the path that they take in production.
//!
//! [`Call`] encodes the arguments, hands them to the function by the entry that the runner uses, and decodes what comes
//! back. What a process of its own adds (limits, crashes, the sandbox) is `bulkhead test`'s to show.

use std::{cell::RefCell, sync::OnceLock, time::Duration};

use bulkhead_abi::{Host, HostRef, RSlice, RSliceMut, RStr, Request, encoding, response_kind};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;

use crate::{call, codec, context::Level, description::duplicate, function::FUNCTIONS};

/// The default room for a result in bytes: the limit that a server has by default.
const RESULT_LIMIT: usize = 1024 * 1024;

thread_local! {
    /// Lines and progress of the call on this thread.
    static LOG: RefCell<Vec<LogLine>> = const { RefCell::new(Vec::new()) };
}

/// A call of one function, by its name.
///
/// ```
/// extern crate bulkhead_sdk as bulkhead;
///
/// #[bulkhead::function]
/// fn add(a: u32, b: u32) -> Result<u32, String> {
///     a.checked_add(b).ok_or("too large".to_owned())
/// }
/// # fn main() {
/// use bulkhead::testing::Call;
/// use serde_json::json;
///
/// let outcome = Call::new("add").args(json!({"a": 1, "b": 2})).run();
/// assert_eq!(outcome.expect_ok::<u32>(), 3);
///
/// let sum: u32 = Call::new("add").run_bincode((1u32, 2u32)).unwrap();
/// assert_eq!(sum, 3);
/// # }
/// ```
#[derive(Clone, Debug)]
#[must_use = "a call does nothing until it is run"]
pub struct Call {
    name: String,
    args: Vec<u8>,
    config: Vec<u8>,
    attempt: u32,
    timeout: Option<Duration>,
    result_limit: usize,
}

impl Call {
    /// A call without arguments of the function `name`, as its first attempt and without a time limit.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            args: Vec::new(),
            config: Vec::new(),
            attempt: 1,
            timeout: None,
            result_limit: RESULT_LIMIT,
        }
    }

    /// The arguments: an object by name, or an array by position.
    ///
    /// # Panics
    ///
    /// When they are no JSON.
    pub fn args(mut self, args: impl Serialize) -> Self {
        self.args = serde_json::to_vec(&args).expect("the arguments of the test are JSON");
        self
    }

    /// The configuration that the function is registered with: an object.
    ///
    /// # Panics
    ///
    /// When it is no JSON.
    pub fn config(mut self, config: impl Serialize) -> Self {
        self.config = serde_json::to_vec(&config).expect("the configuration of the test is JSON");
        self
    }

    /// Which attempt the function sees.
    pub fn attempt(mut self, attempt: u32) -> Self {
        self.attempt = attempt;
        self
    }

    /// The time limit that the function sees. Nobody enforces it here.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// The room for the result, in bytes; at least [`bulkhead_abi::MIN_OUTPUT_BYTES`].
    pub fn result_limit(mut self, bytes: usize) -> Self {
        self.result_limit = bytes.max(bulkhead_abi::MIN_OUTPUT_BYTES);
        self
    }

    /// Runs it, with JSON both ways.
    ///
    /// # Panics
    ///
    /// When there is no function of that name, or there are two.
    #[must_use]
    pub fn run(self) -> Outcome {
        self.run_with_log().0
    }

    /// Runs it, and gives what it logged on this thread as well.
    ///
    /// # Panics
    ///
    /// When there is no function of that name, or there are two.
    #[must_use]
    pub fn run_with_log(self) -> (Outcome, Vec<LogLine>) {
        LOG.take();
        let outcome = match self.invoke(encoding::JSON, &self.args) {
            Ok(bytes) => Outcome::Succeeded(serde_json::from_slice(&bytes).expect("what the SDK wrote is JSON")),
            Err(failure) => failure,
        };
        (outcome, LOG.take())
    }

    /// Runs it with bincode both ways: `args` is the tuple of arguments, and replaces [`args`](Self::args).
    ///
    /// # Errors
    ///
    /// How the call ended, when it did not succeed.
    ///
    /// # Panics
    ///
    /// When there is no function of that name, or there are two; when the arguments cannot be encoded, or the result
    /// is no `T`.
    pub fn run_bincode<T: DeserializeOwned>(self, args: impl Serialize) -> Result<T, Outcome> {
        let input = codec::encode_to_vec(&args).expect("the arguments of the test are bincode");
        let output = self.invoke(encoding::BINCODE, &input)?;
        match codec::decode(&output) {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(left)) => panic!("the result has {left} bytes after a value of that type"),
            Err(fault) => panic!("the result has another type: {}", fault.message),
        }
    }

    fn invoke(&self, encoding: u8, input: &[u8]) -> Result<Vec<u8>, Outcome> {
        if let Some(complaint) = duplicate(&FUNCTIONS) {
            panic!("{complaint}");
        }
        let descriptor =
            FUNCTIONS.iter().find(|descriptor| descriptor.declaration.name == self.name).unwrap_or_else(|| {
                let names: Vec<_> = FUNCTIONS.iter().map(|one| one.declaration.name).collect();
                panic!("there is no function `{}`, but these: {}", self.name, names.join(", "))
            });
        let mut output = vec![0; self.result_limit];
        let response = call::run(
            Some(descriptor),
            Request {
                encoding,
                attempt: self.attempt,
                deadline_ns: self.timeout.map_or(0, deadline_ns),
                // The example of RFC 9562, appendix A.6: a UUIDv7 that nobody draws again.
                task_id: 0x017F_22E2_79B0_7CC3_98C4_DC0C_0C07_398F_u128.to_be_bytes(),
                input: RSlice::from_slice(input),
                config: RSlice::from_slice(&self.config),
                output: RSliceMut::from_mut_slice(&mut output),
                host: host(),
            },
        );
        output.truncate(usize::try_from(response.length).unwrap_or(usize::MAX));
        if response.kind == response_kind::SUCCEEDED {
            Ok(output)
        } else {
            Err(Outcome::failure(response.kind, &output))
        }
    }
}

/// What the package says of its functions, as the runner reads it: names, documentation, schemas, limits.
///
/// # Panics
///
/// When the package cannot be used, for two of its functions share a name.
#[must_use]
pub fn describe() -> Value {
    let description = crate::description::describe();
    if let Some(complaint) = description.error {
        panic!("{complaint}");
    }
    serde_json::to_value(description).expect("the description is JSON")
}

fn deadline_ns(timeout: Duration) -> u64 {
    let now = nix::time::ClockId::CLOCK_MONOTONIC.now().map(Duration::from).expect("Linux has the monotonic clock");
    u64::try_from((now + timeout).as_nanos()).unwrap_or(u64::MAX)
}

/// How a call ended.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Outcome {
    /// With this result.
    Succeeded(Value),
    /// The function returned an error.
    FunctionError {
        /// The word for programs.
        code: String,
        /// The sentence for people.
        message: String,
        /// Whether trying again may help.
        retryable: bool,
    },
    /// The arguments did not fit.
    InvalidInput {
        /// Which part of them, as in `args.b[2].width`.
        path: String,
        /// What was expected and found there.
        message: String,
    },
    /// The function panicked.
    Panicked {
        /// What it said.
        message: String,
        /// File, line and column.
        location: String,
    },
    /// The result is longer than the limit.
    ResultTooLarge {
        /// In bytes.
        limit: u64,
    },
    /// The result has no form in the encoding.
    ResultNotEncodable {
        /// Why.
        message: String,
    },
}

/// The fields of every failure's JSON.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Failure {
    code: String,
    message: String,
    retryable: bool,
    path: String,
    location: String,
    limit: u64,
}

impl Outcome {
    fn failure(kind: u8, output: &[u8]) -> Self {
        let Failure { code, message, retryable, path, location, limit } =
            serde_json::from_slice(output).expect("failures are described in JSON");
        match kind {
            response_kind::FUNCTION_ERROR => Self::FunctionError { code, message, retryable },
            response_kind::INVALID_INPUT => Self::InvalidInput { path, message },
            response_kind::PANICKED => Self::Panicked { message, location },
            response_kind::RESULT_TOO_LARGE => Self::ResultTooLarge { limit },
            response_kind::RESULT_NOT_ENCODABLE => Self::ResultNotEncodable { message },
            other => panic!("the SDK gave the unknown response {other}"),
        }
    }

    /// The result, as a `T`.
    ///
    /// # Panics
    ///
    /// When the call did not succeed, or the result is no `T`.
    #[track_caller]
    pub fn expect_ok<T: DeserializeOwned>(self) -> T {
        match self {
            Self::Succeeded(value) => match serde_json::from_value(value) {
                Ok(result) => result,
                Err(error) => panic!("the result has another type: {error}"),
            },
            other => panic!("the call did not succeed: {other:?}"),
        }
    }

    /// The code of the error that the function returned.
    ///
    /// # Panics
    ///
    /// When it did not return one.
    #[must_use]
    #[track_caller]
    pub fn expect_error_code(self) -> String {
        match self {
            Self::FunctionError { code, .. } => code,
            other => panic!("the call did not end with an error of the function: {other:?}"),
        }
    }
}

/// What a function said while it ran: a line of its log, or its progress.
#[derive(Clone, Debug, PartialEq)]
pub struct LogLine {
    /// How important it is; progress is [`Level::Info`].
    pub level: Level,
    /// The text.
    pub message: String,
    /// From 0 to 1, where it is progress.
    pub progress: Option<f64>,
}

fn host() -> HostRef {
    static HOST: OnceLock<HostRef> = OnceLock::new();
    *HOST.get_or_init(|| Host { log, progress }.leak())
}

extern "C" fn log(level: u8, message: RStr<'_>) {
    LOG.with_borrow_mut(|lines| {
        lines.push(LogLine { level: Level::from_abi(level), message: message.as_str().to_owned(), progress: None });
    });
}

extern "C" fn progress(fraction: f64, message: RStr<'_>) {
    LOG.with_borrow_mut(|lines| {
        lines.push(LogLine { level: Level::Info, message: message.as_str().to_owned(), progress: Some(fraction) });
    });
}
