//! `throughput = factor · workers ^ exponent`: a straight line in the logarithms of both. An exponent of 1
//! is perfect scaling, 0 none.

use super::interval::student;
use super::{Interval, NoFit, check, check_scatter, least_squares, r_squared};

/// Numbers of workers that a fit takes: two determine a line without saying how good it is.
const NEEDED_PLACES: usize = 3;

/// A power law.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PowerLaw {
    /// The throughput of one worker.
    pub factor: f64,
    /// The exponent with its confidence interval.
    pub exponent: Interval,
    /// The share of the scatter of the logarithms that it explains; none without scatter.
    pub r_squared: Option<f64>,
}

impl PowerLaw {
    /// The throughput of so many workers.
    pub fn at(&self, workers: f64) -> f64 {
        self.factor * workers.powf(self.exponent.value)
    }
}

/// Fits the law to points of (workers, throughput).
///
/// # Errors
/// [`NoFit`].
pub fn fit_power_law(points: &[(f64, f64)]) -> Result<PowerLaw, NoFit> {
    check(points, NEEDED_PLACES)?;
    let rows: Vec<_> = points.iter().map(|(place, value)| (vec![1.0, place.ln()], value.ln(), 1.0)).collect();
    let fit = least_squares::fit(&rows).ok_or(NoFit::Degenerate)?;
    let (intercept, slope) = (fit.parameters[0], fit.parameters[1]);
    let degrees = points.len() - 2;
    let error = (fit.left / degrees as f64 * fit.inverse[1][1]).sqrt();
    let half = student(degrees).ok_or(NoFit::Degenerate)? * error;
    let values: Vec<f64> = rows.iter().map(|(_, value, _)| *value).collect();
    let predicted: Vec<f64> = rows.iter().map(|(columns, ..)| intercept + slope * columns[1]).collect();
    let plain = |logarithms: &[f64]| logarithms.iter().map(|logarithm| logarithm.exp()).collect::<Vec<f64>>();
    check_scatter(&plain(&values), &plain(&predicted), 2)?;
    Ok(PowerLaw {
        factor: intercept.exp(),
        exponent: Interval { value: slope, low: Some(slope - half), high: Some(slope + half) },
        r_squared: r_squared(&values, &predicted),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_law_that_holds_exactly_is_found() {
        let points: Vec<_> = [1.0, 2.0, 4.0, 8.0].map(|n: f64| (n, 1500.0 * n.powf(0.83))).into();
        let law = fit_power_law(&points).unwrap();
        assert!((law.factor - 1500.0).abs() < 1e-6 && (law.exponent.value - 0.83).abs() < 1e-9, "{law:?}");
        assert!((law.r_squared.unwrap() - 1.0).abs() < 1e-9);
        assert!((law.exponent.high.unwrap() - 0.83).abs() < 1e-6);
        assert!((law.at(3.0) - 1500.0 * 3.0_f64.powf(0.83)).abs() < 1e-6);
    }

    #[test]
    fn the_interval_holds_the_true_exponent_as_often_as_it_says() {
        let mut random = fastrand::Rng::with_seed(7);
        // The sum of twelve even numbers is nearly normal with a variance of 1.
        let mut noise = || (0..12).map(|_| random.f64()).sum::<f64>() - 6.0;
        let rounds = 1000;
        let held = (0..rounds).filter(|_| {
            let points = [1.0_f64, 2.0, 4.0, 8.0].repeat(3).into_iter();
            let points: Vec<_> = points.map(|n| (n, 100.0 * n.powf(0.9) * (0.1 * noise()).exp())).collect();
            let exponent = fit_power_law(&points).unwrap().exponent;
            exponent.low.unwrap() <= 0.9 && 0.9 <= exponent.high.unwrap()
        });
        let share = held.count() as f64 / f64::from(rounds);
        // Four standard deviations of such a share are 0.028.
        assert!((share - 0.95).abs() < 0.028, "{share}");
    }

    #[test]
    fn no_law_where_the_points_do_not_support_one() {
        let few = fit_power_law(&[(1.0, 10.0), (2.0, 20.0), (2.0, 21.0)]);
        assert_eq!(few, Err(NoFit::TooFewPlaces { found: 2, needed: 3 }));
        assert_eq!(fit_power_law(&[(1.0, 10.0), (2.0, 0.0), (4.0, 40.0)]), Err(NoFit::NotPositive));
        assert_eq!(fit_power_law(&[(1.0, 10.0), (2.0, f64::NAN), (4.0, 40.0)]), Err(NoFit::NotPositive));
        assert_eq!(fit_power_law(&[]), Err(NoFit::TooFewPlaces { found: 0, needed: 3 }));
        // Up with the second worker, down with the fourth.
        let bent = [(1.0, 1900.0), (2.0, 5200.0), (4.0, 3800.0), (8.0, 4400.0)].repeat(2);
        assert_eq!(fit_power_law(&bent), Err(NoFit::Scattered { percent: 34 }));
    }

    #[test]
    fn without_any_scaling_the_exponent_is_zero() {
        let law = fit_power_law(&[(1.0, 10.0), (2.0, 10.0), (4.0, 10.0)]).unwrap();
        assert!(law.exponent.value.abs() < 1e-12 && law.r_squared.is_none(), "{law:?}");
    }
}
