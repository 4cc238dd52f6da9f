//! Init, PID 1 of the sandbox: builds it, starts the zygote, then reaps and kills, and has refused
//! system calls told to it. Our code only:
//! it never loads a plugin, so the host believes what it says. When it exits, for whatever reason,
//! the kernel kills everything in its pid namespace.

use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};

use bulkhead_protocol::packet;
use bulkhead_protocol::runner_message::{HostIds, INIT_ID, InitCommand, InitReport, PLUGIN_ID, ProcessEnd, Setup};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
use nix::unistd::{ForkResult, Pid, fork};

use crate::fork_table::ForkTable;
use crate::keeper;
use crate::reaper::Reaper;
use crate::sandbox::privileges::{self, Keep};
use crate::sandbox::root;
use crate::step::{Step, StepError};
use crate::supervisor::Supervisor;
use crate::warm;
use crate::zygote;

/// Exit code of a zygote whose own set-up failed and was reported.
pub(crate) const REPORTED: i32 = 250;

/// Runs init.
pub(crate) fn run(control: &OwnedFd, setup: &Setup, mut fds: Vec<OwnedFd>) -> ! {
    if fds.is_empty() {
        exit(1);
    }
    let cgroups = fds.split_off(1);
    let Some(zygote_socket) = fds.pop() else { exit(1) };
    match start(control, setup, zygote_socket, cgroups) {
        Ok(init) => {
            let supervised = init.supervisor.listener().is_some();
            if packet::send(control, &InitReport::Listening { supervised }, &[]).is_err() {
                exit(0);
            }
            init.serve(control)
        }
        Err(StepError { step, errno }) => {
            let _ = packet::send(control, &InitReport::SetupFailed { step: step.to_owned(), errno: errno as i32 }, &[]);
            exit(1)
        }
    }
}

/// Init once its sandbox stands.
struct Init {
    /// The process that forks children.
    zygote: Pid,
    /// Which child is whose.
    table: ForkTable,
    /// Children's ends, as readable events.
    signals: SignalFd,
    /// Told of refused system calls.
    supervisor: Supervisor,
    /// Reaps, and kills what a child leaves.
    reaper: Reaper,
}

fn start(control: &OwnedFd, setup: &Setup, zygote_socket: OwnedFd, cgroups: Vec<OwnedFd>) -> Result<Init, StepError> {
    // Children's ends arrive as readable events, so that one poll waits for them and for the host.
    let mut child_ended = SigSet::empty();
    child_ended.add(Signal::SIGCHLD);
    child_ended.thread_block().step("block SIGCHLD")?;
    let signals =
        SignalFd::with_flags(&child_ended, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK).step("make a signalfd")?;
    join_cgroups(&cgroups)?;
    drop(cgroups);
    privileges::become_unreachable_by_ptrace()?;
    zygote::preload(&setup.preload)?;
    // While there is a /proc to see the mappings in.
    warm::copy_page_tables()?;
    nix::unistd::sethostname("bulkhead").step("set the host name")?;
    let id = match setup.ids {
        HostIds::Own { .. } => INIT_ID,
        HostIds::User { .. } => PLUGIN_ID,
    };
    root::build(setup, || privileges::become_user(id, setup.ids))?;
    let table = ForkTable::map(setup.slots).step("map the fork table")?;
    let (handover, zygote_handover) =
        socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC).step("make a socket")?;
    let zygote = fork_zygote(control, setup, [zygote_socket, zygote_handover], table)?;
    privileges::drop_capabilities(Keep::Kill)?;
    privileges::become_unreachable_by_ptrace()?;
    let supervisor = Supervisor::take_over(&handover, setup.slots);
    let reaper = Reaper::new(setup.limits.grants.processes);
    Ok(Init { zygote, table, signals, supervisor, reaper })
}

fn join_cgroups(cgroups: &[OwnedFd]) -> Result<(), StepError> {
    for procs in cgroups {
        keeper::join(procs).step("join the runner's cgroup")?;
    }
    Ok(())
}

#[expect(unsafe_code, reason = "fork is unsafe where there are threads")]
fn fork_zygote(
    control: &OwnedFd,
    setup: &Setup,
    [socket, handover]: [OwnedFd; 2],
    table: ForkTable,
) -> Result<Pid, StepError> {
    // SAFETY: init has one thread.
    match unsafe { fork() }.step("fork the zygote")? {
        ForkResult::Parent { child } => Ok(child),
        ForkResult::Child => {
            let control = control.as_raw_fd();
            // The zygote must not be able to speak as init.
            let _ = nix::unistd::close(control);
            zygote::run(setup, &socket, handover, table)
        }
    }
}

impl Init {
    /// Reaps and kills until the host closes its socket.
    fn serve(mut self, control: &OwnedFd) -> ! {
        loop {
            let [ended, commanded, refused] = self.wait(control);
            // Before any end, so that an end comes with its cause.
            if refused {
                self.supervisor.attend(self.zygote, self.table);
            }
            if ended {
                let _ = self.signals.read_signal();
                self.reap(control);
            }
            if commanded {
                match packet::receive::<InitCommand>(control) {
                    Ok(Some((InitCommand::Kill { slot, generation }, _))) => self.kill_child(slot, generation),
                    Ok(Some((InitCommand::Identify { slot, generation }, _))) => {
                        self.identify(control, slot, generation);
                    }
                    // The host is gone, or not itself: take everything down.
                    Ok(None) | Err(_) => exit(0),
                }
            }
        }
    }

    /// Waits for the end of a child, for a command, and for a refused system call.
    fn wait(&self, control: &OwnedFd) -> [bool; 3] {
        let listener = self.supervisor.listener();
        let fds = [Some(self.signals.as_fd()), Some(control.as_fd()), listener];
        let mut events: Vec<_> = fds.into_iter().flatten().map(|fd| PollFd::new(fd, PollFlags::POLLIN)).collect();
        match poll(&mut events, PollTimeout::NONE) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(_) => exit(1),
        }
        std::array::from_fn(|index| events.get(index).is_some_and(|event| event.any().unwrap_or(true)))
    }

    fn kill_child(&mut self, slot: u32, generation: u32) {
        self.supervisor.note_kill(slot, generation);
        let Some(pid) = self.table.pid(slot, generation) else { return };
        // The zygote could have written any number there, but whatever it names is in this pid
        // namespace. Never init itself: a process cannot be its own child.
        if pid > 1 {
            self.reaper.kill(Pid::from_raw(pid));
        }
    }

    fn identify(&self, control: &OwnedFd, slot: u32, generation: u32) {
        let pidfd = self.table.pid(slot, generation).filter(|pid| *pid > 1).and_then(open_pidfd);
        let fds: Vec<_> = pidfd.iter().map(AsRawFd::as_raw_fd).collect();
        if packet::send(control, &InitReport::Identified { slot, generation }, &fds).is_err() {
            exit(0);
        }
    }

    fn reap(&mut self, control: &OwnedFd) {
        let table = self.table;
        while let Some((pid, end)) = self.reaper.next(|pid| table.child(pid).is_some()) {
            let report = if pid == self.zygote.as_raw() {
                InitReport::ZygoteEnded { end: ProcessEnd { denied: self.supervisor.zygote_cause(), ..end } }
            } else if let Some((slot, generation)) = self.table.remove(pid) {
                let denied = self.supervisor.cause(slot, generation);
                let report = InitReport::ChildEnded { slot, generation, end: ProcessEnd { denied, ..end } };
                let Some(report) = self.reaper.hold(pid, report) else { continue };
                report
            } else if let Some((slot, child)) = table.remove_keeper(pid) {
                InitReport::KeeperEnded { slot, child }
            } else {
                // An orphan of a child that may make processes; the host knows nothing of it.
                continue;
            };
            tell(control, &report);
        }
        for report in self.reaper.released() {
            tell(control, &report);
        }
    }
}

fn tell(control: &OwnedFd, report: &InitReport) {
    if packet::send(control, report, &[]).is_err() {
        exit(0);
    }
}

/// A hold of a child; none of one that is gone. Nobody else reaps here, so the number is still its own.
#[expect(unsafe_code, reason = "pidfd_open has no wrapper")]
fn open_pidfd(pid: i32) -> Option<OwnedFd> {
    // SAFETY: takes numbers and touches no memory.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
    let fd = i32::try_from(fd).ok().filter(|fd| *fd >= 0)?;
    // SAFETY: the kernel has just made this descriptor for us.
    Some(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Ends this process at once: no destructor, no atexit handler.
#[expect(unsafe_code, reason = "_exit is a foreign function")]
pub(crate) fn exit(code: i32) -> ! {
    // SAFETY: _exit takes any code and does not return.
    unsafe { libc::_exit(code) }
}
