//! rlimits. Hard limits, set before the plugin is loaded, so that nothing of it can raise them.

use bulkhead_protocol::runner_message::{HostIds, Setup, open_files_needed};
use bulkhead_protocol::slot::Layout;
use nix::sys::resource::{Resource, setrlimit};

use crate::step::{Step, StepError};

/// Stack of a main thread, and of the thread that runs a call.
pub(crate) const STACK_BYTES: u64 = 8 * 1024 * 1024;
/// Address space beyond memory and slot: code, the reserve of malloc's arenas (64 MiB for each of
/// 8 per core), guard pages.
const ADDRESS_SPACE_ROOM: u64 = 4 << 30;

/// Signals and timers that may be pending per slot. An ordinary user's count towards the host's own.
const PENDING_SIGNALS_PER_SLOT: u64 = 256;

/// Limits the zygote and, by inheritance, every keeper and child.
pub(crate) fn apply(setup: &Setup) -> Result<(), StepError> {
    let limits = &setup.limits;
    let slots = u64::from(setup.slots);
    let set = |resource, value| setrlimit(resource, value, value).step("set a resource limit");
    set(Resource::RLIMIT_CORE, 0)?;
    set(Resource::RLIMIT_FSIZE, limits.tmp_bytes)?;
    set(Resource::RLIMIT_MEMLOCK, 0)?;
    set(Resource::RLIMIT_MSGQUEUE, 0)?;
    set(Resource::RLIMIT_SIGPENDING, slots * PENDING_SIGNALS_PER_SLOT)?;
    set(Resource::RLIMIT_STACK, STACK_BYTES)?;
    set(Resource::RLIMIT_NOFILE, open_files_needed(limits.open_files))?;
    if !setup.memory_cgroup {
        set(Resource::RLIMIT_DATA, limits.memory_bytes)?;
        let slot = Layout::new(limits.result_bytes).total_bytes() as u64;
        set(Resource::RLIMIT_AS, limits.memory_bytes + slot + ADDRESS_SPACE_ROOM)?;
    }
    if !setup.pids_cgroup {
        // More than children may have together, so that none of them keeps a keeper from forking.
        set(Resource::RLIMIT_NPROC, most_threads(setup) + slots)?;
    }
    Ok(())
}

/// Limits one child further. CPU time here and not in the keeper, which forks for many calls: the
/// sum of what that takes would end it.
pub(crate) fn apply_to_child(setup: &Setup) -> nix::Result<()> {
    let limits = &setup.limits;
    let set = |resource, value| setrlimit(resource, value, value);
    if let Some(cpu_ms) = limits.cpu_ms {
        // Whole seconds are the finest grain; the kernel sends SIGXCPU at the soft limit, SIGKILL at
        // the hard one.
        let seconds = cpu_ms.div_ceil(1000).max(1);
        setrlimit(Resource::RLIMIT_CPU, seconds, seconds + 1)?;
    }
    if !setup.pids_cgroup {
        set(Resource::RLIMIT_NPROC, most_threads(setup))?;
    }
    set(Resource::RLIMIT_NOFILE, u64::from(limits.open_files))
}

/// What `RLIMIT_NPROC` counts when all slots are busy, over all processes of the user in this namespace:
/// every child's threads, each child's main thread and keeper, the zygote, and init where it is the same user.
fn most_threads(setup: &Setup) -> u64 {
    let others = match setup.ids {
        HostIds::Own { .. } => 1,
        HostIds::User { .. } => 2,
    };
    u64::from(setup.slots) * (u64::from(setup.limits.threads) + 2) + others
}
