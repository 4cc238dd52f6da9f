//! A slot: room for one running attempt in a runner, with its memory, its pipes, and the child that
//! waits in it.

use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;

use bulkhead_protocol::limits::Limits;
use bulkhead_protocol::runner_message::ProcessEnd;
use bulkhead_protocol::slot::Layout;
use nix::errno::Errno;
use nix::sys::eventfd::{EfdFlags, EventFd};
use tokio::io::unix::AsyncFd;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::cgroup::Leaf;
use super::output::OutputPipe;
use super::reactor::watch;
use super::slot_memory::{OwnUsage, SlotMemory};
use super::warm_child::WarmChild;

/// A step that failed, to follow "failed to", and what the system said.
pub(super) type StepError = (&'static str, Errno);

/// A slot with its child.
pub(super) struct Slot {
    pub(super) index: u32,
    /// Counts this slot's children, so that none is taken for another.
    pub(super) generation: u32,
    pub(super) memory: Arc<SlotMemory>,
    pub(super) stdout: OutputPipe,
    pub(super) stderr: OutputPipe,
    /// Signalled when a warm child has published; `None` where children end with their call.
    pub(super) published: Option<AsyncFd<OwnedFd>>,
    /// The group that its children join.
    pub(super) cgroup: Option<Leaf>,
    /// The kernel's count of kills for lack of memory when it was last looked at.
    oom_kills: u64,
    /// Tells the child's end.
    pub(super) ended: oneshot::Receiver<ChildEnd>,
    /// Calls that this child has served.
    pub(super) calls: u32,
    /// When it was forked.
    pub(super) forked_at: Instant,
    /// What it had used before the present call.
    pub(super) used: OwnUsage,
    /// A hold of it from outside; only of a warm child that has served a call.
    pub(super) warm: Option<WarmChild>,
}

/// How a child ended, or why there never was one.
#[derive(Clone, Copy, Debug)]
pub(super) enum ChildEnd {
    /// It was reaped.
    Ended(ProcessEnd),
    /// The zygote could not fork it: the system's error number.
    NotForked(i32),
}

/// The ends that a runner gets of a new slot. Sent to the zygote, then closed here.
pub(super) struct ZygoteEnds {
    stdout: OwnedFd,
    stderr: OwnedFd,
}

impl Slot {
    /// Makes a slot without a child.
    pub(super) fn create(
        index: u32,
        limits: &Limits,
        reuse: bool,
        cgroup: Option<Leaf>,
    ) -> Result<(Self, ZygoteEnds), StepError> {
        let memory =
            SlotMemory::create(Layout::new(limits.result_bytes)).map_err(|errno| ("make a slot's memory", errno))?;
        let pipe = || OutputPipe::create().map_err(|errno| ("make a pipe", errno));
        let ((stdout, stdout_end), (stderr, stderr_end)) = (pipe()?, pipe()?);
        let published = if reuse { Some(make_eventfd().map_err(|errno| ("make an eventfd", errno))?) } else { None };
        let slot = Self {
            index,
            generation: 0,
            memory: Arc::new(memory),
            stdout,
            stderr,
            published,
            oom_kills: cgroup.as_ref().map_or(0, Leaf::oom_kills),
            cgroup,
            // Closed until the first fork.
            ended: oneshot::channel().1,
            calls: 0,
            forked_at: Instant::now(),
            used: OwnUsage::default(),
            warm: None,
        };
        Ok((slot, ZygoteEnds { stdout: stdout_end, stderr: stderr_end }))
    }

    /// What goes with [`bulkhead_protocol::runner_message::ZygoteCommand::Attach`], in its order.
    pub(super) fn descriptors(&self, ends: &ZygoteEnds) -> Vec<i32> {
        let mut fds = vec![self.memory.file().as_raw_fd(), ends.stdout.as_raw_fd(), ends.stderr.as_raw_fd()];
        fds.extend(self.published.as_ref().map(|event| event.get_ref().as_raw_fd()));
        fds.extend(self.cgroup.iter().flat_map(Leaf::procs).map(AsRawFd::as_raw_fd));
        fds
    }

    /// Whether the kernel has killed for lack of memory since this was last asked. Asked only after a
    /// SIGKILL, as it reads a file.
    pub(super) fn ran_out_of_memory(&mut self) -> bool {
        let before = self.oom_kills;
        self.oom_kills = self.cgroup.as_ref().map_or(0, Leaf::oom_kills);
        self.oom_kills > before
    }

    /// Gets ready for a new child and gives the place where its end is to be told.
    pub(super) fn expect_child(&mut self) -> oneshot::Sender<ChildEnd> {
        self.generation = self.generation.wrapping_add(1);
        self.calls = 0;
        self.forked_at = Instant::now();
        self.used = OwnUsage::default();
        self.warm = None;
        let (tell, ended) = oneshot::channel();
        self.ended = ended;
        tell
    }
}

fn make_eventfd() -> nix::Result<AsyncFd<OwnedFd>> {
    let event = EventFd::from_value_and_flags(0, EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?;
    watch(event.into())
}
