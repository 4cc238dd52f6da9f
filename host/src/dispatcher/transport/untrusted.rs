//! Bounds on what a worker says of its own attempts, beyond those that the link checks.

use bulkhead_protocol::limits::MAX_RESULT_BYTES;
use bulkhead_protocol::outcome::{Logs, Outcome, Report};
use bulkhead_protocol::task::Progress;

/// Most bytes of stdout, and of stderr, that are taken with a report; the rest is cut. What a function
/// may print is bounded where it runs, by its own limit; this bounds what a worker may say it was.
const MAX_LOG_BYTES: usize = 4 * 1024 * 1024;

/// Longest text in an outcome in bytes; an executor cuts them at 64 KiB.
const MAX_TEXT_BYTES: usize = 128 * 1024;

/// Longest message of a progress in bytes.
const MAX_PROGRESS_BYTES: usize = 4 * 1024;

/// How far in the future a worker's clock may put a start before ours is taken, in milliseconds.
const CLOCK_AHEAD_MS: u64 = 1_000;

/// How long ago a worker's clock may put a start before ours is taken, in milliseconds: it may have
/// been cut off for that long before it could say so.
const CLOCK_BEHIND_MS: u64 = 60 * 60 * 1000;

/// A report that fits its bounds: one that does not is the end of an attempt that broke the rules.
pub(super) fn bounded_report(mut report: Report) -> Report {
    for printed in [&mut report.logs.stdout, &mut report.logs.stderr] {
        report.logs.truncated |= printed.len() > MAX_LOG_BYTES;
        printed.truncate(MAX_LOG_BYTES);
    }
    let what = if report.result.len() as u64 > MAX_RESULT_BYTES {
        "the worker sent a result that is too long"
    } else if text_bytes(&report.outcome) > MAX_TEXT_BYTES {
        "the worker sent an outcome that is too long"
    } else if !report.outcome.is_success() && !report.result.is_empty() {
        // Kept by nobody, and not worth a refusal.
        return Report { result: Vec::new(), ..report };
    } else {
        return report;
    };
    let outcome = Outcome::ProtocolViolation { what: what.to_owned() };
    Report { outcome, usage: report.usage, logs: Logs::default(), result: Vec::new() }
}

/// Bytes of all texts in an outcome.
fn text_bytes(outcome: &Outcome) -> usize {
    let optional = |text: &Option<String>| text.as_ref().map_or(0, String::len);
    match outcome {
        Outcome::FunctionError { code, message, .. } => code.len() + message.len(),
        Outcome::InvalidInput { path, message } => path.len() + message.len(),
        Outcome::Panicked { message, location } => message.len() + optional(location),
        Outcome::Crashed { signal } => signal.len(),
        Outcome::PolicyViolation { syscall, .. } => optional(syscall),
        Outcome::ProtocolViolation { what } => what.len(),
        Outcome::LoadFailed { reason } => reason.len(),
        Outcome::SetupFailed { step, .. } => step.len(),
        Outcome::Succeeded
        | Outcome::Exited { .. }
        | Outcome::TimedOut { .. }
        | Outcome::OutOfMemory { .. }
        | Outcome::LimitExceeded { .. }
        | Outcome::Cancelled
        | Outcome::WorkerLost
        | Outcome::Expired => 0,
    }
}

/// A progress that fits its bounds.
pub(super) fn bounded_progress(mut progress: Progress) -> Progress {
    // Not a number is no progress.
    progress.fraction = if progress.fraction.is_nan() { 0.0 } else { progress.fraction.clamp(0.0, 1.0) };
    progress.message.truncate(progress.message.floor_char_boundary(MAX_PROGRESS_BYTES));
    progress
}

/// When an attempt began: by the worker's clock if that can be true, else by ours.
pub(in crate::dispatcher) fn plausible_start_ms(worker_ms: u64, now_ms: u64) -> u64 {
    let plausible = now_ms.saturating_sub(CLOCK_BEHIND_MS)..=now_ms.saturating_add(CLOCK_AHEAD_MS);
    if plausible.contains(&worker_ms) { worker_ms } else { now_ms }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(outcome: Outcome, result: usize, stdout: usize) -> Report {
        let logs = Logs { stdout: vec![0; stdout], ..Logs::default() };
        Report { logs, result: vec![0; result], ..Report::without_process(outcome) }
    }

    #[test]
    fn a_report_beyond_a_bound_ends_as_a_broken_rule() {
        let longest = usize::try_from(MAX_RESULT_BYTES).unwrap();
        let text = |bytes| Outcome::Panicked { message: "m".repeat(bytes), location: None };
        for fits in [
            report(Outcome::Succeeded, longest, 0),
            report(Outcome::Succeeded, 1, MAX_LOG_BYTES),
            report(text(MAX_TEXT_BYTES), 0, 1),
        ] {
            assert_eq!(bounded_report(fits.clone()), fits);
        }
        for beyond in [report(Outcome::Succeeded, longest + 1, 0), report(text(MAX_TEXT_BYTES + 1), 0, 1)] {
            let bounded = bounded_report(beyond);
            assert!(matches!(bounded.outcome, Outcome::ProtocolViolation { .. }));
            assert_eq!((bounded.result, bounded.logs), (Vec::new(), Logs::default()));
        }
        assert_eq!(bounded_report(report(Outcome::Expired, 3, 0)), report(Outcome::Expired, 0, 0));
        let cut = bounded_report(report(Outcome::Succeeded, 1, MAX_LOG_BYTES + 1));
        assert_eq!((cut.logs.stdout.len(), cut.logs.truncated), (MAX_LOG_BYTES, true));
        assert!(cut.outcome.is_success());
    }

    #[test]
    fn a_progress_is_a_fraction_and_a_short_text() {
        let progress = |fraction: f64, message: &str| Progress { fraction, message: message.to_owned() };
        assert_eq!(bounded_progress(progress(0.5, "half")), progress(0.5, "half"));
        assert_eq!(bounded_progress(progress(f64::NAN, "")), progress(0.0, ""));
        assert_eq!(bounded_progress(progress(7.0, "")), progress(1.0, ""));
        assert_eq!(bounded_progress(progress(-1.0, "")), progress(0.0, ""));
        // Two bytes a letter, so that the bound falls inside one.
        let message = bounded_progress(progress(0.0, &format!("a{}", "é".repeat(MAX_PROGRESS_BYTES)))).message;
        assert_eq!(message.len(), MAX_PROGRESS_BYTES - 1);
    }

    #[test]
    fn a_start_that_cannot_be_is_now() {
        const NOW_MS: u64 = 10 * CLOCK_BEHIND_MS;
        for plausible in [NOW_MS, NOW_MS + CLOCK_AHEAD_MS, NOW_MS - CLOCK_BEHIND_MS] {
            assert_eq!(plausible_start_ms(plausible, NOW_MS), plausible);
        }
        for wrong in [0, u64::MAX, NOW_MS + CLOCK_AHEAD_MS + 1, NOW_MS - CLOCK_BEHIND_MS - 1] {
            assert_eq!(plausible_start_ms(wrong, NOW_MS), NOW_MS);
        }
    }
}
