//! The zygote: gives up everything, loads the plugin once, stays single-threaded and small, and
//! forks a keeper for each slot. Not believed by anybody once the plugin is loaded.

use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;

use bulkhead_protocol::packet;
use bulkhead_protocol::runner_message::{MAX_REASON_BYTES, PLUGIN_ID, Setup, ZygoteCommand, ZygoteReport};
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::signal::SigSet;
use nix::sys::stat::Mode;
use nix::unistd::Pid;

use crate::fork_table::ForkTable;
use crate::init::{REPORTED, exit};
use crate::keeper;
use crate::probe;
use crate::sandbox::{limits, privileges, root, seccomp};
use crate::step::{Step, StepError};
use crate::warm;

/// Runs the zygote.
/// `handover` leads to init, which is given the filter's listener there.
pub(crate) fn run(setup: &Setup, socket: &OwnedFd, handover: OwnedFd, table: ForkTable) -> ! {
    if let Err(StepError { step, errno }) = confine(setup, socket, handover) {
        let _ = packet::send(socket, &ZygoteReport::SetupFailed { step: step.to_owned(), errno: errno as i32 }, &[]);
        exit(REPORTED);
    }
    let loaded = if setup.probe { Ok(probe::plugin()) } else { bulkhead_abi::load(Path::new(root::PLUGIN)) };
    let plugin = match loaded {
        Ok(plugin) => plugin,
        Err(error) => {
            let reason = error.to_string();
            let end = reason.floor_char_boundary(MAX_REASON_BYTES);
            let _ = packet::send(socket, &ZygoteReport::LoadFailed { reason: reason[..end].to_owned() }, &[]);
            exit(REPORTED);
        }
    };
    warm::start_a_thread();
    if packet::send(socket, &ZygoteReport::Loaded, &[]).is_err() {
        exit(0);
    }
    serve(setup, socket, table, plugin)
}

/// Loads system libraries that the plugin names, while their files can still be seen; the plugin
/// then finds them by name among what is loaded.
#[expect(unsafe_code, reason = "dlopen runs constructors")]
pub(crate) fn preload(names: &[String]) -> Result<(), StepError> {
    for name in names {
        // SAFETY: the host names only libraries of glibc and gcc, from the system's own folders.
        let library = unsafe { libloading::os::unix::Library::open(Some(name), libc::RTLD_NOW | libc::RTLD_GLOBAL) };
        let library = library.map_err(|_| Errno::ENOENT).step("load a system library")?;
        // Stays for as long as the process: the plugin points into it.
        std::mem::forget(library);
    }
    Ok(())
}

/// Everything that must hold before the plugin's first instruction.
fn confine(setup: &Setup, socket: &OwnedFd, handover: OwnedFd) -> Result<(), StepError> {
    SigSet::empty().thread_set_mask().step("unblock signals")?;
    // Children begin in this group; who has one of its own has ended its set-up.
    nix::unistd::setpgid(Pid::from_raw(0), Pid::from_raw(0)).step("make a process group")?;
    silence_standard_streams()?;
    close_all_but([socket.as_raw_fd(), handover.as_raw_fd()])?;
    limits::apply(setup)?;
    privileges::become_user(PLUGIN_ID, setup.ids)?;
    privileges::drop_capabilities(privileges::Keep::Nothing)?;
    // Also no core files: a handler that the host pipes them to is not stopped by RLIMIT_CORE, core(5).
    privileges::become_unreachable_by_ptrace()?;
    let listener = seccomp::restrict_package(setup).step("put up the system call filter")?;
    // Whoever has the listener could let calls through. Both ends here are closed before the plugin is
    // loaded; init waits for the packet, so it comes even where there is nothing to give.
    let fds: Vec<_> = listener.iter().map(AsRawFd::as_raw_fd).collect();
    packet::send(&handover, &listener.is_some(), &fds).step("hand the filter's listener over")
}

/// Load-time code may print; nobody listens.
fn silence_standard_streams() -> Result<(), StepError> {
    let null = nix::fcntl::open("/dev/null", OFlag::O_RDWR, Mode::empty()).step("open /dev/null")?;
    nix::unistd::dup2_stdin(&null).step("silence stdin")?;
    nix::unistd::dup2_stdout(&null).step("silence stdout")?;
    nix::unistd::dup2_stderr(&null).step("silence stderr")?;
    if null.as_raw_fd() <= libc::STDERR_FILENO {
        // It got one of the three numbers itself. Were it closed, the first file of a slot would get
        // the number, and every child would keep that file as its stdin.
        std::mem::forget(null);
    }
    Ok(())
}

#[expect(unsafe_code, reason = "close_range closes descriptors by number")]
fn close_all_but(kept: [i32; 2]) -> Result<(), StepError> {
    let mut kept = kept.map(i32::unsigned_abs);
    kept.sort_unstable();
    let [low, high] = kept;
    for (first, last) in [(3, low - 1), (low + 1, high - 1), (high + 1, u32::MAX)] {
        if first <= last {
            // SAFETY: whatever owns these descriptors in this process is never used again.
            let result = unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) };
            Errno::result(result).step("close file descriptors")?;
        }
    }
    Ok(())
}

fn serve(setup: &Setup, socket: &OwnedFd, table: ForkTable, plugin: bulkhead_abi::PluginRef) -> ! {
    loop {
        match packet::receive::<ZygoteCommand>(socket) {
            Ok(Some((ZygoteCommand::Attach { slot, killing_group }, mut fds))) => {
                let killing_group = if killing_group { fds.pop() } else { None };
                let pid = table.announce_keeper(slot).unwrap_or_else(|| exit(1));
                match keeper::fork(pid) {
                    Ok(0) => {
                        // A keeper must not be able to speak as the zygote.
                        let _ = nix::unistd::close(socket.as_raw_fd());
                        keeper::run(setup, slot, fds, killing_group, table, plugin)
                    }
                    Ok(_) => {}
                    // Nothing can run here any more.
                    Err(_) => exit(1),
                }
            }
            // The host is gone; init will take the rest down.
            Ok(None) | Err(_) => exit(0),
        }
    }
}
