//! What went wrong, for people, and the exit code that tells it to programs.

use std::fmt;
use std::process::ExitCode;

use crate::executor;
use crate::gateway::api::{OutcomeKind, Problem};

/// The HTTP status of a request that the state of its object forbids.
const CONFLICT: u16 = 409;

/// How the process ends. The numbers are promised in the documentation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(super) enum Exit {
    /// All went well.
    Success = 0,
    /// The command was wrong, or no server could be reached.
    Usage = 1,
    /// The function failed.
    Function = 2,
    /// Bulkhead failed.
    Platform = 3,
    /// Time ran out; the number is that of timeout(1).
    TimedOut = 124,
    /// Ctrl-C: 128 and the number of SIGINT, as shells have it.
    Interrupted = 130,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// An error with all that a person wants to know.
#[derive(Debug)]
pub(super) struct Failure {
    /// How the process ends.
    pub(super) exit: Exit,
    /// What happened, in one line.
    pub(super) line: String,
    /// More of it.
    pub(super) details: Vec<String>,
    /// What to do.
    pub(super) hint: Option<String>,
    /// What the server said, as it said it.
    pub(super) problem: Option<Box<Problem>>,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.line)
    }
}

impl std::error::Error for Failure {}

impl Failure {
    /// A failure without details.
    pub(super) fn new(exit: Exit, line: impl Into<String>) -> Self {
        Self { exit, line: line.into(), details: Vec::new(), hint: None, problem: None }
    }

    /// With what to do about it.
    pub(super) fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    /// With more of what happened.
    pub(super) fn detail(mut self, detail: impl Into<String>) -> Self {
        self.details.push(detail.into());
        self
    }

    /// What ended something that had begun: a failure of what is measured, not of its user.
    pub(super) fn early_end(what: &str, error: &anyhow::Error) -> Self {
        let mut failure = Self::new(Exit::Platform, format!("{what} ended early: {error}"));
        for cause in error.chain().skip(1) {
            failure = failure.detail(cause.to_string());
        }
        if let Some(source) = error.downcast_ref::<Self>() {
            failure.details.extend(source.details.iter().cloned());
            failure.hint.clone_from(&source.hint);
        }
        failure
    }

    /// What a server's error answer means.
    pub(super) fn from_problem(problem: Problem) -> Self {
        // A conflict tells the outcome of a task that had ended before; it is not what went wrong now.
        let outcome = problem.outcome.as_ref().filter(|_| problem.status != CONFLICT);
        let mut failure = match (outcome, problem.status) {
            (Some(outcome), _) => Self::from_outcome(outcome),
            (None, 500..) => Self::new(Exit::Platform, titled(&problem)),
            (None, _) => Self::new(Exit::Usage, titled(&problem)),
        };
        if outcome.is_none() && !problem.detail.is_empty() && problem.detail != problem.title {
            failure.details.push(problem.detail.clone());
        }
        if !problem.known.is_empty() {
            failure.details.push(format!("known here: {}", problem.known.join(", ")));
        }
        if failure.exit == Exit::Platform && !problem.request_id.is_empty() {
            failure.details.push(format!("request {} in the server's log", problem.request_id));
        }
        let kind = problem.problem_type.rsplit('/').next().unwrap_or_default();
        failure.hint = match kind {
            "unknown-function" => Some("`bulkhead functions ls` lists the functions of this server".to_owned()),
            "unknown-task" => Some("`bulkhead tasks ls` lists the newest tasks".to_owned()),
            _ if problem.retryable => Some("the same command may succeed later".to_owned()),
            _ => None,
        };
        Self { problem: Some(Box::new(problem)), ..failure }
    }

    /// What the end of an attempt without a result means.
    pub(super) fn from_outcome(outcome: &crate::gateway::api::Outcome) -> Self {
        let mut failure = Self::new(exit_of_outcome(&outcome.kind), describe(&outcome.kind));
        for (name, printed) in [("stdout", &outcome.stdout), ("stderr", &outcome.stderr)] {
            if let Some(printed) = printed {
                failure.details.push(format!("{name} ended with:"));
                failure.details.extend(printed.lines().map(|line| format!("  {line}")));
            }
        }
        failure
    }
}

/// The exit code for the end of an attempt.
pub(super) fn exit_of_outcome(outcome: &OutcomeKind) -> Exit {
    match outcome {
        OutcomeKind::Succeeded => Exit::Success,
        OutcomeKind::TimedOut { .. } => Exit::TimedOut,
        OutcomeKind::SetupFailed { .. } | OutcomeKind::WorkerLost => Exit::Platform,
        _ => Exit::Function,
    }
}

/// The end of an attempt in one line.
pub(super) fn describe(outcome: &OutcomeKind) -> String {
    match outcome {
        OutcomeKind::Succeeded => "the function succeeded".to_owned(),
        OutcomeKind::FunctionError { code, message, .. } if code.is_empty() => {
            format!("the function failed: {message}")
        }
        OutcomeKind::FunctionError { code, message, .. } => format!("the function failed: {message} ({code})"),
        OutcomeKind::InvalidInput { path, message } if path.is_empty() => format!("the input does not fit: {message}"),
        OutcomeKind::InvalidInput { path, message } => format!("the input does not fit at {path}: {message}"),
        OutcomeKind::Panicked { message, location: Some(location) } => {
            format!("the function panicked at {location}: {message}")
        }
        OutcomeKind::Panicked { message, location: None } => format!("the function panicked: {message}"),
        OutcomeKind::Crashed { signal } => format!("the function crashed with {signal}"),
        OutcomeKind::Exited { code } => format!("the function ended its process with exit code {code}"),
        OutcomeKind::TimedOut { limit_ms } => format!("the function took longer than its limit of {limit_ms} ms"),
        OutcomeKind::OutOfMemory { limit_bytes, inferred } => {
            let mebibytes = limit_bytes >> 20;
            let certainty = if *inferred { "most likely " } else { "" };
            format!("the function {certainty}needed more memory than its limit of {mebibytes} MiB")
        }
        OutcomeKind::LimitExceeded { limit, value } => {
            let limit = serde_json::to_value(limit).unwrap_or_default();
            format!("the function reached its limit: {} {value}", limit.as_str().unwrap_or_default())
        }
        OutcomeKind::PolicyViolation { syscall, args } => {
            let call = match (syscall, args.as_slice()) {
                (Some(name), []) => name.clone(),
                (Some(name), args) => format!("{name}({})", args.join(", ")),
                (None, _) => "a forbidden call".to_owned(),
            };
            format!("the function was stopped at a system call that its sandbox forbids: {call}")
        }
        OutcomeKind::ProtocolViolation { what } => format!("the function's process broke the protocol: {what}"),
        OutcomeKind::LoadFailed { reason } => format!("the package does not load: {reason}"),
        OutcomeKind::SetupFailed { step, errno } => format!("the sandbox could not be set up: {step} (errno {errno})"),
        OutcomeKind::Cancelled => "the task was cancelled".to_owned(),
        OutcomeKind::WorkerLost => "the worker was lost with the task".to_owned(),
        OutcomeKind::Expired => "the task waited longer than its time to live".to_owned(),
    }
}

/// The exit code that an error carries.
pub(super) fn exit_of(error: &anyhow::Error) -> Exit {
    error.downcast_ref::<Failure>().map_or(Exit::Usage, |failure| failure.exit)
}

/// What to do about an error, where that is known.
pub(super) fn hint_of(error: &anyhow::Error) -> Option<String> {
    let of_failure = || error.downcast_ref::<Failure>().and_then(|failure| failure.hint.clone());
    // A server that does not start says it by the executor's own error.
    let of_executor = || error.chain().find_map(|cause| cause.downcast_ref::<executor::Error>()?.advice());
    of_failure().or_else(of_executor)
}

/// Whether the reader of our output went away.
pub(super) fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let causes = error.chain().filter_map(|cause| cause.downcast_ref::<std::io::Error>());
    causes.into_iter().any(|cause| cause.kind() == std::io::ErrorKind::BrokenPipe)
}

fn titled(problem: &Problem) -> String {
    format!("{} ({})", lower_first(&problem.title), problem.status)
}

fn lower_first(text: &str) -> String {
    let mut characters = text.chars();
    characters.next().map_or_else(String::new, |first| first.to_lowercase().chain(characters).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use bulkhead_protocol::outcome::{Outcome, Usage};

    fn exit(outcome: Outcome) -> Exit {
        exit_of_outcome(&outcome.into())
    }

    #[test]
    fn each_kind_of_end_has_its_exit_code() {
        assert_eq!(exit(Outcome::Succeeded), Exit::Success);
        assert_eq!(exit(Outcome::TimedOut { limit_ms: 1 }), Exit::TimedOut);
        assert_eq!(exit(Outcome::WorkerLost), Exit::Platform);
        assert_eq!(exit(Outcome::SetupFailed { step: "clone".into(), errno: 1 }), Exit::Platform);
        assert_eq!(exit(Outcome::Crashed { signal: "SIGSEGV".into() }), Exit::Function);
        assert_eq!(exit(Outcome::Cancelled), Exit::Function);
        assert_eq!(Exit::TimedOut as u8, 124);
    }

    #[test]
    fn platform_ends_are_those_that_the_protocol_calls_so() {
        let ends = [
            Outcome::Expired,
            Outcome::WorkerLost,
            Outcome::LoadFailed { reason: String::new() },
            Outcome::SetupFailed { step: String::new(), errno: 0 },
            Outcome::ProtocolViolation { what: String::new() },
        ];
        for end in ends {
            assert_eq!(end.is_platform(), exit(end.clone()) == Exit::Platform, "{end:?}");
        }
    }

    fn problem(status: u16) -> Problem {
        Problem {
            status,
            title: "Unknown function".into(),
            detail: "there is no function x".into(),
            ..Problem::default()
        }
    }

    #[test]
    fn problems_of_the_client_and_of_the_server_are_told_apart() {
        let failure = Failure::from_problem(problem(404));
        assert_eq!(failure.exit, Exit::Usage);
        assert_eq!(failure.line, "unknown function (404)");
        assert_eq!(failure.details, ["there is no function x"]);
        assert_eq!(Failure::from_problem(problem(503)).exit, Exit::Platform);
    }

    #[test]
    fn a_problem_with_an_outcome_is_the_outcome() {
        let outcome = crate::gateway::api::Outcome {
            kind: OutcomeKind::FunctionError { code: "E_NO".into(), message: "no".into(), retryable: false },
            usage: Usage::default(),
            stdout: None,
            stderr: Some("why\nbecause\n".into()),
        };
        let failure = Failure::from_problem(Problem { outcome: Some(outcome), ..problem(500) });
        assert_eq!(failure.exit, Exit::Function);
        assert_eq!(failure.line, "the function failed: no (E_NO)");
        assert_eq!(failure.details, ["stderr ended with:", "  why", "  because"]);
    }

    #[test]
    fn the_outcome_of_a_task_that_had_ended_is_not_what_went_wrong() {
        let outcome = crate::gateway::api::Outcome::without_logs(Outcome::Succeeded, Usage::default());
        let failure = Failure::from_problem(Problem { outcome: Some(outcome), ..problem(409) });
        assert_eq!(failure.exit, Exit::Usage);
        assert_eq!(failure.details, ["there is no function x"]);
    }

    #[test]
    fn errors_of_other_kinds_are_usage() {
        assert_eq!(exit_of(&anyhow::anyhow!("no such file")), Exit::Usage);
        let wrapped = anyhow::Error::from(Failure::new(Exit::Platform, "x")).context("while asking");
        assert_eq!(exit_of(&wrapped), Exit::Platform);
        let pipe = std::io::Error::from(std::io::ErrorKind::BrokenPipe);
        assert!(is_broken_pipe(&anyhow::Error::from(pipe).context("printing")));
    }
}
