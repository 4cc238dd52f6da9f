//! What init and zygote report: ends of children and keepers, holds, and that there is no more to come.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use bulkhead_protocol::runner_message::InitReport;

use super::{Shared, Waiting, begin_end, lock};
use crate::executor::slot::ChildEnd;

/// Reads what init and zygote report until either is gone.
pub(super) async fn read(shared: Arc<Shared>) {
    loop {
        let goes_on = tokio::select! {
            report = shared.control.receive::<InitReport>() => take_init_report(&shared, report),
            // Load-time code that speaks out of turn, or a zygote that is gone: no more keepers from here.
            () = shared.zygote.has_news() => false,
        };
        if !goes_on {
            break;
        }
    }
    // Its calls are answered now, so nothing of them may run on.
    begin_end(&shared);
    // Whoever still waits hears of it by the closed channel.
    lock(&shared.waiting).clear();
    lock(&shared.keepers).clear();
}

type Received<T> = nix::Result<Option<(T, Vec<OwnedFd>)>>;

fn take_init_report(shared: &Shared, report: Received<InitReport>) -> bool {
    match report {
        Ok(Some((InitReport::ChildEnded { slot, generation, end }, _))) => {
            tell(shared, slot, generation, ChildEnd::Ended(end));
            true
        }
        Ok(Some((InitReport::KeeperEnded { slot, child }, _))) => {
            let told = lock(&shared.keepers).get_mut(slot as usize).and_then(Option::take);
            if let Some(told) = told {
                // Nobody listens where the slot was given up.
                let _ = told.send(());
            }
            // Whom it had not forked it will not.
            let mut waiting = lock(&shared.waiting);
            let never = |waiting: &mut Waiting| child != Some(waiting.generation);
            if let Some(waiting) = waiting.get_mut(slot as usize).and_then(|place| place.take_if(never)) {
                let _ = waiting.tell.send(ChildEnd::NotForked);
            }
            true
        }
        Ok(Some((InitReport::Identified { slot, generation }, fds))) => {
            let mut identities = lock(&shared.identities);
            let asked =
                identities.get_mut(slot as usize).and_then(|place| place.take_if(|(asked, _)| *asked == generation));
            if let (Some((_, tell)), Some(pidfd)) = (asked, fds.into_iter().next()) {
                // Nobody listens any more where it came too late.
                let _ = tell.send(pidfd);
            }
            true
        }
        Ok(Some((InitReport::ZygoteEnded { end }, _))) => {
            tracing::debug!(?end, "a zygote has ended");
            false
        }
        Ok(Some((InitReport::Started | InitReport::Listening { .. } | InitReport::SetupFailed { .. }, _)) | None)
        | Err(_) => false,
    }
}

/// Tells whoever waits for a child's end; false when that child was not expected to end.
fn tell(shared: &Shared, slot: u32, generation: u32, end: ChildEnd) -> bool {
    let mut waiting = lock(&shared.waiting);
    let place = waiting.get_mut(slot as usize);
    let Some(waiting) = place.and_then(|place| place.take_if(|waiting| waiting.generation == generation)) else {
        return false;
    };
    // Nobody listens where the slot was given up.
    let _ = waiting.tell.send(end);
    true
}
