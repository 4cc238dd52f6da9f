//! Gunther's Universal Scalability Law: `X(N) = λ N / (1 + σ (N − 1) + κ N (N − 1))`. Contention (σ) makes
//! throughput level off; waiting for each other to agree (κ) makes it fall again.
//!
//! `N / X` is linear in `1/λ`, `σ/λ` and `κ/λ`: fitted by least squares with weights that make relative
//! errors count alike, and with σ and κ not below zero, where the law has no meaning.

use super::interval::student;
use super::{Interval, NoFit, check, check_scatter, least_squares, r_squared};

/// Numbers of workers that a fit takes: three determine the law without saying how good it is.
const NEEDED_PLACES: usize = 4;

/// The law.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Usl {
    /// The throughput of one worker (λ).
    pub lambda: f64,
    /// Contention (σ), 0 or above; without an interval where the fit ends at that bound.
    pub sigma: Interval,
    /// Coherency (κ), 0 or above; likewise.
    pub kappa: Interval,
    /// The share of the scatter of the throughput that it explains; none without scatter.
    pub r_squared: Option<f64>,
}

impl Usl {
    /// The throughput of so many workers.
    pub fn at(&self, workers: f64) -> f64 {
        let (n, sigma, kappa) = (workers, self.sigma.value, self.kappa.value);
        self.lambda * n / (1.0 + sigma * (n - 1.0) + kappa * n * (n - 1.0))
    }

    /// The number of workers beyond which throughput falls; none where it never does.
    pub fn peak(&self) -> Option<f64> {
        let (sigma, kappa) = (self.sigma.value, self.kappa.value);
        (kappa > 0.0 && sigma < 1.0).then(|| ((1.0 - sigma) / kappa).sqrt())
    }
}

/// Fits the law to points of (workers, throughput).
///
/// # Errors
/// [`NoFit`].
pub fn fit_usl(points: &[(f64, f64)]) -> Result<Usl, NoFit> {
    check(points, NEEDED_PLACES)?;
    // Which of σ and κ are fitted; the others are zero.
    let ways = [(true, true), (true, false), (false, true), (false, false)];
    let fits = ways.into_iter().filter_map(|way| fit_some(points, way));
    let (law, _) = fits.min_by(|a, b| a.1.total_cmp(&b.1)).ok_or(NoFit::Degenerate)?;
    let values: Vec<f64> = points.iter().map(|(_, x)| *x).collect();
    let predicted: Vec<f64> = points.iter().map(|(n, _)| law.at(*n)).collect();
    check_scatter(&values, &predicted, NEEDED_PLACES - 1)?;
    Ok(law)
}

/// The law with some of its parameters, and the squares that are left; none where one is below zero.
fn fit_some(points: &[(f64, f64)], (with_sigma, with_kappa): (bool, bool)) -> Option<(Usl, f64)> {
    let rows: Vec<_> = points
        .iter()
        .map(|(n, x)| {
            let optional = [(with_sigma, n - 1.0), (with_kappa, n * (n - 1.0))];
            let columns = std::iter::once(1.0).chain(optional.into_iter().filter(|(is, _)| *is).map(|(_, it)| it));
            (columns.collect::<Vec<_>>(), n / x, (x / n).powi(2))
        })
        .collect();
    let fit = least_squares::fit(&rows)?;
    let first = fit.parameters[0];
    if first <= 0.0 || fit.parameters.iter().any(|parameter| *parameter < 0.0 || !parameter.is_finite()) {
        return None;
    }
    let degrees = points.len() - fit.parameters.len();
    let variance = fit.left / degrees as f64;
    let wide = student(degrees)?;
    // The ratio of two parameters, by the first terms of its series.
    let ratio = |place: Option<usize>| match place {
        None => Interval { value: 0.0, low: None, high: None },
        Some(place) => {
            let value = fit.parameters[place] / first;
            let inverse = &fit.inverse;
            let spread = inverse[place][place] + value.powi(2) * inverse[0][0] - 2.0 * value * inverse[0][place];
            let half = wide * (variance * spread.max(0.0)).sqrt() / first;
            Interval { value, low: Some((value - half).max(0.0)), high: Some(value + half) }
        }
    };
    let sigma = ratio(with_sigma.then_some(1));
    let kappa = ratio(with_kappa.then_some(1 + usize::from(with_sigma)));
    let mut law = Usl { lambda: 1.0 / first, sigma, kappa, r_squared: None };
    let values: Vec<f64> = points.iter().map(|(_, x)| *x).collect();
    let predicted: Vec<f64> = points.iter().map(|(n, _)| law.at(*n)).collect();
    law.r_squared = r_squared(&values, &predicted);
    Some((law, fit.left))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exact(lambda: f64, sigma: f64, kappa: f64) -> Vec<(f64, f64)> {
        let law = |n: f64| lambda * n / (1.0 + sigma * (n - 1.0) + kappa * n * (n - 1.0));
        [1.0, 2.0, 4.0, 8.0, 16.0].map(|n| (n, law(n))).into()
    }

    #[test]
    fn a_law_that_holds_exactly_is_found_with_its_peak() {
        let law = fit_usl(&exact(900.0, 0.05, 0.002)).unwrap();
        assert!((law.lambda - 900.0).abs() < 1e-6, "{law:?}");
        assert!((law.sigma.value - 0.05).abs() < 1e-9 && (law.kappa.value - 0.002).abs() < 1e-9, "{law:?}");
        assert!((law.peak().unwrap() - (0.95_f64 / 0.002).sqrt()).abs() < 1e-6);
        assert!((law.r_squared.unwrap() - 1.0).abs() < 1e-9);
    }

    #[test]
    fn parameters_stay_where_they_have_a_meaning() {
        // Better than linear, as when memory that all share is warm: neither parameter may turn negative.
        let law = fit_usl(&[(1.0, 100.0), (2.0, 210.0), (4.0, 440.0), (8.0, 900.0)]).unwrap();
        assert_eq!((law.sigma.value, law.kappa.value, law.peak()), (0.0, 0.0, None));
        assert!(law.sigma.low.is_none());
        let amdahl = fit_usl(&exact(100.0, 0.2, 0.0)).unwrap();
        assert!((amdahl.sigma.value - 0.2).abs() < 1e-6 && amdahl.kappa.value.abs() < 1e-6, "{amdahl:?}");
    }

    #[test]
    fn no_law_of_too_few_numbers_of_workers() {
        let few = fit_usl(&exact(100.0, 0.1, 0.0)[..3]);
        assert_eq!(few, Err(NoFit::TooFewPlaces { found: 3, needed: 4 }));
    }

    #[test]
    fn no_law_far_from_its_points() {
        let jumping = [(1.0, 100.0), (2.0, 900.0), (4.0, 150.0), (8.0, 1200.0)].repeat(2);
        assert!(matches!(fit_usl(&jumping), Err(NoFit::Scattered { .. })), "{:?}", fit_usl(&jumping));
    }
}
