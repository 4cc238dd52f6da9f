//! From evidence to outcome. Pure: what is believed, and in which order, stands here alone.
//!
//! Evidence comes from init (exit status), the kernel (the cgroup's count of kills), and the host
//! (its own clock, what it has counted). The child's own word decides only between the ways in which
//! a call can end by itself.

use bulkhead_protocol::limits::{LimitKind, Limits};
use bulkhead_protocol::outcome::{FOREIGN_ABI, Outcome, Report};
use bulkhead_protocol::runner_message::{DeniedCall, ExitStatus, ProcessEnd};
use bulkhead_protocol::slot::{response, state};
use bulkhead_protocol::task::Encoding;
use nix::sys::signal::Signal;
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::slot_memory::Response;
use super::syscall_name;

/// Longest text of an error that is kept, in bytes; the SDK cuts at the same length.
const MAX_MESSAGE_BYTES: usize = 64 * 1024;
/// What Rust's standard library prints before it aborts for want of memory; its last word.
const ALLOCATION_FAILED: &[u8] = b"memory allocation of ";

/// Why the host killed a child; the first cause stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum KillCause {
    /// The wall time ran out.
    Timeout {
        /// The limit in milliseconds.
        limit_ms: u64,
    },
    /// Somebody asked.
    Cancelled,
    /// More output than [`Limits::output_bytes`].
    Output,
}

/// All that is known of a call that is over.
pub(super) struct Evidence<'a> {
    /// Why the host killed it, if it did.
    pub(super) killed: Option<KillCause>,
    /// How the process ended; `None` for a warm child that lives on.
    pub(super) end: Option<ProcessEnd>,
    /// What the child published.
    pub(super) response: Response,
    /// Whether it printed more than it may; so, however it ended.
    pub(super) flooded: bool,
    /// Whether the kernel killed for lack of memory.
    pub(super) out_of_memory: bool,
    /// What the call printed on stderr.
    pub(super) stderr: &'a [u8],
    /// What it was allowed.
    pub(super) limits: &'a Limits,
    /// Whether refused system calls are told to init, so that SIGSYS means something else.
    pub(super) supervised: bool,
}

/// What a call ended as, before the output is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The outcome is known.
    Ended(Outcome),
    /// The child's own answer decides: read that many bytes of output and ask [`read_response`].
    Answered,
}

/// Decides what the evidence amounts to.
pub(super) fn decide(evidence: &Evidence<'_>) -> Verdict {
    let published = evidence.response.state == state::PUBLISHED;
    if evidence.flooded {
        let limit = LimitKind::Output;
        return Verdict::Ended(Outcome::LimitExceeded { limit, value: evidence.limits.output_bytes });
    }
    let Some(end) = evidence.end else { return Verdict::Answered };
    // Init tells of it only where it was the first cause to kill.
    if let Some(call) = end.denied {
        return Verdict::Ended(violation(call));
    }
    let outcome = match end.status {
        // It ended by itself, even if a kill was on its way.
        ExitStatus::Code(0) if published => return Verdict::Answered,
        // Init's word: only our own code has run in it.
        ExitStatus::NotSetUp => setup_failed(evidence.response),
        _ if evidence.killed.is_some() => match evidence.killed {
            Some(KillCause::Timeout { limit_ms }) => Outcome::TimedOut { limit_ms },
            // A flood was answered above.
            Some(KillCause::Cancelled | KillCause::Output) | None => Outcome::Cancelled,
        },
        ExitStatus::Code(code) => Outcome::Exited { code },
        ExitStatus::Signal(signal) => by_signal(signal, &end, evidence),
    };
    Verdict::Ended(outcome)
}

/// A refused system call as an outcome.
fn violation(call: DeniedCall) -> Outcome {
    Outcome::PolicyViolation { syscall: Some(syscall_name::of(call.number)), args: Some(Box::new(call.arguments)) }
}

fn by_signal(number: i32, end: &ProcessEnd, evidence: &Evidence<'_>) -> Outcome {
    let limits = evidence.limits;
    let cpu_ms = (end.user_us + end.system_us) / 1000;
    match Signal::try_from(number) {
        Ok(Signal::SIGKILL) if evidence.out_of_memory => {
            Outcome::OutOfMemory { limit_bytes: limits.memory_bytes, inferred: false }
        }
        Ok(Signal::SIGABRT) if says_allocation_failed(evidence.stderr) => {
            Outcome::OutOfMemory { limit_bytes: limits.memory_bytes, inferred: true }
        }
        // What is refused and not told was made by another way than this architecture's own. A function that
        // raises the signal itself says of itself what it likes.
        Ok(Signal::SIGSYS) => {
            Outcome::PolicyViolation { syscall: evidence.supervised.then(|| FOREIGN_ABI.to_owned()), args: None }
        }
        // SIGXCPU may be caught; the SIGKILL a second later may not. The kernel counts ticks for the limit
        // and measures for wait4: the two differ by a percent on an idle machine, and by a fifth where many
        // processes share a core for less than a tick each.
        Ok(Signal::SIGXCPU | Signal::SIGKILL) if limits.cpu_ms.is_some_and(|limit| cpu_ms >= limit / 2) => {
            Outcome::LimitExceeded { limit: LimitKind::CpuTime, value: limits.cpu_ms.unwrap_or(0) }
        }
        Ok(Signal::SIGXFSZ) => Outcome::LimitExceeded { limit: LimitKind::FileSize, value: limits.tmp_bytes },
        Ok(signal) => Outcome::Crashed { signal: signal.as_str().to_owned() },
        Err(_) => Outcome::Crashed { signal: format!("signal {number}") },
    }
}

fn says_allocation_failed(stderr: &[u8]) -> bool {
    // A note on backtraces may follow, and nothing else.
    let last_lines = stderr.trim_ascii_end().rsplit(|byte| *byte == b'\n').take(2);
    last_lines.into_iter().any(|line| line.starts_with(ALLOCATION_FAILED) && line.ends_with(b" bytes failed"))
}

/// Bytes of output that a child's answer may have; `None` when it claims more than its slot has.
pub(super) fn output_bytes(response: Response, capacity: usize) -> Option<u64> {
    (response.bytes <= capacity as u64).then_some(response.bytes)
}

/// Reads the answer of a call that ended by itself.
pub(super) fn read_response(response: Response, output: Vec<u8>, limits: &Limits) -> (Outcome, Vec<u8>) {
    let outcome = match response.kind {
        response::SUCCEEDED if output.len() as u64 <= limits.result_bytes => return (Outcome::Succeeded, output),
        response::SUCCEEDED | response::RESULT_TOO_LARGE => {
            Outcome::LimitExceeded { limit: LimitKind::Result, value: limits.result_bytes }
        }
        response::FUNCTION_ERROR => parse(&output, |error: FunctionError| Outcome::FunctionError {
            code: cut(error.code),
            message: cut(error.message),
            retryable: error.retryable,
        }),
        response::INVALID_INPUT => parse(&output, |error: InvalidInput| Outcome::InvalidInput {
            path: cut(error.path),
            message: cut(error.message),
        }),
        response::PANICKED => parse(&output, |panic: Panicked| Outcome::Panicked {
            message: cut(panic.message),
            location: panic.location.map(cut),
        }),
        response::RESULT_NOT_ENCODABLE => parse(&output, |error: NotEncodable| Outcome::FunctionError {
            code: "result_not_encodable".to_owned(),
            message: cut(error.message),
            retryable: false,
        }),
        response::NO_SUCH_FUNCTION => {
            Outcome::LoadFailed { reason: "the package has no function of that index".to_owned() }
        }
        other => Outcome::ProtocolViolation { what: format!("the response has the unknown kind {other}") },
    };
    (outcome, Vec::new())
}

/// Takes a success back whose result is not of the encoding that was asked for. Whoever reads a result of
/// JSON may rely on it.
pub(super) fn require_encoding(report: Report, encoding: Encoding) -> Report {
    let is_json =
        |result: &[u8]| std::str::from_utf8(result).is_ok_and(|text| serde_json::from_str::<IgnoredAny>(text).is_ok());
    if report.outcome != Outcome::Succeeded || encoding != Encoding::Json || is_json(&report.result) {
        return report;
    }
    let outcome = Outcome::ProtocolViolation { what: "the result is no JSON".to_owned() };
    Report { outcome, result: Vec::new(), ..report }
}

/// Why a slot's keeper ended before it had forked a child.
pub(super) fn not_forked(response: Response) -> Outcome {
    if response.kind == response::SETUP_FAILED {
        return setup_failed(response);
    }
    Outcome::SetupFailed { step: "fork a child".to_owned(), errno: 0 }
}

fn setup_failed(response: Response) -> Outcome {
    let step = if response.kind == response::SETUP_FAILED { setup_step(response.bytes) } else { setup_step(1) };
    Outcome::SetupFailed { step: step.to_owned(), errno: response.detail as i32 }
}

/// The steps of a child's set-up and of its keeper's, as the runner numbers them in `child.rs`.
fn setup_step(number: u64) -> &'static str {
    match number {
        1 => "map the slot",
        2 => "join the slot's cgroup",
        3 => "set up file descriptors",
        4 => "clean the private folder",
        5 => "get a random seed",
        6 => "restrict itself with Landlock",
        7 => "set resource limits",
        8 => "put up the system call filter",
        9 => "start the function's thread",
        10 => "make a process group",
        11 => "fork a child",
        _ => "set up the child",
    }
}

#[derive(Deserialize)]
struct FunctionError {
    code: String,
    message: String,
    retryable: bool,
}

#[derive(Deserialize)]
struct InvalidInput {
    path: String,
    message: String,
}

#[derive(Deserialize)]
struct Panicked {
    message: String,
    location: Option<String>,
}

#[derive(Deserialize)]
struct NotEncodable {
    message: String,
}

/// Parses an answer that describes a failure. Whoever writes nonsense there broke the protocol.
fn parse<'a, T: Deserialize<'a>>(output: &'a [u8], outcome: impl FnOnce(T) -> Outcome) -> Outcome {
    match serde_json::from_slice(output) {
        Ok(value) => outcome(value),
        Err(_) => Outcome::ProtocolViolation { what: "the description of a failure cannot be read".to_owned() },
    }
}

fn cut(mut text: String) -> String {
    text.truncate(text.floor_char_boundary(MAX_MESSAGE_BYTES));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn response(state: u32, kind: u32, bytes: u64) -> Response {
        Response { state, kind, detail: 0, bytes }
    }

    fn end(status: ExitStatus) -> Option<ProcessEnd> {
        Some(ProcessEnd { status, user_us: 5_000_000, system_us: 0, max_rss_kib: 0, denied: None })
    }

    fn decide_simply(end: Option<ProcessEnd>, killed: Option<KillCause>, state: u32) -> Verdict {
        let limits = Limits { cpu_ms: Some(5_000), ..Limits::default() };
        decide(&Evidence {
            killed,
            end,
            response: response(state, response::SUCCEEDED, 0),
            flooded: false,
            out_of_memory: false,
            stderr: b"",
            limits: &limits,
            supervised: true,
        })
    }

    #[test]
    fn exits_without_a_response_are_named_by_their_code() {
        for code in [0, 42] {
            let verdict = decide_simply(end(ExitStatus::Code(code)), None, state::TAKEN);
            assert_eq!(verdict, Verdict::Ended(Outcome::Exited { code }));
        }
        let verdict = decide_simply(end(ExitStatus::Code(42)), None, state::PUBLISHED);
        assert_eq!(verdict, Verdict::Ended(Outcome::Exited { code: 42 }));
    }

    #[test]
    fn the_first_cause_wins_unless_the_call_had_ended_by_itself() {
        let cause = Some(KillCause::Timeout { limit_ms: 7 });
        let killed = decide_simply(end(ExitStatus::Signal(libc::SIGKILL)), cause, state::PUBLISHED);
        assert_eq!(killed, Verdict::Ended(Outcome::TimedOut { limit_ms: 7 }));
        assert_eq!(decide_simply(end(ExitStatus::Code(0)), cause, state::PUBLISHED), Verdict::Answered);
    }

    #[test]
    fn a_cpu_limit_is_told_from_a_signal_that_anybody_can_raise() {
        let limits = Limits { cpu_ms: Some(1_000), ..Limits::default() };
        let after = |user_us| {
            let status = ExitStatus::Signal(libc::SIGXCPU);
            let end = ProcessEnd { status, user_us, system_us: 2_000, max_rss_kib: 0, denied: None };
            decide(&Evidence {
                killed: None,
                end: Some(end),
                response: response(state::TAKEN, 0, 0),
                flooded: false,
                out_of_memory: false,
                stderr: b"",
                limits: &limits,
                supervised: true,
            })
        };
        let exceeded = Outcome::LimitExceeded { limit: LimitKind::CpuTime, value: 1_000 };
        // As measured at a limit of one second, alone and on a machine with four times more to do than it can.
        for measured in [992_084, 818_510] {
            assert_eq!(after(measured), Verdict::Ended(exceeded.clone()));
        }
        assert_eq!(after(100_000), Verdict::Ended(Outcome::Crashed { signal: "SIGXCPU".to_owned() }));
    }

    #[test]
    fn a_refused_call_is_named_whatever_else_there_is() {
        let call = DeniedCall { number: libc::SYS_ptrace as u32, arguments: [16, 1, 0, 0, 0, u64::MAX] };
        let named =
            Outcome::PolicyViolation { syscall: Some("ptrace".to_owned()), args: Some(Box::new(call.arguments)) };
        for status in [ExitStatus::Signal(libc::SIGKILL), ExitStatus::Code(0)] {
            let end = end(status).map(|end| ProcessEnd { denied: Some(call), ..end });
            let killed = Some(KillCause::Timeout { limit_ms: 7 });
            assert_eq!(decide_simply(end, killed, state::PUBLISHED), Verdict::Ended(named.clone()));
        }
        let by_sigsys = decide_simply(end(ExitStatus::Signal(libc::SIGSYS)), None, state::TAKEN);
        let foreign = Outcome::PolicyViolation { syscall: Some(FOREIGN_ABI.to_owned()), args: None };
        assert_eq!(by_sigsys, Verdict::Ended(foreign));
    }

    #[test]
    fn a_set_up_that_failed_is_init_s_word_and_never_a_function_s() {
        let failed = decide_simply(end(ExitStatus::NotSetUp), None, state::PUBLISHED);
        assert!(matches!(failed, Verdict::Ended(Outcome::SetupFailed { .. })), "{failed:?}");
        for state in [state::IDLE, state::REQUESTED, state::TAKEN, state::PUBLISHED] {
            let code = bulkhead_protocol::slot::SETUP_FAILED_EXIT;
            let claimed = decide_simply(end(ExitStatus::Code(code)), None, state);
            assert_eq!(claimed, Verdict::Ended(Outcome::Exited { code }));
        }
    }

    #[test]
    fn a_kill_by_its_own_hand_is_neither_a_timeout_nor_a_lack_of_memory() {
        let limits = Limits::default();
        let evidence = Evidence {
            killed: None,
            end: end(ExitStatus::Signal(libc::SIGKILL)),
            response: response(state::TAKEN, 0, 0),
            flooded: false,
            out_of_memory: false,
            stderr: b"",
            limits: &limits,
            supervised: true,
        };
        assert_eq!(decide(&evidence), Verdict::Ended(Outcome::Crashed { signal: "SIGKILL".to_owned() }));
        let evidence = Evidence { out_of_memory: true, ..evidence };
        let expected = Outcome::OutOfMemory { limit_bytes: limits.memory_bytes, inferred: false };
        assert_eq!(decide(&evidence), Verdict::Ended(expected));
    }

    #[test]
    fn an_abort_is_a_lack_of_memory_only_if_that_was_the_last_word() {
        let limits = Limits::default();
        let by_stderr = |stderr: &[u8]| {
            let evidence = Evidence {
                killed: None,
                end: end(ExitStatus::Signal(libc::SIGABRT)),
                response: response(state::TAKEN, 0, 0),
                flooded: false,
                out_of_memory: false,
                stderr,
                limits: &limits,
                supervised: true,
            };
            decide(&evidence)
        };
        let crashed = Verdict::Ended(Outcome::Crashed { signal: "SIGABRT".to_owned() });
        let inferred = Outcome::OutOfMemory { limit_bytes: limits.memory_bytes, inferred: true };
        assert_eq!(by_stderr(b"x\nmemory allocation of 9 bytes failed\n"), Verdict::Ended(inferred));
        let noted = b"memory allocation of 9 bytes failed\nnote: run with `RUST_BACKTRACE=1` ...\n";
        assert_ne!(by_stderr(noted), crashed);
        assert_eq!(by_stderr(b"memory allocation of 9 bytes failed\nI\ngo on\n"), crashed);
        assert_eq!(by_stderr(b""), crashed);
    }

    #[test]
    fn results_below_at_and_above_the_limit() {
        let limits = Limits { result_bytes: 10, ..Limits::default() };
        let read = |length| read_response(response(0, response::SUCCEEDED, 0), vec![1; length], &limits);
        assert_eq!(read(9), (Outcome::Succeeded, vec![1; 9]));
        assert_eq!(read(10), (Outcome::Succeeded, vec![1; 10]));
        let exceeded = Outcome::LimitExceeded { limit: LimitKind::Result, value: 10 };
        assert_eq!(read(11), (exceeded, Vec::new()));
    }

    #[test]
    fn a_result_that_is_not_of_its_encoding_is_no_success() {
        let read = |result: &[u8], encoding| {
            let report = Report::without_process(Outcome::Succeeded);
            let report = require_encoding(Report { result: result.to_vec(), ..report }, encoding);
            (report.outcome.kind(), report.result.len())
        };
        for whole in [&b"1"[..], b"null", b" {\"a\": [1, \"\xC3\xA9\"]} "] {
            assert_eq!(read(whole, Encoding::Json), ("Succeeded", whole.len()));
        }
        for broken in [&b""[..], b"{\"a\": [1,", b"1 2", b"true\0", b"\"\xFF\""] {
            assert_eq!(read(broken, Encoding::Json), ("ProtocolViolation", 0), "{broken:?}");
            assert_eq!(read(broken, Encoding::Bincode), ("Succeeded", broken.len()));
        }
    }

    #[test]
    fn claims_beyond_the_slot_and_nonsense_break_the_protocol() {
        assert_eq!(output_bytes(response(0, response::SUCCEEDED, 100), 100), Some(100));
        for claim in [101, u64::MAX] {
            assert_eq!(output_bytes(response(0, response::SUCCEEDED, claim), 100), None);
        }
        let limits = Limits::default();
        for kind in [response::FUNCTION_ERROR, response::PANICKED, 7, u32::MAX] {
            let (outcome, result) = read_response(response(0, kind, 0), b"\xFF{".to_vec(), &limits);
            assert_eq!((outcome.kind(), result.len()), ("ProtocolViolation", 0), "{kind}");
        }
    }
}
