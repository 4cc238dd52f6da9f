//! How an attempt ended: a closed set, and the evidence that goes with it.

use serde::{Deserialize, Serialize};

use crate::limits::LimitKind;

/// Stands for the name of a system call that was made by another way than this architecture's own:
/// `int 0x80` or x32, which the kernel refuses without telling which call it was.
pub const FOREIGN_ABI: &str = "foreign-abi";

/// How an attempt ended. Everything but [`Outcome::Succeeded`] is a failure; which of them are
/// the function's doing and which the platform's is told by [`Outcome::is_platform`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// The function returned a value.
    Succeeded,
    /// The function returned an error.
    FunctionError {
        /// The author's short name for the kind of error.
        code: String,
        /// What went wrong.
        message: String,
        /// Whether the author says that another try may succeed.
        retryable: bool,
    },
    /// The input does not fit the function's parameters.
    InvalidInput {
        /// Where in the input, as `args.name[2].field`.
        path: String,
        /// What was expected and what was found.
        message: String,
    },
    /// The function panicked.
    Panicked {
        /// The panic's message.
        message: String,
        /// `file:line:column`.
        location: Option<String>,
    },
    /// A signal that nobody sent on the platform's behalf ended the process.
    Crashed {
        /// The signal's name, as `SIGSEGV`.
        signal: String,
    },
    /// The process exited by itself before it gave a result.
    Exited {
        /// The exit code.
        code: i32,
    },
    /// The wall time ran out.
    TimedOut {
        /// The limit in milliseconds.
        limit_ms: u64,
    },
    /// The memory limit was reached.
    OutOfMemory {
        /// The limit in bytes.
        limit_bytes: u64,
        /// Whether this was concluded from a failed allocation rather than reported by the kernel.
        inferred: bool,
    },
    /// Another limit was reached.
    LimitExceeded {
        /// Which.
        limit: LimitKind,
        /// Its value, in the limit's unit (bytes, milliseconds or a count).
        value: u64,
    },
    /// The function tried a system call that its policy forbids.
    PolicyViolation {
        /// The call's name, where the kernel told; [`FOREIGN_ABI`] for one of another architecture.
        syscall: Option<String>,
        /// The call's arguments as the kernel had them, all six registers; pointers are addresses in the
        /// function's process.
        args: Option<Box<[u64; 6]>>,
    },
    /// The process broke the rules of the exchange with the host.
    ProtocolViolation {
        /// Which rule.
        what: String,
    },
    /// The package could not be loaded in its sandbox.
    LoadFailed {
        /// Why.
        reason: String,
    },
    /// The platform could not set up the sandbox.
    SetupFailed {
        /// The step that failed.
        step: String,
        /// The operating system's error number, 0 where there was none.
        errno: i32,
    },
    /// The task was cancelled.
    Cancelled,
    /// The worker that ran the attempt was lost, once more than its budget allows.
    WorkerLost,
    /// The task waited longer than its time to live.
    Expired,
}

impl Outcome {
    /// The variant's name, as it stands in the documentation and in JSON.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Succeeded => "Succeeded",
            Self::FunctionError { .. } => "FunctionError",
            Self::InvalidInput { .. } => "InvalidInput",
            Self::Panicked { .. } => "Panicked",
            Self::Crashed { .. } => "Crashed",
            Self::Exited { .. } => "Exited",
            Self::TimedOut { .. } => "TimedOut",
            Self::OutOfMemory { .. } => "OutOfMemory",
            Self::LimitExceeded { .. } => "LimitExceeded",
            Self::PolicyViolation { .. } => "PolicyViolation",
            Self::ProtocolViolation { .. } => "ProtocolViolation",
            Self::LoadFailed { .. } => "LoadFailed",
            Self::SetupFailed { .. } => "SetupFailed",
            Self::Cancelled => "Cancelled",
            Self::WorkerLost => "WorkerLost",
            Self::Expired => "Expired",
        }
    }

    /// Whether the function returned a value.
    pub fn is_success(&self) -> bool {
        matches!(self, Self::Succeeded)
    }

    /// Whether the platform, not the function, is the cause.
    pub fn is_platform(&self) -> bool {
        matches!(self, Self::SetupFailed { .. } | Self::WorkerLost)
    }

    /// Whether the process ended in a way that counts towards the crash cap.
    pub fn is_crash(&self) -> bool {
        matches!(
            self,
            Self::Crashed { .. } | Self::Exited { .. } | Self::ProtocolViolation { .. } | Self::OutOfMemory { .. }
        )
    }
}

/// What an attempt used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Usage {
    /// Wall time in microseconds from the moment the child had the request.
    pub wall_us: u64,
    /// CPU time in user mode in microseconds.
    pub user_us: u64,
    /// CPU time in kernel mode in microseconds.
    pub system_us: u64,
    /// Largest resident memory in bytes, the shared pages of the runner included.
    pub peak_memory_bytes: u64,
}

/// What an attempt wrote on stdout and stderr, at most [`crate::limits::Limits::log_bytes`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Logs {
    /// Bytes of stdout, the latest at the end.
    #[serde(with = "serde_bytes")]
    pub stdout: Vec<u8>,
    /// Bytes of stderr, the latest at the end.
    #[serde(with = "serde_bytes")]
    pub stderr: Vec<u8>,
    /// Whether some were cut.
    pub truncated: bool,
}

/// The end of an attempt with all that is known of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// How it ended.
    pub outcome: Outcome,
    /// What it used; all zero when no process ran.
    pub usage: Usage,
    /// What it printed.
    pub logs: Logs,
    /// The result in the encoding of the input; empty unless the outcome is `Succeeded`.
    #[serde(with = "serde_bytes")]
    pub result: Vec<u8>,
}

impl Report {
    /// A report of an attempt that never reached a process.
    pub fn without_process(outcome: Outcome) -> Self {
        Self { outcome, usage: Usage::default(), logs: Logs::default(), result: Vec::new() }
    }
}
