//! The state machine's time.

use std::time::Duration;

use tokio::time::Instant;

/// Time since the start of the driver, without the times in which this process was stopped: a worker
/// cannot be heard then, and would be taken for silent.
pub(super) struct Clock {
    /// When time began.
    start: Instant,
    /// How long the process was stopped.
    stopped: Duration,
    /// When the driver last did something.
    last: Instant,
    /// The longest that the driver does nothing of its own accord.
    longest_idle: Duration,
}

impl Clock {
    /// A clock for a driver that does something at least every `beat`.
    pub(super) fn new(beat: Duration) -> Self {
        let start = Instant::now();
        Self { start, stopped: Duration::ZERO, last: start, longest_idle: beat.saturating_mul(2) }
    }

    /// Takes note that the driver is awake.
    pub(super) fn wake(&mut self) {
        self.wake_at(Instant::now());
    }

    fn wake_at(&mut self, now: Instant) {
        let idle = now.saturating_duration_since(self.last);
        if idle > self.longest_idle {
            let stopped = idle - self.longest_idle;
            tracing::warn!(stopped_ms = stopped.as_millis(), "this process was stopped for a while");
            self.stopped += stopped;
        }
        self.last = now;
    }

    /// Time since the start.
    pub(super) fn now(&self) -> Duration {
        self.start.elapsed().saturating_sub(self.stopped)
    }

    /// The moment at which it will be `time`.
    pub(super) fn moment(&self, time: Duration) -> Instant {
        self.start + self.stopped + time
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_in_which_the_process_was_stopped_does_not_count() {
        const BEAT: Duration = Duration::from_secs(2);
        let mut clock = Clock::new(BEAT);
        let start = clock.start;
        clock.wake_at(start + 2 * BEAT);
        assert_eq!(clock.stopped, Duration::ZERO);
        clock.wake_at(start + 2 * BEAT + Duration::from_secs(60));
        assert_eq!(clock.stopped, Duration::from_secs(56));
        assert_eq!(clock.moment(Duration::from_secs(10)), start + Duration::from_secs(66));
    }
}
