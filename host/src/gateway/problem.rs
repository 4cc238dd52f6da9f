//! Every error that a client can meet: its kind, its HTTP status, and what the client reads. The one
//! place that maps errors to statuses. What is logged can say more than what is sent.

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use bulkhead_protocol::outcome::{FOREIGN_ABI, Outcome};
use bulkhead_protocol::package as package_file;

use super::api;
use crate::executor::InspectError;
use crate::{package, store};

/// Seconds a client is told to wait when the store is down, the disk is full, or the server is shutting down.
pub(super) const RETRY_AFTER_OUTAGE_S: u32 = 5;
/// Seconds a client is told to wait at a limit on what runs or waits at once.
pub(super) const RETRY_AFTER_BUSY_S: u32 = 1;

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident = $status:literal $slug:literal $title:literal $retryable:literal;)*) => {
        /// A kind of problem: what `type`, `title` and `status` of an answer say.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) enum Kind {
            $($(#[$doc])* $name,)*
        }

        impl Kind {
            /// All kinds.
            pub(super) const ALL: &[Self] = &[$(Self::$name,)*];

            /// HTTP status, slug, title, and whether the same request may succeed later.
            fn facts(self) -> (u16, &'static str, &'static str, bool) {
                match self {
                    $(Self::$name => ($status, $slug, $title, $retryable),)*
                }
            }

            /// The page that explains the kind.
            pub(super) fn page(self) -> &'static str {
                match self {
                    $(Self::$name => include_str!(concat!("../../../docs/errors/", $slug, ".md")),)*
                }
            }
        }
    };
}

kinds! {
    // The request itself.
    /// The body is no JSON.
    MalformedRequest = 400 "malformed-request" "Malformed request" false;
    /// Base64 or a package file that cannot be read.
    MalformedPayload = 400 "malformed-payload" "Malformed payload" false;
    /// A field is missing, unknown, of the wrong type or out of range.
    InvalidRequest = 422 "invalid-request" "Invalid request" false;
    /// A media type that the endpoint does not take.
    UnsupportedMediaType = 415 "unsupported-media-type" "Unsupported media type" false;
    /// A body, package or input over its bound.
    TooLarge = 413 "too-large" "Too large" false;
    /// The body did not arrive in time.
    RequestTimeout = 408 "request-timeout" "Request timed out" true;
    /// A path that nothing answers.
    UnknownPath = 404 "unknown-path" "Unknown path" false;
    /// A path that answers other methods.
    MethodNotAllowed = 405 "method-not-allowed" "Method not allowed" false;
    /// A Host header that is not this server's.
    MisdirectedRequest = 421 "misdirected-request" "Misdirected request" false;

    // What it points at.
    /// No such function, version or alias.
    UnknownFunction = 404 "unknown-function" "Unknown function" false;
    /// No such worker.
    UnknownWorker = 404 "unknown-worker" "Unknown worker" false;
    /// No such task.
    UnknownTask = 404 "unknown-task" "Unknown task" false;
    /// The task ended too long ago.
    ExpiredTask = 410 "expired-task" "Expired task" false;
    /// A task that ended cannot be cancelled.
    TaskEnded = 409 "task-ended" "Task already ended" false;
    /// The idempotency key belongs to another request.
    IdempotencyConflict = 409 "idempotency-conflict" "Idempotency conflict" false;

    // Registration.
    /// The package is readable and not acceptable.
    RefusedPackage = 422 "refused-package" "Refused package" false;
    /// The package holds no function of the name.
    UnknownEntry = 422 "unknown-entry" "No such function in the package" false;
    /// The function asks for more than this server gives.
    LimitAboveCap = 422 "limit-above-cap" "Limit above this server's cap" false;

    // Load and outages.
    /// Too many requests of this kind run at once.
    TooManyRequests = 429 "too-many-requests" "Too many requests" true;
    /// The durable queue is full.
    QueueFull = 429 "queue-full" "Queue full" true;
    /// The store does not answer.
    StoreUnavailable = 503 "store-unavailable" "Store unavailable" true;
    /// The disk is full.
    NoRoom = 507 "no-room" "No room on the server's disk" true;
    /// The server takes no new work.
    ShuttingDown = 503 "shutting-down" "Shutting down" true;
    /// The platform failed.
    Internal = 500 "internal" "Internal error" true;

    // Ends of an attempt, on `invoke`.
    /// See [`Outcome::FunctionError`].
    FunctionError = 500 "function-error" "Function error" false;
    /// See [`Outcome::InvalidInput`].
    InvalidInput = 422 "invalid-input" "Invalid input" false;
    /// See [`Outcome::Panicked`].
    Panicked = 500 "panicked" "Function panicked" false;
    /// See [`Outcome::Crashed`].
    Crashed = 500 "crashed" "Function crashed" false;
    /// See [`Outcome::Exited`].
    Exited = 500 "exited" "Function exited" false;
    /// See [`Outcome::TimedOut`].
    TimedOut = 504 "timed-out" "Function timed out" false;
    /// See [`Outcome::OutOfMemory`].
    OutOfMemory = 507 "out-of-memory" "Function out of memory" false;
    /// See [`Outcome::LimitExceeded`].
    LimitExceeded = 500 "limit-exceeded" "Function exceeded a limit" false;
    /// See [`Outcome::PolicyViolation`].
    PolicyViolation = 500 "policy-violation" "Function violated its policy" false;
    /// See [`Outcome::ProtocolViolation`].
    ProtocolViolation = 500 "protocol-violation" "Function broke the protocol" false;
    /// See [`Outcome::LoadFailed`].
    LoadFailed = 500 "load-failed" "Function failed to load" false;
    /// See [`Outcome::SetupFailed`].
    SetupFailed = 503 "setup-failed" "Sandbox setup failed" true;
    /// See [`Outcome::Cancelled`]. 499 is nginx's "client closed request"; no registered status fits.
    Cancelled = 499 "cancelled" "Cancelled" false;
    /// See [`Outcome::WorkerLost`].
    WorkerLost = 503 "worker-lost" "Worker lost" true;
    /// See [`Outcome::Expired`].
    TaskExpired = 504 "task-expired" "Task expired in the queue" true;
}

impl Kind {
    /// The last part of `type`.
    pub(super) fn slug(self) -> &'static str {
        self.facts().1
    }

    /// The kind with a slug.
    pub(super) fn by_slug(slug: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.slug() == slug)
    }

    /// The kind of problem that an outcome is for a client who waits for a result; none for success.
    fn of_outcome(outcome: &Outcome) -> Option<Self> {
        Some(match outcome {
            Outcome::Succeeded => return None,
            Outcome::FunctionError { .. } => Self::FunctionError,
            Outcome::InvalidInput { .. } => Self::InvalidInput,
            Outcome::Panicked { .. } => Self::Panicked,
            Outcome::Crashed { .. } => Self::Crashed,
            Outcome::Exited { .. } => Self::Exited,
            Outcome::TimedOut { .. } => Self::TimedOut,
            Outcome::OutOfMemory { .. } => Self::OutOfMemory,
            Outcome::LimitExceeded { .. } => Self::LimitExceeded,
            Outcome::PolicyViolation { .. } => Self::PolicyViolation,
            Outcome::ProtocolViolation { .. } => Self::ProtocolViolation,
            Outcome::LoadFailed { .. } => Self::LoadFailed,
            Outcome::SetupFailed { .. } => Self::SetupFailed,
            Outcome::Cancelled => Self::Cancelled,
            Outcome::WorkerLost => Self::WorkerLost,
            Outcome::Expired => Self::TaskExpired,
        })
    }
}

/// An error on its way to a client. The request's id is filled in by [`super::front`], which also
/// writes the body.
#[derive(Clone, Debug)]
pub(super) struct Problem {
    /// Seconds for the `Retry-After` header.
    retry_after_s: Option<u32>,
    /// What the client reads; boxed to keep `Result`s small.
    body: Box<api::Problem>,
}

impl Problem {
    /// A problem of `kind`; `detail` is read by the client.
    pub(super) fn new(kind: Kind, detail: impl Into<String>) -> Self {
        let (status, slug, title, retryable) = kind.facts();
        let retry_after_s = match kind {
            Kind::TooManyRequests | Kind::QueueFull => Some(RETRY_AFTER_BUSY_S),
            Kind::StoreUnavailable | Kind::NoRoom | Kind::ShuttingDown => Some(RETRY_AFTER_OUTAGE_S),
            _ => None,
        };
        let body = api::Problem {
            problem_type: format!("/errors/{slug}"),
            title: title.to_owned(),
            status,
            detail: detail.into(),
            retryable,
            ..api::Problem::default()
        };
        Self { retry_after_s, body: Box::new(body) }
    }

    /// A field of the request that is wrong.
    pub(super) fn invalid(field: impl Into<String>, detail: impl Into<String>) -> Self {
        let mut problem = Self::new(Kind::InvalidRequest, detail);
        problem.body.field = Some(field.into());
        problem
    }

    /// Something over a named bound.
    pub(super) fn over_limit(
        kind: Kind,
        limit: &str,
        value: u64,
        asked: Option<u64>,
        detail: impl Into<String>,
    ) -> Self {
        let mut problem = Self::new(kind, detail);
        problem.body.limit = Some(limit.to_owned());
        problem.body.limit_value = Some(value);
        problem.body.asked_value = asked;
        problem
    }

    /// What a failed attempt is for a client who waits for its result.
    pub(super) fn of_outcome(outcome: &Outcome, described: api::Outcome) -> Self {
        let kind = Kind::of_outcome(outcome).unwrap_or(Kind::Internal);
        let mut problem = Self::new(kind, describe(outcome));
        if let Outcome::FunctionError { retryable, .. } = outcome {
            problem.body.retryable = *retryable;
        }
        problem.body.outcome = Some(described);
        problem
    }

    /// With where malformed JSON goes wrong; lines and columns from 1.
    pub(super) fn at(mut self, line: usize, column: usize) -> Self {
        self.body.line = Some(line);
        self.body.column = Some(column);
        self
    }

    /// With what could have been named.
    pub(super) fn with_known(mut self, known: Vec<String>) -> Self {
        self.body.known = known;
        self
    }

    /// With the task that it is about.
    pub(super) fn with_task(mut self, task: impl ToString) -> Self {
        self.body.task_id = Some(task.to_string());
        self
    }

    /// With how the task that it is about ended.
    pub(super) fn with_outcome(mut self, outcome: Option<api::Outcome>) -> Self {
        self.body.outcome = outcome;
        self
    }

    /// With another status than its kind's. For the four first endpoints, whose statuses are older
    /// than the kinds.
    pub(super) fn with_status(mut self, status: StatusCode) -> Self {
        self.body.status = status.as_u16();
        self
    }

    /// Its kind.
    pub(super) fn kind(&self) -> Option<Kind> {
        Kind::by_slug(self.body.problem_type.strip_prefix("/errors/")?)
    }

    /// Its HTTP status.
    pub(super) fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.body.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    /// Seconds after which the client should try again.
    pub(super) fn retry_after_s(&self) -> Option<u32> {
        self.retry_after_s
    }

    /// The body for the request with this id.
    pub(super) fn into_body(mut self, request_id: &str) -> api::Problem {
        request_id.clone_into(&mut self.body.request_id);
        *self.body
    }
}

/// An outcome in a sentence.
fn describe(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Succeeded => "the function succeeded".to_owned(),
        Outcome::FunctionError { message, .. } => message.clone(),
        Outcome::InvalidInput { path, message } if path.is_empty() => message.clone(),
        Outcome::InvalidInput { path, message } => format!("{path}: {message}"),
        Outcome::Panicked { message, location: Some(location) } => {
            format!("the function panicked at {location}: {message}")
        }
        Outcome::Panicked { message, location: None } => format!("the function panicked: {message}"),
        Outcome::Crashed { signal } => format!("the function's process was ended by {signal}"),
        Outcome::Exited { code } => format!("the function's process exited with code {code} before it gave a result"),
        Outcome::TimedOut { limit_ms } => format!("the function ran longer than its limit of {limit_ms} ms"),
        Outcome::OutOfMemory { limit_bytes, .. } => {
            format!("the function needed more than its limit of {limit_bytes} bytes of memory")
        }
        Outcome::LimitExceeded { limit, value } => format!("the function exceeded its limit {limit:?} of {value}"),
        Outcome::PolicyViolation { syscall: Some(syscall), .. } if syscall == FOREIGN_ABI => {
            "the function made a system call of another architecture (int 0x80, x32), which no policy allows".to_owned()
        }
        Outcome::PolicyViolation { syscall: Some(syscall), .. } => {
            format!("the function made the system call {syscall}, which its policy forbids")
        }
        Outcome::PolicyViolation { syscall: None, .. } => {
            "the function made a system call that its policy forbids".to_owned()
        }
        Outcome::ProtocolViolation { what } => format!("the function's process broke the protocol: {what}"),
        Outcome::LoadFailed { reason } => format!("the package does not load in its sandbox: {reason}"),
        Outcome::SetupFailed { step, errno } => {
            format!("the sandbox could not be set up: step {step} failed with errno {errno}")
        }
        Outcome::Cancelled => "the call was cancelled".to_owned(),
        Outcome::WorkerLost => "the worker that ran the call was lost too often".to_owned(),
        Outcome::Expired => "the task waited longer than its time to live".to_owned(),
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = self.status().into_response();
        // Written out by `front`, which knows the request's id.
        response.extensions_mut().insert(self);
        response
    }
}

impl From<store::Error> for Problem {
    fn from(error: store::Error) -> Self {
        // The reason can name paths and addresses of the server: for its log only.
        tracing::error!(error = &error as &dyn std::error::Error, "the store failed");
        Self::new(Kind::StoreUnavailable, "the store does not answer; nothing was acknowledged")
    }
}

impl From<InspectError> for Problem {
    fn from(error: InspectError) -> Self {
        match error {
            InspectError::Refused { reason } => Self::new(Kind::RefusedPackage, reason),
            // The reason names paths of the server.
            InspectError::NoRoom(_) => {
                tracing::error!(error = &error as &dyn std::error::Error, "there is no room for a package");
                Self::new(Kind::NoRoom, "the server's disk has no room for the package; nothing was registered")
            }
            InspectError::Platform { .. } => {
                tracing::error!(error = &error as &dyn std::error::Error, "a package could not be inspected");
                Self::new(Kind::Internal, "the platform failed to inspect the package in a sandbox; its log says why")
            }
        }
    }
}

impl From<package_file::Error> for Problem {
    fn from(error: package_file::Error) -> Self {
        use bulkhead_protocol::limits::{MAX_LIBRARY_BYTES, MAX_PACKAGE_BYTES};
        use package_file::Error;
        let detail = with_sources(&error);
        match error {
            Error::TooLarge { bytes } => {
                Self::over_limit(Kind::TooLarge, "package_bytes", MAX_PACKAGE_BYTES, Some(bytes), detail)
            }
            Error::LibraryTooLarge { bytes } => {
                Self::over_limit(Kind::TooLarge, "library_bytes", MAX_LIBRARY_BYTES, Some(bytes), detail)
            }
            Error::NotAPackage | Error::Truncated { .. } | Error::DigestMismatch | Error::Malformed(_) => {
                Self::new(Kind::MalformedPayload, detail)
            }
            Error::UnknownFormat { .. } | Error::LibraryMismatch { .. } => Self::new(Kind::RefusedPackage, detail),
        }
    }
}

impl From<package::check::Error> for Problem {
    fn from(error: package::check::Error) -> Self {
        Self::new(Kind::RefusedPackage, with_sources(&error))
    }
}

impl From<package::description::Error> for Problem {
    fn from(error: package::description::Error) -> Self {
        Self::new(Kind::RefusedPackage, with_sources(&error))
    }
}

/// An error and what caused it, in one line.
fn with_sources(error: &dyn std::error::Error) -> String {
    let mut told = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        told = format!("{told}: {cause}");
        source = cause.source();
    }
    told
}

#[cfg(test)]
mod tests;
