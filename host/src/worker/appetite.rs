//! How much more a worker wants: as many attempts as it has free slots, and so many ahead of them
//! that short functions do not wait for the dispatcher after each call. A state machine without clock
//! and I/O.

use std::time::Duration;

use bulkhead_protocol::worker_message::{MAX_AHEAD, ToDispatcher, WorkerMode};

/// Work that waits at the worker, at most. When half of it is done the dispatcher hears of that
/// ([`super::outbox`]); the other half covers a few round trips, so that slots are never idle while it answers.
const WORK_AHEAD: Duration = Duration::from_millis(4);
/// Mean time of an attempt above which none waits: one that waits is one that no other worker runs.
const LONG: Duration = Duration::from_millis(10);
/// Mean time below which attempts wait again, so that a mean about [`LONG`] does not flap.
const SHORT: Duration = Duration::from_millis(8);
/// Attempts that wait, at most, for each slot.
const MAX_AHEAD_PER_SLOT: f64 = 128.0;
/// Attempts after which their mean is believed.
const FEWEST: u32 = 4;
/// Attempts whose mean counts, about.
const REMEMBERED: u32 = 16;
/// How much more a worker wants, and what it said of it.
#[derive(Debug)]
pub(super) struct Appetite {
    /// How it gets its tasks.
    mode: WorkerMode,
    /// Attempts that run at once.
    slots: u32,
    /// Mean time of the last attempts in seconds.
    mean: f64,
    /// How many it is the mean of, at most [`REMEMBERED`].
    measured: u32,
    /// Attempts that may wait beyond the slots.
    ahead: u32,
    /// The same as the dispatcher knows it.
    said_ahead: u32,
    /// What was asked for and has not come; always 0 of a push worker.
    asked: u32,
    /// Whether the dispatcher was told that the worker rests.
    said_rests: bool,
}

impl Appetite {
    pub(super) fn new(mode: WorkerMode, slots: u32) -> Self {
        Self { mode, slots, mean: 0.0, measured: 0, ahead: 0, said_ahead: 0, asked: 0, said_rests: false }
    }

    /// An attempt had its slot for so long.
    pub(super) fn ran(&mut self, took: Duration) {
        self.measured = (self.measured + 1).min(REMEMBERED);
        self.mean += (took.as_secs_f64() - self.mean) / f64::from(self.measured);
        self.adapt();
    }

    /// All slots have been taken for so long, and what waits is given back.
    pub(super) fn got_stuck(&mut self, took: Duration) {
        self.mean = self.mean.max(took.as_secs_f64());
        self.measured = REMEMBERED;
        self.adapt();
    }

    /// The dispatcher knows nothing of what was said before.
    pub(super) fn welcomed(&mut self) {
        (self.said_ahead, self.asked, self.said_rests) = (0, 0, false);
    }

    /// An attempt was assigned.
    pub(super) fn assigned(&mut self) {
        self.asked = self.asked.saturating_sub(1);
    }

    /// What to tell the dispatcher, where anything changed. `unfinished` attempts wait or run; none more
    /// are wanted when `is_closed`, and none for now when it `rests`.
    ///
    /// A request replaces the one before, of which something may be on its way. That is no reason to
    /// wait: the dispatcher knows what the worker has, and never gives it more than its slots and what
    /// may wait, however much is asked for.
    pub(super) fn say(
        &mut self,
        unfinished: usize,
        is_closed: bool,
        rests: bool,
    ) -> impl Iterator<Item = ToDispatcher> + use<> {
        let is_new_rest = std::mem::replace(&mut self.said_rests, rests) != rests;
        let ahead = if is_closed { 0 } else { self.ahead };
        let is_new_ahead = std::mem::replace(&mut self.said_ahead, ahead) != ahead;
        let unfinished = u32::try_from(unfinished).unwrap_or(u32::MAX);
        let count = match self.mode {
            WorkerMode::Pull if !is_closed => (self.slots + ahead).saturating_sub(unfinished),
            _ => 0,
        };
        let is_new_count = std::mem::replace(&mut self.asked, count) != count;
        let ahead = is_new_ahead.then_some(ToDispatcher::Ahead { ahead });
        let rest = is_new_rest.then_some(ToDispatcher::Resting { resting: rests });
        let count = is_new_count.then_some(ToDispatcher::Ready { count });
        rest.into_iter().chain(ahead).chain(count)
    }

    /// Follows the mean, and only where it has moved by much.
    fn adapt(&mut self) {
        let fitting = self.fitting();
        let (now, then) = (f64::from(fitting), f64::from(self.ahead));
        if fitting == 0 || self.ahead == 0 || now >= 1.5 * then || now <= 0.5 * then {
            self.ahead = fitting;
        }
    }

    /// How many attempts should wait, by the mean alone.
    fn fitting(&self) -> u32 {
        let long = if self.ahead > 0 { LONG } else { SHORT };
        if self.measured < FEWEST || self.mean > long.as_secs_f64() {
            return 0;
        }
        let slots = f64::from(self.slots);
        let covering = slots * WORK_AHEAD.as_secs_f64() / self.mean.max(f64::MIN_POSITIVE);
        // In range: both bounds are small whole numbers.
        covering.ceil().clamp(1.0, (slots * MAX_AHEAD_PER_SLOT).min(f64::from(MAX_AHEAD))) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn appetite(mode: WorkerMode) -> Appetite {
        Appetite::new(mode, 4)
    }

    fn after(mode: WorkerMode, times: u32, took: Duration) -> Appetite {
        let mut appetite = appetite(mode);
        (0..times).for_each(|_| appetite.ran(took));
        appetite
    }

    #[test]
    fn nothing_waits_before_the_mean_is_known_or_when_it_is_long() {
        assert_eq!(after(WorkerMode::Push, FEWEST - 1, MS / 10).ahead, 0);
        assert_eq!(after(WorkerMode::Push, 100, 11 * MS).ahead, 0);
        assert_eq!(after(WorkerMode::Push, 100, Duration::from_secs(60)).ahead, 0);
    }

    #[test]
    fn short_attempts_wait_for_four_milliseconds_of_work() {
        assert_eq!(after(WorkerMode::Push, FEWEST, MS).ahead, 16);
        assert_eq!(after(WorkerMode::Push, 50, MS / 4).ahead, 64);
        assert_eq!(after(WorkerMode::Push, 50, 5 * MS).ahead, 4);
        assert_eq!(after(WorkerMode::Push, 50, MS / 1000).ahead, 512, "128 for each slot");
        assert_eq!(after(WorkerMode::Push, 50, Duration::ZERO).ahead, 512);
        let mut wide = Appetite::new(WorkerMode::Push, 1024);
        (0..50).for_each(|_| wide.ran(Duration::ZERO));
        assert_eq!(wide.ahead, MAX_AHEAD);
    }

    fn said(appetite: &mut Appetite, unfinished: usize, is_closed: bool) -> Vec<ToDispatcher> {
        appetite.say(unfinished, is_closed, false).collect()
    }

    fn ahead(ahead: u32) -> ToDispatcher {
        ToDispatcher::Ahead { ahead }
    }

    fn ready(count: u32) -> ToDispatcher {
        ToDispatcher::Ready { count }
    }

    #[test]
    fn a_mean_that_wavers_changes_nothing() {
        let mut appetite = after(WorkerMode::Push, 50, MS);
        assert_eq!(said(&mut appetite, 0, false), [ahead(16)]);
        for round in 0..100 {
            appetite.ran(if round % 2 == 0 { 1200 * MS / 1000 } else { 850 * MS / 1000 });
            assert_eq!(said(&mut appetite, 0, false), []);
        }
        (0..50).for_each(|_| appetite.ran(20 * MS));
        assert_eq!(said(&mut appetite, 0, false), [ahead(0)]);
        // Between the two bounds nothing begins to wait.
        (0..50).for_each(|_| appetite.ran(9 * MS));
        assert_eq!(said(&mut appetite, 0, false), []);
        (0..50).for_each(|_| appetite.ran(7 * MS));
        assert_eq!(said(&mut appetite, 0, false), [ahead(3)]);
    }

    #[test]
    fn what_got_stuck_makes_nothing_wait_until_attempts_are_short_again() {
        let mut appetite = after(WorkerMode::Push, 50, MS);
        appetite.got_stuck(500 * MS);
        assert_eq!(appetite.ahead, 0);
        (0..200).for_each(|_| appetite.ran(MS));
        // The last steps up to 16 are too small to follow.
        assert!((11..=16).contains(&appetite.ahead), "{}", appetite.ahead);
    }

    #[test]
    fn push_says_nothing_before_there_is_something_to_say_and_says_it_again_to_the_next() {
        let mut push = appetite(WorkerMode::Push);
        assert_eq!(said(&mut push, 0, false), []);
        let mut push = after(WorkerMode::Push, 50, MS);
        assert_eq!(said(&mut push, 12, false), [ahead(16)]);
        push.assigned();
        assert_eq!(said(&mut push, 0, false), []);
        push.welcomed();
        assert_eq!(said(&mut push, 0, false), [ahead(16)]);
        assert_eq!(said(&mut push, 0, true), [ahead(0)]);
    }

    #[test]
    fn pull_asks_for_what_is_free_once_and_again_when_something_came() {
        let mut pull = appetite(WorkerMode::Pull);
        assert_eq!(said(&mut pull, 0, false), [ready(4)]);
        assert_eq!(said(&mut pull, 0, false), [], "it is parked there");
        for unfinished in 1..=4 {
            pull.assigned();
            assert_eq!(said(&mut pull, unfinished, false), []);
        }
        assert_eq!(said(&mut pull, 3, false), [ready(1)]);
        assert_eq!(said(&mut pull, 2, false), [ready(2)]);
        assert_eq!(said(&mut pull, 2, true), [ready(0)]);
    }

    #[test]
    fn pull_asks_for_what_may_wait_too() {
        let mut pull = after(WorkerMode::Pull, 50, MS);
        assert_eq!(said(&mut pull, 2, false), [ahead(16), ready(18)]);
        assert_eq!(said(&mut pull, 2, true), [ahead(0), ready(0)]);
    }

    #[test]
    fn pull_asks_anew_after_a_welcome() {
        let mut pull = appetite(WorkerMode::Pull);
        said(&mut pull, 0, false);
        pull.welcomed();
        assert_eq!(said(&mut pull, 1, false), [ready(3)]);
    }

    #[test]
    fn a_rest_is_said_when_it_begins_and_ends_and_to_the_next() {
        let mut push = appetite(WorkerMode::Push);
        let say = |push: &mut Appetite, rests| push.say(0, false, rests).collect::<Vec<_>>();
        assert_eq!(say(&mut push, true), [ToDispatcher::Resting { resting: true }]);
        assert_eq!(say(&mut push, true), []);
        push.welcomed();
        assert_eq!(say(&mut push, true), [ToDispatcher::Resting { resting: true }]);
        assert_eq!(say(&mut push, false), [ToDispatcher::Resting { resting: false }]);
    }

    #[test]
    fn more_than_asked_for_is_borne() {
        let mut pull = appetite(WorkerMode::Pull);
        (0..9).for_each(|_| pull.assigned());
        assert_eq!(said(&mut pull, 9, false), []);
        assert_eq!(said(&mut pull, 3, false), [ready(1)]);
    }
}
