//! How long things took: recorded in a histogram of high dynamic range, kept as its buckets.

use std::time::Duration;

use hdrhistogram::Histogram;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The longest time that is told apart from longer ones, in microseconds: an hour.
pub const LONGEST_US: u64 = 3_600_000_000;
/// Decimal digits of a time that are kept.
const DIGITS: u8 = 3;

/// Takes times one by one.
#[derive(Clone, Debug)]
pub struct Recorder(Histogram<u64>);

impl Default for Recorder {
    fn default() -> Self {
        Self::new()
    }
}

impl Recorder {
    /// Nothing recorded yet.
    ///
    /// # Panics
    /// Never: the histogram takes these constants, as a test shows.
    pub fn new() -> Self {
        match Histogram::new_with_bounds(1, LONGEST_US, DIGITS) {
            Ok(histogram) => Self(histogram),
            Err(error) => unreachable!("the bounds are constants: {error}"),
        }
    }

    /// Takes a time. Beyond an hour it counts as an hour, below a microsecond as none.
    pub fn record(&mut self, took: Duration) {
        self.record_us(u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
    }

    /// The same in microseconds.
    pub fn record_us(&mut self, microseconds: u64) {
        self.0.saturating_record(microseconds.min(LONGEST_US));
    }

    /// Takes all times of another.
    pub fn add(&mut self, other: &Self) {
        // Both have the same bounds: nothing can be out of range.
        let _ = self.0.add(&other.0);
    }

    /// How many it took.
    pub fn count(&self) -> u64 {
        self.0.len()
    }

    /// What is kept of them.
    pub fn finish(&self) -> Distribution {
        let histogram = &self.0;
        let at = |quantile: f64| if histogram.is_empty() { 0 } else { histogram.value_at_quantile(quantile) };
        Distribution {
            count: histogram.len(),
            mean_us: if histogram.is_empty() { 0.0 } else { histogram.mean() },
            min_us: if histogram.is_empty() { 0 } else { histogram.min() },
            p50_us: at(0.5),
            p90_us: at(0.9),
            p99_us: at(0.99),
            p999_us: at(0.999),
            max_us: histogram.max(),
            buckets: histogram
                .iter_recorded()
                .map(|bucket| [bucket.value_iterated_to(), bucket.count_at_value()])
                .collect(),
        }
    }
}

/// Many times: their percentiles, and the buckets of the histogram that has them all.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Distribution {
    /// How many.
    pub count: u64,
    /// Their mean in microseconds.
    pub mean_us: f64,
    /// The shortest, in microseconds.
    pub min_us: u64,
    /// Half of them are no longer.
    pub p50_us: u64,
    /// 90 in 100 are no longer.
    pub p90_us: u64,
    /// 99 in 100 are no longer.
    pub p99_us: u64,
    /// 999 in 1000 are no longer.
    pub p999_us: u64,
    /// The longest.
    pub max_us: u64,
    /// Pairs of a time in microseconds and how many were that long, to three digits; ascending.
    pub buckets: Vec<[u64; 2]>,
}

impl Distribution {
    /// The time that a share of them, 0 to 1, does not exceed; none when there are none.
    pub fn quantile_us(&self, share: f64) -> Option<u64> {
        let total: u64 = self.buckets.iter().map(|[_, count]| count).sum();
        let wanted = (share.clamp(0.0, 1.0) * total as f64).ceil().max(1.0);
        let mut seen = 0_u64;
        self.buckets.iter().find_map(|[time, count]| {
            seen += count;
            (seen as f64 >= wanted).then_some(*time)
        })
    }

    /// Points of the cumulative distribution: time in microseconds, share of times no longer.
    pub fn cumulative(&self) -> Vec<(f64, f64)> {
        let total: u64 = self.buckets.iter().map(|[_, count]| count).sum();
        let mut seen = 0_u64;
        let points = self.buckets.iter().map(|[time, count]| {
            seen += count;
            (*time as f64, seen as f64 / total as f64)
        });
        points.collect()
    }

    /// Several as one.
    pub fn merged<'a>(parts: impl IntoIterator<Item = &'a Self>) -> Self {
        let mut all = Recorder::new();
        for [time, count] in parts.into_iter().flat_map(|part| &part.buckets) {
            all.0.saturating_record_n(*time, *count);
        }
        all.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Exponential service times with a known mean, by the inverse of their distribution at even steps.
    fn exponential(mean_us: f64, count: u32) -> Distribution {
        let mut recorder = Recorder::new();
        for step in 0..count {
            let share = (f64::from(step) + 0.5) / f64::from(count);
            recorder.record_us((-mean_us * (1.0 - share).ln()).round() as u64);
        }
        recorder.finish()
    }

    #[test]
    fn percentiles_of_a_known_system_are_those_of_its_formula() {
        let mean = 20_000.0;
        let taken = exponential(mean, 100_000);
        assert_eq!(taken.count, 100_000);
        for (found, share) in [(taken.p50_us, 0.5), (taken.p90_us, 0.9), (taken.p99_us, 0.99), (taken.p999_us, 0.999)] {
            let formula = -mean * (1.0_f64 - share).ln();
            assert!((found as f64 / formula - 1.0).abs() < 0.002, "{share}: {found} against {formula}");
        }
        assert!((taken.mean_us / mean - 1.0).abs() < 0.002, "{}", taken.mean_us);
        assert_eq!(taken.quantile_us(0.5), Some(taken.p50_us));
        assert_eq!(taken.quantile_us(1.0), taken.buckets.last().map(|[time, _]| *time));
    }

    #[test]
    fn what_is_merged_is_as_if_it_was_recorded_at_once() {
        let (one, other) = (exponential(100.0, 1000), exponential(9_000.0, 500));
        let merged = Distribution::merged([&one, &other]);
        assert_eq!(merged.count, 1500);
        assert_eq!(merged.max_us, other.max_us);
        assert_eq!(merged.min_us, one.min_us);
        assert_eq!(Distribution::merged([&one]).p99_us, one.p99_us);
        assert_eq!(one.cumulative().last().unwrap().1, 1.0);
    }

    #[test]
    fn nothing_has_no_percentiles_and_the_endless_is_an_hour() {
        let nothing = Recorder::new().finish();
        assert_eq!((nothing.count, nothing.max_us, nothing.quantile_us(0.5)), (0, 0, None));
        let mut recorder = Recorder::new();
        recorder.record(Duration::MAX);
        recorder.record(Duration::ZERO);
        let taken = recorder.finish();
        assert_eq!((taken.count, taken.min_us), (2, 0));
        assert!((taken.max_us as f64 / LONGEST_US as f64 - 1.0).abs() < 0.001, "{}", taken.max_us);
    }
}
