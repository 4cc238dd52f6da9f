//! Which users of the host the sandboxes run as.

use std::sync::{Arc, Mutex, OnceLock};

use bulkhead_protocol::runner_message::HostIds;
use nix::unistd::{getegid, geteuid};

/// First of the ids that root gives to sandboxes. Above what distributions, systemd and containers
/// hand out (systemd.io/UIDS-GIDS), below 2^31, where some tools turn negative.
const FIRST_ID: u32 = 1_900_000_000;
/// Ids that one server may use; servers on one machine take different blocks by their pid.
const IDS_PER_SERVER: u32 = 2048;
/// Blocks between [`FIRST_ID`] and 2^31.
const BLOCKS: u32 = 100_000;

/// Hands out ids that no two living sandboxes share.
#[derive(Clone)]
pub(super) struct HostIdPool {
    /// Pairs that are free; `None` for an ordinary user, who has only its own id to give.
    free: Option<Arc<Mutex<Vec<u32>>>>,
}

/// Ids in use; given back when dropped, so only after the sandbox is reaped.
pub(super) struct LeasedIds {
    ids: HostIds,
    pool: HostIdPool,
}

impl HostIdPool {
    /// The pool of this process: its executors must not give one id twice.
    pub(super) fn of_process() -> Self {
        static POOL: OnceLock<HostIdPool> = OnceLock::new();
        POOL.get_or_init(Self::new).clone()
    }

    fn new() -> Self {
        let free = geteuid().is_root().then(|| {
            let first = FIRST_ID + (std::process::id() % BLOCKS) * IDS_PER_SERVER;
            Arc::new(Mutex::new((0..IDS_PER_SERVER / 2).rev().map(|pair| first + 2 * pair).collect()))
        });
        Self { free }
    }

    /// A pair of ids; `None` when all are in use.
    pub(super) fn lease(&self) -> Option<LeasedIds> {
        let ids = match &self.free {
            None => HostIds::User { uid: geteuid().as_raw(), gid: getegid().as_raw() },
            Some(free) => {
                let init = free.lock().ok()?.pop()?;
                HostIds::Own { init, plugin: init + 1 }
            }
        };
        Some(LeasedIds { ids, pool: self.clone() })
    }
}

impl LeasedIds {
    pub(super) fn ids(&self) -> HostIds {
        self.ids
    }
}

impl Drop for LeasedIds {
    fn drop(&mut self) {
        if let (HostIds::Own { init, .. }, Some(free)) = (self.ids, &self.pool.free)
            && let Ok(mut free) = free.lock()
        {
            free.push(init);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_highest_block_stays_below_two_to_the_31() {
        let last = u64::from(FIRST_ID) + u64::from(BLOCKS) * u64::from(IDS_PER_SERVER);
        assert!(last < 1 << 31, "{last}");
    }
}
