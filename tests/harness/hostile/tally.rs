//! Counting: how often an act came to what it has to, and how long things took.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

/// How often an act was done, and came to what it has to.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Matches {
    /// How often it was done.
    pub done: u64,
    /// How often the outcome was the one of the table.
    pub matched: u64,
    /// The first complaint, where there is one.
    pub complaint: Option<String>,
    /// How long all of them took together.
    pub seconds: f64,
}

/// How often each act was done, by its name.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(transparent)]
pub struct Tally {
    rows: BTreeMap<&'static str, Matches>,
}

impl Tally {
    /// Counts one, which took so long.
    pub fn count(&mut self, name: &'static str, checked: Result<(), String>, taken: Duration) {
        let row = self.rows.entry(name).or_default();
        row.done += 1;
        row.seconds += taken.as_secs_f64();
        match checked {
            Ok(()) => row.matched += 1,
            Err(complaint) => row.complaint = row.complaint.take().or(Some(complaint)),
        }
    }

    /// Adds what another has counted.
    pub fn add(&mut self, other: Self) {
        for (name, counted) in other.rows {
            let row = self.rows.entry(name).or_default();
            row.done += counted.done;
            row.matched += counted.matched;
            row.seconds += counted.seconds;
            row.complaint = row.complaint.take().or(counted.complaint);
        }
    }

    /// All of them, in the order of their names.
    pub fn rows(&self) -> impl Iterator<Item = (&'static str, &Matches)> {
        self.rows.iter().map(|(name, row)| (*name, row))
    }

    /// How often anything was done.
    pub fn done(&self) -> u64 {
        self.rows.values().map(|row| row.done).sum()
    }

    /// How often it did not come to what it has to.
    pub fn mismatched(&self) -> u64 {
        self.rows.values().map(|row| row.done - row.matched).sum()
    }
}

/// How long something took, over many times.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Spread {
    /// How many times.
    pub samples: usize,
    /// In milliseconds; half of them took at most as long.
    pub p50_ms: f64,
    /// In milliseconds; all but one of a hundred took at most as long.
    pub p99_ms: f64,
    /// In milliseconds.
    pub longest_ms: f64,
}

impl Spread {
    /// Of these; nothing where there are none.
    pub fn of(mut times: Vec<Duration>) -> Option<Self> {
        times.sort_unstable();
        let milliseconds = |time: &Duration| (time.as_secs_f64() * 1e6).round() / 1e3;
        // The nearest rank: the smallest of which so many per cent are not larger.
        let at = |percent: usize| times.get((times.len() * percent).div_ceil(100).saturating_sub(1));
        Some(Self {
            samples: times.len(),
            p50_ms: milliseconds(at(50)?),
            p99_ms: milliseconds(at(99)?),
            longest_ms: milliseconds(times.last()?),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_were_measured() {
        assert_eq!(Spread::of(Vec::new()), None);
        let spread = Spread::of((1..=200).rev().map(Duration::from_millis).collect()).unwrap();
        assert_eq!(spread, Spread { samples: 200, p50_ms: 100.0, p99_ms: 198.0, longest_ms: 200.0 });
        let one = Spread::of(vec![Duration::from_millis(7)]).unwrap();
        assert_eq!((one.p50_ms, one.p99_ms), (7.0, 7.0));
    }

    #[test]
    fn what_does_not_match_is_counted_and_the_first_complaint_kept() {
        let mut tally = Tally::default();
        tally.count("a", Ok(()), Duration::from_secs(1));
        tally.count("a", Err("first".to_owned()), Duration::from_secs(2));
        let mut other = Tally::default();
        other.count("a", Err("second".to_owned()), Duration::from_secs(4));
        other.count("b", Ok(()), Duration::ZERO);
        tally.add(other);
        assert_eq!((tally.done(), tally.mismatched()), (4, 2));
        let (name, row) = tally.rows().next().unwrap();
        assert_eq!((name, row.done, row.matched, row.complaint.as_deref()), ("a", 3, 1, Some("first")));
        assert!((row.seconds - 7.0).abs() < 1e-9);
    }
}
