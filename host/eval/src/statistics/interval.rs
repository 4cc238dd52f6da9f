//! Means and how sure they are.

use statrs::distribution::{ContinuousCDF, StudentsT};

/// The share of such intervals that hold the true value.
pub const CONFIDENCE: f64 = 0.95;

/// Measurements that an interval takes. Of two it is 13 standard errors to each side, and says nothing.
pub const LEAST: usize = 3;

/// An estimate and the interval around it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Interval {
    /// The estimate.
    pub value: f64,
    /// Its lower end; none of fewer than [`LEAST`] measurements.
    pub low: Option<f64>,
    /// Its upper end.
    pub high: Option<f64>,
}

impl Interval {
    /// Half the width of the interval, as a share of the estimate.
    pub fn relative_error(&self) -> Option<f64> {
        Some((self.high? - self.low?) / 2.0 / self.value)
    }
}

/// The arithmetic mean; none of nothing.
pub fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

/// The middle one, or the mean of the two; none of nothing.
pub fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => None,
        count if count % 2 == 1 => sorted.get(middle).copied(),
        _ => Some((sorted.get(middle - 1)? + sorted.get(middle)?) / 2.0),
    }
}

/// What a standard error is multiplied with, by Student's distribution.
pub(super) fn student(degrees: usize) -> Option<f64> {
    let distribution = StudentsT::new(0.0, 1.0, degrees as f64).ok()?;
    Some(distribution.inverse_cdf(1.0 - (1.0 - CONFIDENCE) / 2.0))
}

/// What an error bar shows: the interval of the mean, or of too few measurements for one their range.
pub fn bar(values: &[f64]) -> Option<(f64, f64)> {
    let interval = mean_interval(values)?;
    if let (Some(low), Some(high)) = (interval.low, interval.high) {
        return Some((low, high));
    }
    let low = values.iter().copied().fold(f64::INFINITY, f64::min);
    let high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    (low < high).then_some((low, high))
}

/// The mean of independent measurements with its interval by Student's distribution.
pub fn mean_interval(values: &[f64]) -> Option<Interval> {
    let value = mean(values)?;
    let half = standard_error(values).and_then(|error| Some(error * student(values.len() - 1)?));
    Some(Interval { value, low: half.map(|half| value - half), high: half.map(|half| value + half) })
}

/// How many times more `after` is than `before`: the ratio of the geometric means, with Welch's interval
/// of the difference of the logarithms. None where a measurement is not above zero.
pub fn ratio_interval(before: &[f64], after: &[f64]) -> Option<Interval> {
    let logarithms = |values: &[f64]| -> Option<Vec<f64>> {
        values.iter().map(|value| (*value > 0.0).then(|| value.ln())).collect()
    };
    let (before, after) = (logarithms(before)?, logarithms(after)?);
    let difference = mean(&after)? - mean(&before)?;
    let half = standard_error(&before).zip(standard_error(&after)).and_then(|(first, second)| {
        let (first, second) = (first.powi(2), second.powi(2));
        let variance = first + second;
        if variance == 0.0 {
            return Some(0.0);
        }
        let parts = first.powi(2) / (before.len() - 1) as f64 + second.powi(2) / (after.len() - 1) as f64;
        // Rounded down, which widens the interval.
        let degrees = (variance.powi(2) / parts).floor().max(1.0);
        Some(variance.sqrt() * student(degrees as usize)?)
    });
    Some(Interval {
        value: difference.exp(),
        low: half.map(|half| (difference - half).exp()),
        high: half.map(|half| (difference + half).exp()),
    })
}

/// The standard error of the mean; none of fewer than [`LEAST`].
fn standard_error(values: &[f64]) -> Option<f64> {
    if values.len() < LEAST {
        return None;
    }
    let mean = mean(values)?;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    let count = values.len() as f64;
    Some((squares / (count - 1.0) / count).sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interval_is_that_of_the_table() {
        // Student's t with 3 degrees of freedom is 3.182446 at 97.5 %; the standard error of 1 to 4 is 0.645497.
        let interval = mean_interval(&[1.0, 2.0, 3.0, 4.0]).unwrap();
        assert_eq!(interval.value, 2.5);
        assert!((interval.high.unwrap() - 2.5 - 3.182_446 * 0.645_497).abs() < 1e-4, "{interval:?}");
        assert!((interval.low.unwrap() + interval.high.unwrap() - 5.0).abs() < 1e-9);
        assert!((interval.relative_error().unwrap() - 0.821_7).abs() < 1e-3);
    }

    #[test]
    fn few_measurements_say_nothing_about_the_scatter() {
        for few in [&[7.0][..], &[6.0, 8.0]] {
            let interval = mean_interval(few).unwrap();
            assert_eq!((interval.value, interval.low, interval.high), (7.0, None, None));
        }
        assert!(mean_interval(&[6.0, 7.0, 8.0]).unwrap().low.is_some());
        assert_eq!(mean_interval(&[]), None);
        assert_eq!((bar(&[6.0, 8.0]), bar(&[7.0]), bar(&[])), (Some((6.0, 8.0)), None, None));
        assert!(bar(&[6.0, 7.0, 8.0]).unwrap().0 < 6.0);
    }

    #[test]
    fn the_middle_of_values() {
        assert_eq!((median(&[3.0, 1.0, 2.0]), median(&[4.0, 1.0]), median(&[])), (Some(2.0), Some(2.5), None));
    }

    #[test]
    fn a_ratio_has_the_interval_of_both_sides() {
        let ratio = ratio_interval(&[100.0; 3], &[200.0; 3]).unwrap();
        assert!((ratio.value - 2.0).abs() < 1e-9 && (ratio.low.unwrap() - 2.0).abs() < 1e-9);
        let noisy = ratio_interval(&[90.0, 110.0, 100.0], &[190.0, 210.0, 200.0]).unwrap();
        assert!(noisy.low.unwrap() < 2.0 && noisy.high.unwrap() > 2.0, "{noisy:?}");
        assert!(ratio_interval(&[1.0, 1.0], &[2.0, 2.0]).unwrap().low.is_none());
        assert_eq!(ratio_interval(&[0.0], &[1.0]), None);
    }
}
