//! How an attempt ended, as clients read it.

use bulkhead_protocol::limits::LimitKind;
use bulkhead_protocol::outcome::{self, Usage};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// How an attempt ended, what it used and the end of what it printed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Outcome {
    /// How it ended.
    #[serde(flatten)]
    pub kind: OutcomeKind,
    /// What it used; all zero when no process ran.
    #[serde(default)]
    pub usage: Usage,
    /// The last 4 KiB of stdout, given with failures that have one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stdout: Option<String>,
    /// The last 4 KiB of stderr, given with failures that have one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stderr: Option<String>,
}

/// The closed set of ends, told apart by `kind`. Mirrors [`outcome::Outcome`], whose own encoding
/// is the binary one of the store and cannot carry a tag inside.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "kind")]
pub enum OutcomeKind {
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
        /// The call's name, where the kernel told; `foreign-abi` for one by `int 0x80` or x32.
        syscall: Option<String>,
        /// The call's arguments, all six registers in hexadecimal; empty where the kernel did not tell.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        args: Vec<String>,
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

impl OutcomeKind {
    /// The value of `kind` in JSON.
    pub fn name(&self) -> &'static str {
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
}

impl From<outcome::Outcome> for OutcomeKind {
    fn from(outcome: outcome::Outcome) -> Self {
        use outcome::Outcome as From;
        match outcome {
            From::Succeeded => Self::Succeeded,
            From::FunctionError { code, message, retryable } => Self::FunctionError { code, message, retryable },
            From::InvalidInput { path, message } => Self::InvalidInput { path, message },
            From::Panicked { message, location } => Self::Panicked { message, location },
            From::Crashed { signal } => Self::Crashed { signal },
            From::Exited { code } => Self::Exited { code },
            From::TimedOut { limit_ms } => Self::TimedOut { limit_ms },
            From::OutOfMemory { limit_bytes, inferred } => Self::OutOfMemory { limit_bytes, inferred },
            From::LimitExceeded { limit, value } => Self::LimitExceeded { limit, value },
            From::PolicyViolation { syscall, args } => {
                let args = args.iter().flat_map(|args| args.iter()).map(|argument| format!("{argument:#x}")).collect();
                Self::PolicyViolation { syscall, args }
            }
            From::ProtocolViolation { what } => Self::ProtocolViolation { what },
            From::LoadFailed { reason } => Self::LoadFailed { reason },
            From::SetupFailed { step, errno } => Self::SetupFailed { step, errno },
            From::Cancelled => Self::Cancelled,
            From::WorkerLost => Self::WorkerLost,
            From::Expired => Self::Expired,
        }
    }
}

impl Outcome {
    /// The outcome of an attempt without what it printed.
    pub fn without_logs(outcome: outcome::Outcome, usage: Usage) -> Self {
        Self { kind: outcome.into(), usage, stdout: None, stderr: None }
    }

    /// The outcome of an attempt; a failure comes with the end of what it printed.
    pub fn with_logs(outcome: outcome::Outcome, usage: Usage, logs: &outcome::Logs) -> Self {
        let tail = |printed: &[u8]| (!printed.is_empty() && !outcome.is_success()).then(|| tail_text(printed));
        let (stdout, stderr) = (tail(&logs.stdout), tail(&logs.stderr));
        Self { stdout, stderr, ..Self::without_logs(outcome, usage) }
    }
}

/// The last [`bulkhead_protocol::limits::MAX_TAIL_BYTES`] of `printed`; a cut character at the front
/// and bytes that are no UTF-8 read as U+FFFD.
fn tail_text(printed: &[u8]) -> String {
    let kept = usize::try_from(bulkhead_protocol::limits::MAX_TAIL_BYTES).unwrap_or(usize::MAX);
    String::from_utf8_lossy(&printed[printed.len().saturating_sub(kept)..]).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outcome_is_one_flat_object_told_apart_by_kind() {
        let failed = outcome::Outcome::FunctionError { code: "E".into(), message: "no".into(), retryable: false };
        let logs = outcome::Logs { stdout: Vec::new(), stderr: b"why".to_vec(), truncated: false };
        let json = serde_json::to_value(Outcome::with_logs(failed, Usage::default(), &logs)).unwrap();
        let expected = serde_json::json!({
            "kind": "FunctionError", "code": "E", "message": "no", "retryable": false,
            "usage": {"wall_us": 0, "user_us": 0, "system_us": 0, "peak_memory_bytes": 0},
            "stderr": "why",
        });
        assert_eq!(json, expected);
        let read: Outcome = serde_json::from_value(json).unwrap();
        assert!(matches!(read.kind, OutcomeKind::FunctionError { .. }));
    }

    #[test]
    fn the_names_in_json_are_those_of_the_documentation() {
        for outcome in [outcome::Outcome::TimedOut { limit_ms: 5 }, outcome::Outcome::Cancelled] {
            let documented = outcome.kind();
            let kind = OutcomeKind::from(outcome);
            assert_eq!(kind.name(), documented);
            assert_eq!(serde_json::to_value(kind).unwrap()["kind"], documented);
        }
    }

    #[test]
    fn a_tail_is_cut_at_its_bound_and_never_panics_inside_a_character() {
        let long = "é".repeat(4096);
        assert_eq!(tail_text(long.as_bytes()).len(), 4096);
        assert!(tail_text(&long.as_bytes()[..8191]).starts_with('\u{FFFD}'));
        assert_eq!(tail_text(b"short"), "short");
    }
}
