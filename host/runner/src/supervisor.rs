//! The supervisor: init's end of the package filter's listener. The kernel tells each call that the
//! filter refuses while its caller waits; init notes whose it was and kills. It never answers, so
//! nothing that was refused is ever carried out, and a caller that is told of first cannot go on.
//!
//! The listener is read here and not in the host because init is the parent of every child: the numbers
//! that the kernel gives are those of its own pid namespace, and no pid that it has not reaped can be
//! given to another process. One function's flood of refused calls keeps one sandbox busy.

#![expect(unsafe_code, reason = "the ioctls of a listener have no wrappers, and nor has tgkill")]

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use bulkhead_protocol::packet;
use bulkhead_protocol::runner_message::DeniedCall;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, getpgid};

use crate::fork_table::ForkTable;

/// Most refused calls that are looked at before init looks at ends and commands again.
const MAX_CALLS_PER_WAKE: usize = 16;
/// Room for the kernel's `struct seccomp_notif`, which may grow: 80 bytes in Linux 6.
const NOTIFICATION_WORDS: usize = 32;

/// What init knows of refused calls.
pub(crate) struct Supervisor {
    /// Where the kernel tells of them; `None` where it cannot, or once nobody is left to tell of.
    listener: Option<OwnedFd>,
    /// By slot: why its present child is being killed, the first cause alone.
    causes: Vec<Option<Cause>>,
    /// The call for which the zygote was killed.
    zygote: Option<DeniedCall>,
}

/// Why a child is being killed.
#[derive(Clone, Copy)]
struct Cause {
    /// Which child of its slot.
    generation: u32,
    /// The refused call; `None` when the host asked first.
    call: Option<DeniedCall>,
}

/// A refused call, and who waits in it.
struct Notification {
    /// The kernel's number for it.
    id: u64,
    /// The thread that made it, in this pid namespace.
    thread: Pid,
    call: DeniedCall,
}

impl Supervisor {
    /// Takes the listener over from the zygote, which sends it before it loads the plugin.
    pub(crate) fn take_over(handover: &OwnedFd, slots: u32) -> Self {
        let listener = match packet::receive::<bool>(handover) {
            Ok(Some((_, fds))) => fds.into_iter().next(),
            // The zygote did not get that far; it says why itself.
            Ok(None) | Err(_) => None,
        };
        Self { listener, causes: vec![None; slots as usize], zygote: None }
    }

    /// What to wait on for refused calls.
    pub(crate) fn listener(&self) -> Option<BorrowedFd<'_>> {
        self.listener.as_ref().map(AsFd::as_fd)
    }

    /// Looks at refused calls, some of them if there are many, and kills whoever made them.
    pub(crate) fn attend(&mut self, zygote: Pid, table: ForkTable) {
        for _ in 0..MAX_CALLS_PER_WAKE {
            let Some(listener) = &self.listener else { return };
            match receive(listener) {
                Ok(Some(notification)) => self.punish(&notification, zygote, table),
                Ok(None) => return,
                // Its caller was killed meanwhile.
                Err(Errno::ENOENT | Errno::EINTR) => {}
                // Nobody is left who could make a call, or no more can be learnt: what is refused now
                // fails with ENOSYS.
                Err(_) => self.listener = None,
            }
        }
    }

    /// Notes that the host asked to kill a child.
    pub(crate) fn note_kill(&mut self, slot: u32, generation: u32) {
        self.note(slot, generation, None);
    }

    /// The refused call for which a child was killed, if it was.
    pub(crate) fn cause(&mut self, slot: u32, generation: u32) -> Option<DeniedCall> {
        let cause = self.causes.get_mut(slot as usize)?.take()?;
        cause.call.filter(|_| cause.generation == generation)
    }

    /// The refused call for which the zygote was killed, if it was.
    pub(crate) fn zygote_cause(&self) -> Option<DeniedCall> {
        self.zygote
    }

    fn punish(&mut self, notification: &Notification, zygote: Pid, table: ForkTable) {
        let thread = notification.thread;
        // A child leads a group of its own, which nothing in it can leave.
        let leader = getpgid(Some(thread)).ok().filter(|group| group.as_raw() > 1);
        let is_zygote = belongs_to(thread, zygote);
        // Only now: as long as the caller waits, its number is nobody else's.
        let listener = self.listener.as_ref();
        if !listener.is_some_and(|listener| is_valid(listener, notification.id)) {
            return;
        }
        if is_zygote {
            self.zygote.get_or_insert(notification.call);
        } else if let Some((leader, (slot, generation))) =
            leader.and_then(|pid| Some((pid, table.child(pid.as_raw())?)))
        {
            self.note(slot, generation, Some(notification.call));
            let _ = kill(leader, Signal::SIGKILL);
        }
        // The number of a thread stands for its whole process, kill(2), so whoever it was is gone now.
        let _ = kill(thread, Signal::SIGKILL);
    }

    fn note(&mut self, slot: u32, generation: u32, call: Option<DeniedCall>) {
        let Some(cause) = self.causes.get_mut(slot as usize) else { return };
        if cause.is_none_or(|cause| cause.generation != generation) {
            *cause = Some(Cause { generation, call });
        }
    }
}

/// Receives a refused call; `None` when there is none.
fn receive(listener: &OwnedFd) -> nix::Result<Option<Notification>> {
    // Receiving waits, whatever the descriptor's flags: so ask first. Nobody else receives here.
    let mut events = [PollFd::new(listener.as_fd(), PollFlags::POLLIN)];
    poll(&mut events, PollTimeout::ZERO)?;
    let found = events[0].revents().unwrap_or(PollFlags::empty());
    if !found.contains(PollFlags::POLLIN) {
        // Hung up: no process has the filter any more.
        return if found.is_empty() { Ok(None) } else { Err(Errno::EPIPE) };
    }
    let mut words = [0u64; NOTIFICATION_WORDS];
    // SAFETY: zeroed, as the kernel asks, aligned, and larger than any notification.
    let result = unsafe { libc::ioctl(listener.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_RECV, words.as_mut_ptr()) };
    Errno::result(result)?;
    // SAFETY: the kernel has filled the structure at the beginning; any bytes make one.
    let notification = unsafe { words.as_ptr().cast::<libc::seccomp_notif>().read() };
    let call = DeniedCall { number: notification.data.nr.cast_unsigned(), arguments: notification.data.args };
    Ok(Some(Notification { id: notification.id, thread: Pid::from_raw(notification.pid.cast_signed()), call }))
}

/// Whether the caller still waits.
fn is_valid(listener: &OwnedFd, id: u64) -> bool {
    // SAFETY: the number lives through the call, which only reads it.
    unsafe { libc::ioctl(listener.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_ID_VALID, &raw const id) == 0 }
}

/// Whether a thread is one of this process.
fn belongs_to(thread: Pid, process: Pid) -> bool {
    // SAFETY: takes numbers and touches no memory; signal 0 is only a question.
    unsafe { libc::syscall(libc::SYS_tgkill, process.as_raw(), thread.as_raw(), 0) == 0 }
}
