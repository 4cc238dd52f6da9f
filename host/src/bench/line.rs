//! One figure beside its floor.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::case::Case;
use super::goal::Goal;
use super::spread::Spread;
use super::unit::Unit;

/// One repeat: the floor and right after it the figure.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Repeat {
    /// The floor; `None` where the goal is a figure and nothing stands below it.
    pub(crate) floor: Option<f64>,
    /// What the floor is the sum of, and what else was measured beside it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) parts: BTreeMap<String, f64>,
    /// The figure.
    pub(crate) figure: f64,
}

impl Repeat {
    /// A figure over a floor.
    pub(crate) fn over(floor: f64, figure: f64) -> Self {
        Self { floor: Some(floor), parts: BTreeMap::new(), figure }
    }

    /// A figure over the sum of parts.
    pub(crate) fn over_sum<const N: usize>(parts: [(&str, f64); N], figure: f64) -> Self {
        let floor = parts.iter().map(|(_, part)| part).sum();
        Self { floor: Some(floor), ..Self { figure, ..Self::default() }.with(parts) }
    }

    /// A figure by itself.
    pub(crate) fn alone(figure: f64) -> Self {
        Self { figure, ..Self::default() }
    }

    /// With what else was measured.
    pub(crate) fn with<const N: usize>(mut self, parts: [(&str, f64); N]) -> Self {
        self.parts.extend(parts.into_iter().map(|(name, part)| (name.to_owned(), part)));
        self
    }

    fn ratio(&self) -> Option<f64> {
        self.floor.filter(|floor| *floor > 0.0).map(|floor| self.figure / floor)
    }
}

/// What a line is about.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Subject {
    /// The case that it belongs to.
    pub(crate) case: Case,
    /// Which of its figures.
    pub(crate) what: String,
    /// What floor and figure are in.
    pub(crate) unit: Unit,
    /// What the floor is.
    pub(crate) floor: Option<String>,
    /// What is to be reached.
    pub(crate) goal: Goal,
}

/// A figure, its floor, and all repeats.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Line {
    /// What it is about.
    #[serde(flatten)]
    pub(crate) subject: Subject,
    /// The repeats, in the order in which they were measured.
    pub(crate) repeats: Vec<Repeat>,
    /// What follows from them.
    pub(crate) summary: Summary,
}

/// What follows from the repeats of a line.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Summary {
    /// The floors.
    pub(crate) floor: Option<Spread>,
    /// The figures.
    pub(crate) figure: Spread,
    /// The figure of each repeat divided by its own floor.
    pub(crate) ratio: Option<Spread>,
    /// Whether the medians reach the goal.
    pub(crate) reached: bool,
}

impl Line {
    /// A line of these repeats; `None` of none.
    pub(crate) fn new(subject: Subject, repeats: Vec<Repeat>) -> Option<Self> {
        let floor = Spread::of(repeats.iter().filter_map(|repeat| repeat.floor));
        let figure = Spread::of(repeats.iter().map(|repeat| repeat.figure))?;
        let ratio = Spread::of(repeats.iter().filter_map(Repeat::ratio));
        let reached = subject.goal.is_reached(ratio.map(|ratio| ratio.median), figure.median);
        Some(Self { subject, repeats, summary: Summary { floor, figure, ratio, reached } })
    }

    /// What is held against another run: the ratio, for machines drift; the figure where there is no floor.
    pub(crate) fn measure(&self) -> Spread {
        self.summary.ratio.unwrap_or(self.summary.figure)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::goal::Bound;

    fn subject(goal: Goal) -> Subject {
        Subject { case: Case::P1, what: "x".to_owned(), unit: Unit::PerSecond, floor: Some("y".to_owned()), goal }
    }

    #[test]
    fn ratios_are_taken_inside_a_repeat_before_the_median_is() {
        let repeats = vec![Repeat::over(100.0, 50.0), Repeat::over(10.0, 8.0), Repeat::over(1000.0, 700.0)];
        let line = Line::new(subject(Goal::ratio(Bound::AtLeast(0.7))), repeats).unwrap();
        // The medians of floor and figure alone would give 50 / 100.
        assert_eq!(line.summary.ratio, Some(Spread { median: 0.7, min: 0.5, max: 0.8 }));
        assert_eq!((line.summary.floor.unwrap().median, line.summary.figure.median), (100.0, 50.0));
        assert!(line.summary.reached);
        assert_eq!(line.measure().median, 0.7);
    }

    #[test]
    fn a_floor_can_be_a_sum_or_missing() {
        let sum = Repeat::over_sum([("echo", 60.0), ("round trip", 40.0)], 150.0);
        assert_eq!((sum.floor, sum.ratio()), (Some(100.0), Some(1.5)));
        assert_eq!(sum.parts["round trip"], 40.0);
        let line = Line::new(subject(Goal::figure(Bound::AtMost(3.0))), vec![Repeat::alone(3.0)]).unwrap();
        assert!(line.summary.reached && line.summary.ratio.is_none());
        assert_eq!(line.measure().median, 3.0);
        assert_eq!(Line::new(subject(Goal::default()), Vec::new()), None);
        // A floor of nothing has no ratio, and so reaches nothing.
        assert_eq!(Repeat::over(0.0, 1.0).ratio(), None);
    }
}
