//! A slot: room for one running attempt in a runner, with its memory, its pipes, and the child that
//! waits in it, forked by the slot's keeper.

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
use super::packet_socket::PacketSocket;
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
    /// The group of its keeper and children.
    pub(super) cgroup: Option<Leaf>,
    /// The kernel's count of kills for lack of memory when it was last looked at.
    oom_kills: u64,
    /// Forks its children; `None` until there is one.
    pub(super) keeper: Option<Keeper>,
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
    /// The slot's keeper ended before it had forked it. The slot may say why.
    NotForked,
}

/// A slot's keeper, as the host has it.
pub(super) struct Keeper {
    /// To it.
    pub(super) socket: PacketSocket,
    /// Told when init has reaped it.
    pub(super) ended: oneshot::Receiver<()>,
}

/// The ends that a new keeper gets. Sent to the zygote, then closed here.
pub(super) struct KeeperEnds {
    socket: OwnedFd,
    stdout: OwnedFd,
    stderr: OwnedFd,
}

impl Slot {
    /// Makes a slot without keeper and child.
    pub(super) fn create(index: u32, limits: &Limits, reuse: bool, cgroup: Option<Leaf>) -> Result<Self, StepError> {
        let memory =
            SlotMemory::create(Layout::new(limits.result_bytes)).map_err(|errno| ("make a slot's memory", errno))?;
        let ((stdout, _), (stderr, _)) = (make_pipe()?, make_pipe()?);
        let published = if reuse { Some(make_eventfd().map_err(|errno| ("make an eventfd", errno))?) } else { None };
        Ok(Self {
            index,
            generation: 0,
            memory: Arc::new(memory),
            stdout,
            stderr,
            published,
            oom_kills: cgroup.as_ref().map_or(0, Leaf::oom_kills),
            cgroup,
            keeper: None,
            // Closed until the first fork.
            ended: oneshot::channel().1,
            calls: 0,
            forked_at: Instant::now(),
            used: OwnUsage::default(),
            warm: None,
        })
    }

    /// Whether it has a keeper of which nobody has said that it ended.
    pub(super) fn is_kept(&mut self) -> bool {
        let still = |keeper: &mut Keeper| keeper.ended.try_recv() == Err(oneshot::error::TryRecvError::Empty);
        self.keeper.as_mut().is_some_and(still)
    }

    /// Gets ready for a new keeper: what is to be sent for it, and the place where its end is to be told.
    pub(super) fn expect_keeper(&mut self) -> Result<(KeeperEnds, oneshot::Sender<()>), StepError> {
        let (socket, keeper_socket) = PacketSocket::pair().map_err(|errno| ("make a socket", errno))?;
        // New ones, as nobody has the old ends to write to any more.
        let ((stdout, stdout_end), (stderr, stderr_end)) = (make_pipe()?, make_pipe()?);
        (self.stdout, self.stderr) = (stdout, stderr);
        let (tell, ended) = oneshot::channel();
        self.keeper = Some(Keeper { socket, ended });
        Ok((KeeperEnds { socket: keeper_socket, stdout: stdout_end, stderr: stderr_end }, tell))
    }

    /// What goes with [`bulkhead_protocol::runner_message::ZygoteCommand::Attach`], in its order.
    pub(super) fn descriptors(&self, ends: &KeeperEnds) -> Vec<i32> {
        let KeeperEnds { socket, stdout, stderr } = ends;
        let mut fds = [socket, self.memory.file(), stdout, stderr].map(AsRawFd::as_raw_fd).to_vec();
        fds.extend(self.published.as_ref().map(|event| event.get_ref().as_raw_fd()));
        let groups = self.cgroup.iter();
        fds.extend(groups.flat_map(|leaf| leaf.counting().iter().chain(leaf.killing())).map(AsRawFd::as_raw_fd));
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

fn make_pipe() -> Result<(OutputPipe, OwnedFd), StepError> {
    OutputPipe::create().map_err(|errno| ("make a pipe", errno))
}

fn make_eventfd() -> nix::Result<AsyncFd<OwnedFd>> {
    let event = EventFd::from_value_and_flags(0, EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?;
    watch(event.into())
}
