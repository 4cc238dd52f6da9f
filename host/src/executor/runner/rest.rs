//! Warm children between their calls: seen to their rest, and ended when they do not keep it.

use std::time::Duration;

use bulkhead_protocol::runner_message::InitCommand;
use tokio::sync::oneshot;

use super::{Runner, Slot, lock};
use crate::executor::warm_child::WarmChild;

/// How long init may take to give a hold of a child.
const IDENTIFY_TIMEOUT: Duration = Duration::from_secs(1);
/// Looks at a child that has other threads than it should after a call, and the time between two of them:
/// threads that were joined take a moment to go.
const LOOKS_AT_THREADS: u32 = 10;
const BETWEEN_LOOKS: Duration = Duration::from_millis(1);

impl Runner {
    /// Ends the warm children that work between calls. The caller holds room for one call, so that the slot of
    /// each can be away for a while.
    pub(in crate::executor) async fn end_restless(&self) {
        let works = |slot: &mut Slot| {
            slot.warm.as_mut().is_some_and(|warm| warm.worked_at_rest() || warm.left_threads_behind())
        };
        loop {
            let restless = {
                let mut idle = lock(&self.idle);
                let place = idle.iter_mut().position(works);
                place.and_then(|place| idle.remove(place))
            };
            let Some(slot) = restless else { return };
            tracing::debug!(slot = slot.index, "a warm child worked between calls and is replaced");
            self.replace(slot).await;
        }
    }

    /// Sees a warm child to its rest after a call: false when it left threads behind.
    pub(super) async fn comes_to_rest(&self, slot: &mut Slot) -> bool {
        if slot.warm.is_none() {
            slot.warm = self.identify(slot).await;
        }
        let Some(warm) = &mut slot.warm else { return true };
        for _ in 0..LOOKS_AT_THREADS {
            if !warm.left_threads_behind() {
                warm.begin_rest();
                return true;
            }
            tokio::time::sleep(BETWEEN_LOOKS).await;
        }
        false
    }

    /// Asks init for a hold of a slot's child; `None` of one that is gone.
    async fn identify(&self, slot: &Slot) -> Option<WarmChild> {
        let (tell, told) = oneshot::channel();
        *lock(&self.shared.identities).get_mut(slot.index as usize)? = Some((slot.generation, tell));
        let identify = InitCommand::Identify { slot: slot.index, generation: slot.generation };
        self.shared.control.send(&identify, &[]).await.ok()?;
        let pidfd = tokio::time::timeout(IDENTIFY_TIMEOUT, told).await.ok()?.ok()?;
        WarmChild::new(&pidfd)
    }
}
