//! The end of a worker: it takes no more, gives back what waits, lets what runs finish, and stays
//! until every end is acknowledged.

use std::time::Duration;

use bulkhead_protocol::worker_message::ToDispatcher;
use tokio::time::Instant;

use super::Session;

/// How long what was killed may take to be reaped; a sandbox that is just being started takes up to
/// 10 s.
const REAPED_WITHIN: Duration = Duration::from_secs(20);
/// How long the dispatcher may take to acknowledge the last ends and to dismiss the worker.
const ACKNOWLEDGED_WITHIN: Duration = Duration::from_secs(10);

/// How far a worker that leaves has come.
pub(super) struct Leaving {
    /// When what still runs is killed; never, when the dispatcher asked to leave.
    kill_at: Option<Instant>,
    /// When to leave although something runs.
    reaped_by: Option<Instant>,
    /// When to leave although ends are not acknowledged; once nothing runs.
    acknowledged_by: Option<Instant>,
    /// Whether the dispatcher has let it go.
    is_dismissed: bool,
}

impl Leaving {
    pub(super) fn next_wake(&self) -> Option<Instant> {
        [self.kill_at, self.reaped_by, self.acknowledged_by].into_iter().flatten().min()
    }
}

impl Session {
    /// Begins to leave. Asked again, the shorter grace counts; none is without an end.
    pub(super) fn leave(&mut self, grace: Option<Duration>) {
        let kill_at = grace.map(|grace| Instant::now() + grace);
        match &mut self.leaving {
            Some(leaving) => {
                // What was killed already needs no second kill.
                if leaving.reaped_by.is_none() {
                    leaving.kill_at = [leaving.kill_at, kill_at].into_iter().flatten().min();
                }
            }
            None => {
                tracing::info!(unfinished = self.hand.unfinished(), "leaving: nothing more is taken");
                let leaving = Leaving { kill_at, reaped_by: None, acknowledged_by: None, is_dismissed: false };
                self.leaving = Some(leaving);
                self.say(ToDispatcher::Goodbye);
            }
        }
    }

    /// The dispatcher has let the worker go. It does so once nothing is left to acknowledge.
    pub(super) fn dismissed(&mut self) {
        if let Some(leaving) = &mut self.leaving {
            leaving.is_dismissed = true;
        }
    }

    /// Does what is due of leaving.
    pub(super) fn advance_leaving(&mut self, now: Instant) {
        if self.leaving.is_none() {
            return;
        }
        // Also what was on its way when the dispatcher heard the goodbye.
        self.hand.give_back().into_iter().for_each(|id| self.say_end(id));
        let is_welcomed = self.line.is_welcomed();
        let Some(leaving) = &mut self.leaving else { return };
        if leaving.kill_at.is_some_and(|at| at <= now) {
            leaving.kill_at = None;
            leaving.reaped_by = Some(now + REAPED_WITHIN);
            if self.hand.is_running() {
                tracing::warn!(running = self.hand.running().count(), "the grace is over; what runs is killed");
            }
            self.hand.kill();
            self.fetches.abandon("the worker is leaving");
        }
        if !self.hand.is_running() {
            (leaving.kill_at, leaving.reaped_by) = (None, None);
            leaving.acknowledged_by.get_or_insert(now + ACKNOWLEDGED_WITHIN);
        }
        let is_late = |by: Option<Instant>| by.is_some_and(|by| by <= now);
        if self.hand.is_empty() && (leaving.is_dismissed || !is_welcomed) {
            self.is_over = true;
        } else if is_late(leaving.acknowledged_by) || is_late(leaving.reaped_by) {
            let unacknowledged = self.hand.unacknowledged();
            let running = self.hand.running().count();
            tracing::warn!(
                unacknowledged,
                running,
                "leaving without the dispatcher's word; it has what it does not know of run again"
            );
            self.is_over = true;
        }
    }
}
