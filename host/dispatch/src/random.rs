//! The dispatcher's own random numbers, so that a seed gives the same run on every machine.

use std::time::Duration;

/// SplitMix64 (Steele, Lea, Flood 2014): 64 bits of state, for jitter and nothing that must be
/// hard to guess.
#[derive(Debug)]
pub(crate) struct Random {
    /// The counter that is mixed into the next number.
    state: u64,
}

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.state ^ (self.state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// `base` doubled for each of `tries` after the first, at most `max`, less a random part of up
    /// to a half so that what failed together does not come back together. Whole milliseconds.
    pub(crate) fn backoff(&mut self, base: Duration, tries: u32, max: Duration) -> Duration {
        let doubled = base.saturating_mul(1u32.checked_shl(tries.saturating_sub(1)).unwrap_or(u32::MAX));
        let full = u64::try_from(doubled.min(max).as_millis()).unwrap_or(u64::MAX);
        let half = full / 2;
        Duration::from_millis(full - self.next() % (half + 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backoff_doubles_up_to_its_bound_and_keeps_at_least_half() {
        let mut random = Random::new(1);
        let (base, max) = (Duration::from_secs(1), Duration::from_secs(60));
        for (tries, full) in [(1, 1), (2, 2), (3, 4), (7, 60), (32, 60), (33, 60), (u32::MAX, 60)] {
            for _ in 0..100 {
                let wait = random.backoff(base, tries, max);
                let full = Duration::from_secs(full);
                assert!(wait <= full && wait >= full / 2, "try {tries} waits {wait:?}");
            }
        }
        assert_eq!(random.backoff(Duration::ZERO, 5, max), Duration::ZERO);
    }
}
