//! A child: prepares itself ahead of need, waits on its slot, runs one call (or, with `reuse`, one
//! after the other) on a thread made after the fork, publishes, and is gone without destructors.

use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::atomic::Ordering;

use bulkhead_abi::{Host, HostRef, PluginRef, RSlice, RSliceMut, RStr, Request, Seed};
use bulkhead_protocol::runner_message::Setup;
use bulkhead_protocol::slot::{SETUP_FAILED_EXIT, request, response};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag};
use nix::unistd::{Pid, getpgrp, setpgid};

use crate::init::exit;
use crate::keeper::Keeper;
use crate::sandbox::landlock::Fence;
use crate::sandbox::{limits, seccomp};
use crate::slot_memory::SlotMemory;

mod callbacks;
pub(crate) mod folder;

/// The steps of a child's set-up and of its keeper's, numbered for [`response::SETUP_FAILED`]. The numbers are known to
/// the host: `executor::verdict` names them. Number 1 is a slot that cannot be mapped.
#[derive(Clone, Copy)]
#[repr(u64)]
pub(crate) enum SetupStep {
    JoinCgroup = 2,
    Descriptors = 3,
    CleanFolder = 4,
    Seed = 5,
    Fence = 6,
    Limits = 7,
    Filter = 8,
    Thread = 9,
    Group = 10,
    Fork = 11,
}

/// Descriptors of a child beyond the standard three.
const PUBLISHED_FD: i32 = 3;

/// Runs a child.
pub(crate) fn run(setup: &Setup, keeper: &Keeper, plugin: PluginRef) -> ! {
    let memory = keeper.memory;
    let seed = prepare(setup, keeper).unwrap_or_else(|(step, errno)| fail(memory, step, errno));
    std::thread::scope(|scope| {
        let function = move || match finish(setup, keeper) {
            Ok(()) => serve(memory, plugin, seed, setup.reuse),
            Err((step, errno)) => fail(memory, step, errno),
        };
        let builder = std::thread::Builder::new().name("function".to_owned());
        match builder.stack_size(limits::STACK_BYTES as usize).spawn_scoped(scope, function) {
            Ok(thread) => {
                let _ = thread.join();
            }
            Err(error) => fail(memory, SetupStep::Thread, Errno::from_raw(error.raw_os_error().unwrap_or(0))),
        }
    });
    // Only reached when the runner itself panicked on that thread.
    exit(1)
}

/// Says why there is no child, in the slot.
pub(crate) fn fail(memory: SlotMemory, step: SetupStep, errno: Errno) -> ! {
    let header = memory.header();
    header.response_detail.store(errno as u32, Ordering::Relaxed);
    memory.publish(response::SETUP_FAILED, step as u64);
    exit(SETUP_FAILED_EXIT)
}

/// Everything that the function's thread is to inherit and the keeper cannot have. No code of the plugin runs meanwhile.
fn prepare(setup: &Setup, keeper: &Keeper) -> Result<Seed, (SetupStep, Errno)> {
    let at = |step| move |errno| (step, errno);
    folder::clean(&keeper.folder).map_err(at(SetupStep::CleanFolder))?;
    let seed = seed().map_err(at(SetupStep::Seed))?;
    // Not the keeper's own: signals end at the fence, and those of a child are not to reach its keeper.
    if let Some(fence) = &keeper.fence {
        fence.restrict().map_err(at(SetupStep::Fence))?;
    }
    keep_only_own_descriptors(keeper).map_err(at(SetupStep::Descriptors))?;
    limits::apply_to_child(setup).map_err(at(SetupStep::Limits))?;
    Ok(seed)
}

/// The end of the set-up, on the function's thread. With the process group ends that init believes of this
/// process that its set-up has failed.
fn finish(setup: &Setup, keeper: &Keeper) -> Result<(), (SetupStep, Errno)> {
    let myself = Pid::from_raw(0);
    let before = getpgrp();
    setpgid(myself, myself).map_err(|errno| (SetupStep::Group, errno))?;
    let scoped_signals = keeper.fence.as_ref().is_some_and(Fence::scopes_signals);
    seccomp::restrict_child(setup, scoped_signals).map_err(|errno| {
        // Nothing of the plugin has run yet, and without the filter nothing forbids this.
        let _ = setpgid(myself, before);
        (SetupStep::Filter, errno)
    })
}

/// stdin stays `/dev/null`; the slot's pipes become stdout and stderr; all else is closed.
fn keep_only_own_descriptors(keeper: &Keeper) -> nix::Result<()> {
    for pipe in [&keeper.stdout, &keeper.stderr] {
        // The flags belong to the pipe's open end, which an earlier call of the slot had as well.
        nix::fcntl::fcntl(pipe, FcntlArg::F_SETFL(OFlag::empty()))?;
    }
    nix::unistd::dup2_stdout(&keeper.stdout)?;
    nix::unistd::dup2_stderr(&keeper.stderr)?;
    let mut next = PUBLISHED_FD;
    if let Some(published) = &keeper.published {
        duplicate(published, PUBLISHED_FD)?;
        next += 1;
    }
    close_from(next)
}

#[expect(unsafe_code, reason = "dup2 and close_range name descriptors by number")]
fn duplicate(from: &OwnedFd, to: i32) -> nix::Result<()> {
    if from.as_raw_fd() == to {
        return Ok(());
    }
    // SAFETY: whatever owned `to` in the keeper is never used in the child.
    Errno::result(unsafe { libc::dup2(from.as_raw_fd(), to) }).map(drop)
}

#[expect(unsafe_code, reason = "close_range closes descriptors by number")]
fn close_from(first: i32) -> nix::Result<()> {
    // SAFETY: whatever owns these descriptors is never used again in the child, which ends without
    // running a destructor.
    Errno::result(unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, 0) }).map(drop)
}

#[expect(unsafe_code, reason = "getrandom fills memory through a pointer")]
fn seed() -> nix::Result<Seed> {
    let mut seed = Seed { bytes: [0; 32] };
    // SAFETY: the buffer is live and of the length given. Up to 256 bytes come whole, getrandom(2).
    Errno::result(unsafe { libc::getrandom(seed.bytes.as_mut_ptr().cast(), seed.bytes.len(), 0) })?;
    Ok(seed)
}

/// Runs what the slot asks for: once, or with `reuse` until the host kills the child.
fn serve(memory: SlotMemory, plugin: PluginRef, seed: Seed, reuse: bool) -> ! {
    // The first code of the plugin in this process.
    if let Some(after_fork) = plugin.after_fork() {
        after_fork(seed);
    }
    let callbacks = callbacks::make(memory);
    loop {
        memory.take_request();
        let (kind, bytes) = answer(memory, plugin, callbacks);
        flush_c_streams();
        if !reuse {
            memory.publish(kind, bytes);
            exit(0);
        }
        note_usage(memory);
        memory.publish(kind, bytes);
        wake_host();
    }
}

fn answer(memory: SlotMemory, plugin: PluginRef, host: HostRef) -> (u32, u64) {
    let header = memory.header();
    if header.request_kind.load(Ordering::Relaxed) == request::DESCRIBE {
        let description = plugin.describe()();
        let output = memory.output();
        // A description larger than the output is larger than the host's own bound on it.
        let length = description.len().min(output.len());
        output[..length].copy_from_slice(&description[..length]);
        return (response::SUCCEEDED, description.len() as u64);
    }
    let (input, config) = memory.input();
    let words = header.task.each_ref().map(|word| word.load(Ordering::Relaxed).to_le_bytes());
    let mut task_id = [0; 16];
    task_id[..8].copy_from_slice(&words[0]);
    task_id[8..].copy_from_slice(&words[1]);
    let call = Request {
        encoding: header.encoding.load(Ordering::Relaxed) as u8,
        attempt: header.attempt.load(Ordering::Relaxed),
        deadline_ns: header.deadline_ns.load(Ordering::Relaxed),
        task_id,
        input: RSlice::from_slice(input),
        config: RSlice::from_slice(config),
        output: RSliceMut::from_mut_slice(memory.output()),
        host,
    };
    let answer = plugin.call()(header.function.load(Ordering::Relaxed), call);
    (u32::from(answer.kind), answer.length)
}

/// What a warm process has used so far; the host takes the difference. A process that ends with
/// its call is measured from outside instead.
fn note_usage(memory: SlotMemory) {
    use nix::sys::resource::{UsageWho, getrusage};
    let Ok(usage) = getrusage(UsageWho::RUSAGE_SELF) else { return };
    let header = memory.header();
    let microseconds =
        |time: nix::sys::time::TimeVal| time.tv_sec().unsigned_abs() * 1_000_000 + time.tv_usec().unsigned_abs();
    header.user_us.store(microseconds(usage.user_time()), Ordering::Relaxed);
    header.system_us.store(microseconds(usage.system_time()), Ordering::Relaxed);
    header.max_rss_kib.store(usage.max_rss().unsigned_abs(), Ordering::Relaxed);
}

#[expect(unsafe_code, reason = "the descriptor is known by number only")]
fn wake_host() {
    let one = 1u64;
    // SAFETY: the eight bytes that an eventfd takes live through the call. A failure means that the
    // function closed the descriptor; the host's own clock ends such a call.
    unsafe { libc::write(PUBLISHED_FD, (&raw const one).cast(), size_of::<u64>()) };
}

/// What C code printed may still be in a buffer; the SDK does the same for Rust's.
#[expect(unsafe_code, reason = "fflush is a foreign function")]
fn flush_c_streams() {
    // SAFETY: a null stream stands for all of them.
    unsafe { libc::fflush(std::ptr::null_mut()) };
}

fn str_of<'a>(text: &'a RStr<'_>) -> &'a str {
    text.as_str()
}
