//! The sums: means with their confidence, efficiencies, and two laws of scaling fitted to measurements.
//! A law is fitted only where the points can support it; otherwise [`NoFit`] says why.

mod efficiency;
mod interval;
mod least_squares;
mod power_law;
mod usl;

pub use efficiency::{speedups, weak_efficiencies};
pub use interval::{CONFIDENCE, Interval, LEAST, bar, mean, mean_interval, median, ratio_interval};
pub use power_law::{PowerLaw, fit_power_law};
pub use usl::{Usl, fit_usl};

/// Why no law was fitted.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum NoFit {
    /// The law has nearly as many parameters as there are numbers of workers.
    #[error("{found} numbers of workers; a fit takes {needed}")]
    TooFewPlaces {
        /// Different numbers of workers that were measured.
        found: usize,
        /// How many it takes.
        needed: usize,
    },
    /// A number of workers or a throughput is not above zero, or no number.
    #[error("a measurement is not above zero")]
    NotPositive,
    /// The points do not determine the law.
    #[error("the points do not determine it")]
    Degenerate,
    /// The points lie so far from the law that it describes something else.
    #[error("the points lie {percent} % from it; a law is given up to {}", (MOST_SCATTER * 100.0) as u32)]
    Scattered {
        /// Typical distance of a point from the law, relative to it.
        percent: u32,
    },
}

/// Typical distance of points from a law, relative to it, beyond which the law is not given: a parameter
/// of a curve that misses its points by a quarter says nothing about them.
const MOST_SCATTER: f64 = 0.25;

/// Checks that a law of so many parameters is near its points.
fn check_scatter(values: &[f64], predicted: &[f64], parameters: usize) -> Result<(), NoFit> {
    let squares: f64 = values.iter().zip(predicted).map(|(value, law)| (value / law).ln().powi(2)).sum();
    let degrees = values.len().saturating_sub(parameters).max(1);
    let scatter = (squares / degrees as f64).sqrt();
    if scatter <= MOST_SCATTER {
        return Ok(());
    }
    // In range: anything beyond is as bad.
    Err(NoFit::Scattered { percent: (scatter * 100.0).min(999.0).round() as u32 })
}

/// How many different places there are among points.
fn places(points: &[(f64, f64)]) -> usize {
    let mut places: Vec<f64> = points.iter().map(|(place, _)| *place).collect();
    places.sort_by(f64::total_cmp);
    places.dedup();
    places.len()
}

/// Checks that points can be fitted by a law that takes so many places.
fn check(points: &[(f64, f64)], needed: usize) -> Result<(), NoFit> {
    if points.iter().any(|(place, value)| !(*place > 0.0 && *value > 0.0 && place.is_finite() && value.is_finite())) {
        return Err(NoFit::NotPositive);
    }
    match places(points) {
        found if found < needed => Err(NoFit::TooFewPlaces { found, needed }),
        _ => Ok(()),
    }
}

/// The share of the scatter of `values` that `predicted` explains, 1 at best; none without scatter.
fn r_squared(values: &[f64], predicted: &[f64]) -> Option<f64> {
    let mean = mean(values)?;
    let total: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    let left: f64 = values.iter().zip(predicted).map(|(value, predicted)| (value - predicted).powi(2)).sum();
    (total > 0.0).then(|| 1.0 - left / total)
}
