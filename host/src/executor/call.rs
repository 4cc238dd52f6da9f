//! One call in a slot, from request to report: waits for its end, kills when it must, and gathers
//! the evidence that [`super::verdict`] decides on.

use std::os::fd::OwnedFd;
use std::time::Duration;

use bulkhead_protocol::limits::Limits;
use bulkhead_protocol::outcome::{Outcome, Report, Usage};
use bulkhead_protocol::runner_message::{ExitStatus, InitCommand, ProcessEnd};
use bulkhead_protocol::slot::state;
use nix::time::{ClockId, clock_gettime};
use tokio::io::unix::AsyncFd;
use tokio::sync::oneshot;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::output::OutputCollector;
use super::packet_socket::PacketSocket;
use super::slot::{ChildEnd, Slot};
use super::slot_memory::SlotMemory;
use super::verdict::{Evidence, KillCause, Verdict, decide, not_forked, output_bytes, read_response};

/// How long a killed child may take to be reaped before its call is answered without it. A process
/// with a SIGKILL pending runs no instruction of its own any more; its slot is given up.
pub(super) const REAP_TIMEOUT: Duration = Duration::from_secs(1);

/// How a call was over.
pub(super) enum Over {
    /// Its process ended and was reaped.
    Ended(ProcessEnd),
    /// A warm child published and lives on.
    Published,
    /// There never was a process.
    NotForked,
    /// The runner ended.
    RunnerLost,
    /// It was killed, and not reaped within [`REAP_TIMEOUT`].
    NotReaped,
}

/// What a call needs of its runner.
pub(super) struct Surroundings<'a> {
    /// To init, which kills.
    pub(super) control: &'a PacketSocket,
    /// Cancelled when the runner is gone.
    pub(super) lost: &'a CancellationToken,
    /// What the call may use.
    pub(super) limits: &'a Limits,
    /// Whether refused system calls are told.
    pub(super) supervised: bool,
}

/// Sees a call through. `request` is called once the clock runs, with the deadline on
/// `CLOCK_MONOTONIC` in nanoseconds.
pub(super) async fn converse(
    slot: &mut Slot,
    around: &Surroundings<'_>,
    timeout: Duration,
    cancel: &CancellationToken,
    request: impl FnOnce(&SlotMemory, u64),
) -> (Report, Over) {
    let begun = Instant::now();
    request(&slot.memory, deadline_ns(timeout));
    let mut output = OutputCollector::new(around.limits.log_bytes, around.limits.output_bytes);
    let (over, killed) = attend(slot, around, begun, timeout, cancel, &mut output).await;
    let report = conclude(slot, around, &over, killed, output, begun.elapsed());
    (report, over)
}

/// Waits until the call is over, one way or another, and kills its child when it must.
async fn attend(
    slot: &mut Slot,
    around: &Surroundings<'_>,
    begun: Instant,
    timeout: Duration,
    cancel: &CancellationToken,
    output: &mut OutputCollector,
) -> (Over, Option<KillCause>) {
    let Slot { index, generation, memory, stdout, stderr, published: event, ended, cgroup, .. } = slot;
    let kill = InitCommand::Kill { slot: *index, generation: *generation };
    let mut killed = None;
    let mut deadline = begun + timeout;
    loop {
        let cause = tokio::select! {
            biased;
            end = &mut *ended => return (Over::from(end), killed),
            () = published(event.as_ref(), memory), if killed.is_none() => return (Over::Published, killed),
            () = around.lost.cancelled() => return (Over::RunnerLost, killed),
            () = cancel.cancelled(), if killed.is_none() => KillCause::Cancelled,
            flooded = output.read(stdout, stderr) => {
                if !flooded || killed.is_some() {
                    continue;
                }
                KillCause::Output
            }
            () = tokio::time::sleep_until(deadline) => {
                if killed.is_some() {
                    // Init has been told in vain; whatever else is in the group goes with it.
                    if let Some(group) = cgroup {
                        group.kill();
                    }
                    return (Over::NotReaped, killed);
                }
                KillCause::Timeout { limit_ms: u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX) }
            }
        };
        killed = Some(cause);
        deadline = Instant::now() + REAP_TIMEOUT;
        if around.control.send(&kill, &[]).await.is_err() {
            return (Over::RunnerLost, killed);
        }
    }
}

/// Waits until a warm child has published; for ever where children end with their call.
async fn published(event: Option<&AsyncFd<OwnedFd>>, memory: &SlotMemory) {
    let Some(event) = event else { return std::future::pending().await };
    loop {
        let Ok(mut ready) = event.readable().await else { return std::future::pending().await };
        // Never read: each signal wakes anew, as the reactor asks for edges, epoll(7). A read could wait
        // for ever, because the child has the same open file and may take its O_NONBLOCK away.
        ready.clear_ready();
        if memory.response().state == state::PUBLISHED {
            return;
        }
        // A signal without a response is a plugin's own doing. One that sends them without end must
        // not keep this task from looking at its clock.
        tokio::task::coop::consume_budget().await;
    }
}

/// When a call that begins now will be killed, on the clock that the child can read.
fn deadline_ns(timeout: Duration) -> u64 {
    let Ok(now) = clock_gettime(ClockId::CLOCK_MONOTONIC) else { return 0 };
    let deadline = Duration::from(now) + timeout;
    u64::try_from(deadline.as_nanos()).unwrap_or(u64::MAX)
}

fn conclude(
    slot: &mut Slot,
    around: &Surroundings<'_>,
    over: &Over,
    killed: Option<KillCause>,
    mut output: OutputCollector,
    wall: Duration,
) -> Report {
    let end = match over {
        Over::Ended(end) => Some(*end),
        Over::NotReaped => Some(NOT_REAPED),
        Over::Published => None,
        Over::NotForked => return Report::without_process(not_forked(slot.memory.response())),
        Over::RunnerLost => return platform("reach the runner, which has ended", 0),
    };
    output.finish(&slot.stdout, &slot.stderr);
    let flooded = output.is_flooded();
    let logs = output.into_logs();
    let out_of_memory = end.is_some_and(|end| end.status == SIGKILLED) && slot.ran_out_of_memory();
    let evidence = Evidence {
        killed,
        end,
        response: slot.memory.response(),
        flooded,
        out_of_memory,
        stderr: &logs.stderr,
        limits: around.limits,
        supervised: around.supervised,
    };
    let (outcome, result) = match decide(&evidence) {
        Verdict::Ended(outcome) => (outcome, Vec::new()),
        Verdict::Answered => answer(&slot.memory, around.limits),
    };
    Report { outcome, usage: usage(slot, end, wall), logs, result }
}

/// Stands for the end of a child that is killed but not reaped.
const NOT_REAPED: ProcessEnd = ProcessEnd { status: SIGKILLED, user_us: 0, system_us: 0, max_rss_kib: 0, denied: None };
const SIGKILLED: ExitStatus = ExitStatus::Signal(libc::SIGKILL);

pub(super) fn answer(memory: &SlotMemory, limits: &Limits) -> (Outcome, Vec<u8>) {
    // Read again, and once: lengths are checked against this copy and no other.
    let response = memory.response();
    match output_bytes(response, memory.layout().output_capacity()).and_then(|bytes| memory.output(bytes)) {
        Some(output) => read_response(response, output, limits),
        None => {
            let what = format!("a response of {} bytes does not fit in the slot", response.bytes);
            (Outcome::ProtocolViolation { what }, Vec::new())
        }
    }
}

fn usage(slot: &Slot, end: Option<ProcessEnd>, wall: Duration) -> Usage {
    let wall_us = u64::try_from(wall.as_micros()).unwrap_or(u64::MAX);
    let (user_us, system_us, max_rss_kib) = match end {
        Some(end) => (end.user_us, end.system_us, end.max_rss_kib),
        None => {
            let now = slot.memory.own_usage();
            let user_us = now.user_us.saturating_sub(slot.used.user_us);
            (user_us, now.system_us.saturating_sub(slot.used.system_us), now.max_rss_kib)
        }
    };
    Usage { wall_us, user_us, system_us, peak_memory_bytes: max_rss_kib.saturating_mul(1024) }
}

/// The report of a call that the platform could not run.
pub(super) fn platform(step: &str, errno: i32) -> Report {
    Report::without_process(Outcome::SetupFailed { step: step.to_owned(), errno })
}

impl From<Result<ChildEnd, oneshot::error::RecvError>> for Over {
    fn from(end: Result<ChildEnd, oneshot::error::RecvError>) -> Self {
        match end {
            Ok(ChildEnd::Ended(end)) => Self::Ended(end),
            Ok(ChildEnd::NotForked) => Self::NotForked,
            Err(_) => Self::RunnerLost,
        }
    }
}
