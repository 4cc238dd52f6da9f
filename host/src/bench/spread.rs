//! The middle of repeats, and how far they lie apart.

use serde::{Deserialize, Serialize};

/// Median, least and greatest of repeats. What lies between the least and the greatest is the noise.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Spread {
    /// The median.
    pub(crate) median: f64,
    /// The least.
    pub(crate) min: f64,
    /// The greatest.
    pub(crate) max: f64,
}

impl Spread {
    /// Of repeats; `None` of none.
    pub(crate) fn of(repeats: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut repeats: Vec<f64> = repeats.into_iter().collect();
        repeats.sort_by(f64::total_cmp);
        let (min, max) = (*repeats.first()?, *repeats.last()?);
        let middle = repeats.len() / 2;
        let median =
            if repeats.len() % 2 == 1 { repeats[middle] } else { f64::midpoint(repeats[middle - 1], repeats[middle]) };
        Some(Self { median, min, max })
    }

    /// Whether the two have no value in common: the difference is beyond the noise of both.
    pub(crate) fn is_apart_from(self, other: Self) -> bool {
        self.min > other.max || self.max < other.min
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_or_between_the_two_middles() {
        let of = |repeats: &[f64]| Spread::of(repeats.iter().copied());
        assert_eq!(of(&[]), None);
        assert_eq!(of(&[2.0]), Some(Spread { median: 2.0, min: 2.0, max: 2.0 }));
        assert_eq!(of(&[9.0, 1.0, 2.0]), Some(Spread { median: 2.0, min: 1.0, max: 9.0 }));
        assert_eq!(of(&[4.0, 1.0, 2.0, 3.0]), Some(Spread { median: 2.5, min: 1.0, max: 4.0 }));
    }

    #[test]
    fn spreads_that_touch_are_not_apart() {
        let spread = |min, max| Spread { median: min, min, max };
        assert!(!spread(1.0, 2.0).is_apart_from(spread(2.0, 3.0)));
        assert!(!spread(1.0, 9.0).is_apart_from(spread(2.0, 3.0)));
        assert!(spread(1.0, 1.9).is_apart_from(spread(2.0, 3.0)));
        assert!(spread(3.1, 4.0).is_apart_from(spread(2.0, 3.0)));
    }
}
