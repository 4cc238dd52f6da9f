//! Runs the probe: builds a sandbox around it and has a child each try one act.

use std::sync::Arc;
use std::time::Duration;

use bulkhead_protocol::codec;
use bulkhead_protocol::function::{Function, Isolation};
use bulkhead_protocol::id::{FunctionId, PackageId, TaskId};
use bulkhead_protocol::limits::Limits;
use bulkhead_protocol::outcome::{Outcome, Report};
use bulkhead_protocol::probe::{Act, Surroundings, read_answer};
use bulkhead_protocol::task::Encoding;
use bytes::Bytes;
use nix::errno::Errno;
use tokio_util::sync::CancellationToken;

use crate::executor::Call;
use crate::executor::library_cache::Library;
use crate::executor::runner::{Runner, next_name};
use crate::executor::start::{Launcher, Purpose};

/// How long an act may take: each is over at once, but on a machine under load.
const ACT_TIMEOUT: Duration = Duration::from_secs(10);
/// The wall time of the act that never ends.
const SLEEP_TIMEOUT: Duration = Duration::from_millis(100);

/// What the probe may use; its acts try for more.
fn limits() -> Limits {
    Limits {
        memory_bytes: 64 << 20,
        threads: 8,
        open_files: 32,
        tmp_bytes: 1 << 20,
        tmp_inodes: 64,
        result_bytes: 4 << 10,
        ..Limits::default()
    }
}

/// The slot that is described in and then given up, whose folder acts must not see, and theirs.
const SLOTS: u32 = 2;

/// How much is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::executor) enum Extent {
    /// What nothing else shows: whether children are fenced off from each other.
    Start,
    /// Every act.
    Everything,
}

/// What came of it.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen {
    /// Why no sandbox could be built: the step, and the system's error number.
    pub(super) failure: Option<(String, i32)>,
    /// `/proc/PID/status` of a zygote.
    pub(super) status: String,
    /// What a child saw around itself.
    pub(super) around: Option<Surroundings>,
    /// Whether refused system calls are told to init.
    pub(super) is_supervised: bool,
    /// What came of each act that was tried.
    pub(super) acts: Vec<(Act, Tried)>,
}

/// What came of an act.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Tried {
    /// It was refused, as it should be; by what.
    Refused(String),
    /// It was done.
    Done,
    /// Something else happened.
    Odd(String),
}

/// Builds a sandbox around the probe and tries.
pub(super) async fn run(launcher: &Launcher, extent: Extent) -> Seen {
    let mut seen = Seen::default();
    // Mounted in the plugin's place and not loaded.
    let library = Library { path: "/dev/null".into(), preload: Vec::new(), probe: true };
    let limits = limits();
    let purpose = Purpose { library: &library, limits: &limits, reuse: false, slots: SLOTS, name: &next_name() };
    let started = match launcher.start(purpose).await {
        Ok(started) => started,
        Err(outcome) => {
            seen.failure = Some(failed_step(outcome));
            return seen;
        }
    };
    seen.is_supervised = started.supervised;
    seen.status = started.sandbox.zygote_status().unwrap_or_default();
    let runner = Runner::new(started, limits, false, SLOTS);
    match runner.describe(ACT_TIMEOUT).await {
        Ok(described) => seen.around = codec::decode_untrusted(&described).ok(),
        Err(outcome) => seen.failure = Some(failed_step(outcome)),
    }
    let acts = match extent {
        Extent::Start => &[Act::OpenSibling][..],
        Extent::Everything => &Act::ALL,
    };
    // Where even a description failed, every act would fail for the same reason.
    for act in acts.iter().filter(|_| seen.failure.is_none()) {
        let timeout = if *act == Act::SleepForever { SLEEP_TIMEOUT } else { ACT_TIMEOUT };
        let (report, slot) = runner.run(&call(*act, timeout), &CancellationToken::new(), |_| {}).await;
        if let Some(slot) = slot {
            runner.put_back(slot).await;
        }
        seen.acts.push((*act, judge(*act, &report)));
    }
    runner.end().await;
    seen
}

fn failed_step(outcome: Outcome) -> (String, i32) {
    match outcome {
        Outcome::SetupFailed { step, errno } => (step, errno),
        Outcome::LoadFailed { reason } => (format!("start the probe: {reason}"), 0),
        other => (format!("start the probe, which ended as {}", other.kind()), 0),
    }
}

fn call(act: Act, timeout: Duration) -> Call {
    let function = Function {
        id: FunctionId(uuid::Uuid::nil()),
        name: "probe".to_owned(),
        version: 1,
        package: PackageId([0; 32]),
        index: act.index(),
        entry: "probe".to_owned(),
        limits: limits(),
        isolation: Isolation::Fresh,
        description: String::new(),
        registered_at_ms: 0,
    };
    Call {
        task: TaskId(uuid::Uuid::nil()),
        attempt: 1,
        function: Arc::new(function),
        // Its answers are bytes of its own; a result in JSON would be checked.
        encoding: Encoding::Bincode,
        input: Bytes::new(),
        timeout: Some(timeout),
        config: Bytes::new(),
    }
}

/// What a report says of an act.
fn judge(act: Act, report: &Report) -> Tried {
    let refused = |by: &str| Tried::Refused(by.to_owned());
    match (&report.outcome, act) {
        (Outcome::Succeeded, _) => match read_answer(&report.result) {
            Some(0) => Tried::Done,
            Some(errno) => {
                let errno = Errno::from_raw(errno);
                let name = format!("{errno:?}");
                if refusals(act).contains(&errno) { Tried::Refused(name) } else { Tried::Odd(name) }
            }
            None => Tried::Odd("an answer that cannot be read".to_owned()),
        },
        (Outcome::PolicyViolation { syscall: Some(call), .. }, _) => refused(&format!("killed at {call}")),
        (Outcome::PolicyViolation { syscall: None, .. }, _) => refused("killed"),
        (Outcome::OutOfMemory { .. }, Act::MuchMemory)
        | (Outcome::TimedOut { .. }, Act::SleepForever)
        | (Outcome::LimitExceeded { .. }, Act::FillFolder | Act::ManyFiles | Act::ManyThreads) => {
            refused(report.outcome.kind())
        }
        (Outcome::SetupFailed { step, errno }, _) => {
            Tried::Odd(format!("failed to {step}: {}", Errno::from_raw(*errno).desc()))
        }
        (other, _) => Tried::Odd(other.kind().to_owned()),
    }
}

/// The error numbers that show that an act was refused, and not that it went wrong by itself.
fn refusals(act: Act) -> &'static [Errno] {
    match act {
        Act::BecomeRoot => &[Errno::EPERM, Errno::EINVAL],
        Act::ReadProc | Act::ReadHostFile => &[Errno::ENOENT, Errno::EACCES],
        Act::WriteRoot => &[Errno::EROFS, Errno::EACCES],
        Act::MakeDevice => &[Errno::EPERM, Errno::EACCES],
        Act::FillFolder => &[Errno::ENOSPC, Errno::EFBIG],
        Act::OpenSibling | Act::WriteZero => &[Errno::EACCES],
        Act::SignalAll | Act::SignalInit | Act::RaiseLimit | Act::Execute => &[Errno::EPERM, Errno::EACCES],
        Act::NewCode => &[Errno::EPERM, Errno::EACCES],
        Act::Fork => &[Errno::EPERM, Errno::EAGAIN],
        Act::IoUring => &[Errno::ENOSYS, Errno::EPERM],
        Act::Trace | Act::Unshare => &[Errno::EPERM, Errno::ENOSYS],
        Act::SocketInet | Act::SocketUnix | Act::SocketVsock | Act::SocketNetlink => {
            &[Errno::EAFNOSUPPORT, Errno::EPERM, Errno::EACCES]
        }
        Act::ManyFiles => &[Errno::EMFILE],
        Act::ManyThreads => &[Errno::EAGAIN],
        Act::MuchMemory => &[Errno::ENOMEM],
        // It never answers.
        Act::SleepForever => &[],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(errno: i32) -> Report {
        Report { result: errno.to_le_bytes().to_vec(), ..Report::without_process(Outcome::Succeeded) }
    }

    #[test]
    fn only_a_refusal_counts_as_one() {
        assert_eq!(judge(Act::Fork, &answered(0)), Tried::Done);
        assert_eq!(judge(Act::Fork, &answered(libc::EPERM)), Tried::Refused("EPERM".to_owned()));
        // An io_uring that was not set up because of its arguments could be set up with others.
        assert_eq!(judge(Act::IoUring, &answered(libc::EINVAL)), Tried::Odd("EINVAL".to_owned()));
        let crashed = Report::without_process(Outcome::Crashed { signal: "SIGSEGV".to_owned() });
        assert_eq!(judge(Act::Fork, &crashed), Tried::Odd("Crashed".to_owned()));
        let nonsense = Report::without_process(Outcome::Succeeded);
        assert!(matches!(judge(Act::Fork, &nonsense), Tried::Odd(_)));
    }

    #[test]
    fn kills_count_where_they_are_meant_to_happen() {
        let ended = |outcome| Report::without_process(outcome);
        let killed = Outcome::PolicyViolation { syscall: Some("ptrace".to_owned()), args: None };
        assert_eq!(judge(Act::Trace, &ended(killed)), Tried::Refused("killed at ptrace".to_owned()));
        let memory = || ended(Outcome::OutOfMemory { limit_bytes: 1, inferred: false });
        assert_eq!(judge(Act::MuchMemory, &memory()), Tried::Refused("OutOfMemory".to_owned()));
        assert_eq!(judge(Act::Fork, &memory()), Tried::Odd("OutOfMemory".to_owned()));
        let timed_out = ended(Outcome::TimedOut { limit_ms: 1 });
        assert_eq!(judge(Act::SleepForever, &timed_out), Tried::Refused("TimedOut".to_owned()));
        assert_eq!(judge(Act::ReadProc, &timed_out), Tried::Odd("TimedOut".to_owned()));
    }
}
