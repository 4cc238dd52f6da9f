//! What a figure is to reach.

use serde::{Deserialize, Serialize};

use super::unit::Unit;

/// A bound.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Bound {
    /// Not less.
    AtLeast(f64),
    /// Not more.
    AtMost(f64),
}

impl Bound {
    fn holds(self, value: f64) -> bool {
        match self {
            Self::AtLeast(least) => value >= least,
            Self::AtMost(most) => value <= most,
        }
    }

    fn show(self, value: impl Fn(f64) -> String) -> String {
        match self {
            Self::AtLeast(least) => format!("≥ {}", value(least)),
            Self::AtMost(most) => format!("≤ {}", value(most)),
        }
    }
}

/// What is to be reached: all that is given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Goal {
    /// By the figure divided by its floor.
    pub(crate) ratio: Option<Bound>,
    /// By the figure itself.
    pub(crate) figure: Option<Bound>,
}

impl Goal {
    /// A goal for the ratio alone.
    pub(crate) fn ratio(bound: Bound) -> Self {
        Self { ratio: Some(bound), figure: None }
    }

    /// A goal for the figure alone.
    pub(crate) fn figure(bound: Bound) -> Self {
        Self { ratio: None, figure: Some(bound) }
    }

    /// Whether it is reached. A ratio that is not there reaches nothing.
    pub(crate) fn is_reached(self, ratio: Option<f64>, figure: f64) -> bool {
        self.ratio.is_none_or(|bound| ratio.is_some_and(|ratio| bound.holds(ratio)))
            && self.figure.is_none_or(|bound| bound.holds(figure))
    }

    /// The goal in words.
    pub(crate) fn show(self, unit: Unit) -> String {
        let ratio = self.ratio.map(|bound| bound.show(|ratio| format!("{ratio} × floor")));
        let figure = self.figure.map(|bound| bound.show(|figure| unit.show(figure)));
        ratio.into_iter().chain(figure).collect::<Vec<_>>().join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bound_of_a_goal_counts() {
        let goal = Goal { ratio: Some(Bound::AtMost(1.0)), figure: Some(Bound::AtMost(600.0)) };
        assert!(goal.is_reached(Some(1.0), 600.0));
        assert!(!goal.is_reached(Some(1.01), 600.0));
        assert!(!goal.is_reached(Some(1.0), 601.0));
        assert!(!goal.is_reached(None, 600.0));
        assert_eq!(goal.show(Unit::Microseconds), "≤ 1 × floor, ≤ 600 µs");
        let rate = Goal::figure(Bound::AtLeast(20_000.0));
        assert!(rate.is_reached(Some(0.001), 20_000.0) && !rate.is_reached(None, 19_999.9));
        assert_eq!(rate.show(Unit::PerSecond), "≥ 20,000/s");
        assert!(Goal::default().is_reached(None, 0.0));
    }
}
