//! A slot's keeper: a fork of the zygote that joins the slot's cgroups once and then forks the slot's children in them.
//! Moving a process between cgroups waits for all processors of the machine, being forked in one does not; and each core
//! has a process that forks. Like the zygote it is single-threaded, and not believed by anybody.

use std::os::fd::OwnedFd;

use bulkhead_abi::PluginRef;
use bulkhead_protocol::packet;
use bulkhead_protocol::runner_message::{KeeperCommand, Setup};
use bulkhead_protocol::slot::Layout;
use nix::errno::Errno;

use crate::child::{self, SetupStep, fail, folder};
use crate::fork_table::ForkTable;
use crate::init::exit;
use crate::sandbox::landlock::{self, Fence};
use crate::sandbox::{root, seccomp};
use crate::slot_memory::SlotMemory;

/// What a keeper has for its slot's children.
pub(crate) struct Keeper {
    /// The memory shared with the host.
    pub(crate) memory: SlotMemory,
    /// Write end of the slot's stdout pipe.
    pub(crate) stdout: OwnedFd,
    /// Write end of the slot's stderr pipe.
    pub(crate) stderr: OwnedFd,
    /// Wakes the host when a warm child has published; only with `reuse`.
    pub(crate) published: Option<OwnedFd>,
    /// The fence around the slot's folder, where the kernel has Landlock.
    pub(crate) fence: Option<Fence>,
    /// The slot's folder.
    pub(crate) folder: String,
}

/// Runs a keeper with the descriptors that came with the command.
pub(crate) fn run(
    setup: &Setup,
    slot: u32,
    fds: Vec<OwnedFd>,
    mut killing_group: Option<OwnedFd>,
    table: ForkTable,
    plugin: PluginRef,
) -> ! {
    let mut fds = fds.into_iter();
    let mut next = || fds.next().unwrap_or_else(|| exit(1));
    let (socket, memory, stdout, stderr) = (next(), next(), next(), next());
    let published = setup.reuse.then(next);
    // Without its slot a keeper can tell nobody anything.
    let Ok(memory) = SlotMemory::map(&memory, Layout::new(setup.limits.result_bytes)) else { exit(1) };
    let folder = root::slot_folder(slot);
    let fence = prepare(setup, &folder, fds.collect(), table).unwrap_or_else(|(step, errno)| fail(memory, step, errno));
    let keeper = Keeper { memory, stdout, stderr, published, fence, folder };
    loop {
        match packet::receive::<KeeperCommand>(&socket) {
            Ok(Some((KeeperCommand::Fork { generation }, _))) => {
                let pid = table.announce(slot, generation).unwrap_or_else(|| exit(1));
                match fork(pid) {
                    Ok(0) => {
                        // Not for a child to write to.
                        drop(killing_group);
                        child::run(setup, &keeper, plugin)
                    }
                    Ok(_) => {}
                    Err(errno) => fail(memory, SetupStep::Fork, errno),
                }
                // Now, as it moves the whole process, which takes milliseconds that the first call would wait for. The slot
                // is that call's by now: a keeper that cannot join says nothing there, and the next child gets another.
                if let Some(procs) = killing_group.take() {
                    join(&procs).unwrap_or_else(|_| exit(1));
                }
            }
            // The host is gone, or gives the slot up.
            Ok(None) | Err(_) => exit(0),
        }
    }
}

/// What children inherit.
fn prepare(
    setup: &Setup,
    folder: &str,
    cgroups: Vec<OwnedFd>,
    table: ForkTable,
) -> Result<Option<Fence>, (SetupStep, Errno)> {
    let at = |step| move |errno| (step, errno);
    table.hide_from_children().map_err(at(SetupStep::Fork))?;
    // Before it joins the group: the files of an earlier call may have used up the group's memory.
    folder::clean(folder).map_err(at(SetupStep::CleanFolder))?;
    for procs in &cgroups {
        join(procs).map_err(at(SetupStep::JoinCgroup))?;
    }
    nix::unistd::chdir(folder).map_err(at(SetupStep::CleanFolder))?;
    set_environment(folder);
    landlock::fence(folder, setup.limits.grants).map_err(at(SetupStep::Fence))
}

/// Joins a group by its file.
pub(crate) fn join(procs: &OwnedFd) -> nix::Result<()> {
    // "0" stands for the writer itself.
    nix::unistd::write(procs, b"0").map(drop)
}

/// The environment of a function: nothing of the host's.
#[expect(unsafe_code, reason = "setting variables is unsafe where there are threads")]
fn set_environment(folder: &str) {
    for (name, value) in [("TMPDIR", folder), ("HOME", folder), ("LANG", "C.UTF-8")] {
        // SAFETY: a keeper has one thread.
        unsafe { std::env::set_var(name, value) };
    }
}

/// Forks a process whose parent is init. The kernel notes its pid before it runs.
#[expect(unsafe_code, reason = "no safe wrapper has these flags")]
pub(crate) fn fork(pid: *mut i32) -> nix::Result<i32> {
    // SAFETY: zygote and keepers have one thread, so their copy is whole; `pid` points into the shared table,
    // where only the kernel and init write.
    let result = unsafe { libc::syscall(libc::SYS_clone, seccomp::CHILD_FORK, 0, pid, 0, 0) };
    Errno::result(result).map(|pid| pid as i32)
}
