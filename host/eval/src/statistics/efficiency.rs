//! How much of what more workers promise is there.

use super::mean;

/// Points of (workers, throughput) as (workers, share of what as many single workers would do), against
/// the smallest number of workers that was measured. Repetitions are averaged.
pub fn weak_efficiencies(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let means = means(points);
    let Some((base_workers, base)) = means.first().copied() else { return Vec::new() };
    let single = base / base_workers;
    means.into_iter().map(|(workers, throughput)| (workers, throughput / workers / single)).collect()
}

/// Points of (workers, seconds for the same work) as (workers, how many times faster than the smallest
/// number of workers, times that number). Repetitions are averaged.
pub fn speedups(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let means = means(points);
    let Some((base_workers, base)) = means.first().copied() else { return Vec::new() };
    means.into_iter().map(|(workers, seconds)| (workers, base_workers * base / seconds)).collect()
}

/// The mean of the values at each place, by place.
fn means(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let mut places: Vec<f64> = points.iter().map(|(place, _)| *place).collect();
    places.sort_by(f64::total_cmp);
    places.dedup();
    let at = |place: f64| -> Vec<f64> {
        points.iter().filter(|(other, _)| *other == place).map(|(_, value)| *value).collect()
    };
    places.into_iter().filter_map(|place| Some((place, mean(&at(place))?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Tasks of a known length on workers that hinder each other in a known way: one after the other on
    /// each, and a part of each task that only one worker can do at a time.
    struct Cluster {
        alone_seconds: f64,
        shared_seconds: f64,
    }

    impl Cluster {
        /// How long `tasks` take on `workers`, when neither part waits for more than it must.
        fn seconds(&self, workers: u32, tasks: u32) -> f64 {
            let mut free = vec![0.0_f64; workers as usize];
            let mut shared_free = 0.0_f64;
            let mut last = 0.0_f64;
            for _ in 0..tasks {
                let next = (0..free.len()).min_by(|a, b| free[*a].total_cmp(&free[*b])).unwrap();
                let alone_done = free[next] + self.alone_seconds;
                let done = alone_done.max(shared_free) + self.shared_seconds;
                (shared_free, free[next]) = (done, done);
                last = last.max(done);
            }
            last
        }
    }

    #[test]
    fn workers_that_do_not_hinder_each_other_are_perfectly_efficient() {
        let cluster = Cluster { alone_seconds: 0.010, shared_seconds: 0.0 };
        let weak = [1_u32, 2, 4, 8].map(|n| (f64::from(n), f64::from(200 * n) / cluster.seconds(n, 200 * n)));
        assert!((weak[0].1 - 100.0).abs() < 1e-9, "a task of 10 ms is 100 a second: {weak:?}");
        for (_, efficiency) in weak_efficiencies(&weak) {
            assert!((efficiency - 1.0).abs() < 1e-9);
        }
        let strong = [1_u32, 2, 4, 8].map(|n| (f64::from(n), cluster.seconds(n, 1600)));
        for (workers, speedup) in speedups(&strong) {
            assert!((speedup - workers).abs() < 1e-9, "{workers}: {speedup}");
        }
        let law = crate::statistics::fit_power_law(&weak).unwrap();
        assert!((law.exponent.value - 1.0).abs() < 1e-9 && (law.factor - 100.0).abs() < 1e-6);
    }

    #[test]
    fn a_part_that_only_one_can_do_bounds_all() {
        let cluster = Cluster { alone_seconds: 0.006, shared_seconds: 0.002 };
        // One alone needs 8 ms; the shared part lets through 500 a second at most: full from 4 workers on.
        let weak: Vec<_> =
            [1_u32, 2, 4, 8, 16].map(|n| (f64::from(n), f64::from(2000 * n) / cluster.seconds(n, 2000 * n))).into();
        let efficiencies = weak_efficiencies(&weak);
        let expected = [1.0, 1.0, 1.0, 0.5, 0.25];
        for ((workers, found), expected) in efficiencies.into_iter().zip(expected) {
            assert!((found - expected).abs() < 0.002, "{workers}: {found} against {expected}");
        }
        assert!((weak[4].1 - 500.0).abs() < 0.5, "{weak:?}");
        let law = crate::statistics::fit_usl(&weak).unwrap();
        assert!((law.at(16.0) / 500.0 - 1.0).abs() < 0.1, "it levels off: {law:?}");
    }

    #[test]
    fn repetitions_are_averaged_and_the_smallest_number_counts_as_whole() {
        let efficiencies = weak_efficiencies(&[(4.0, 300.0), (2.0, 190.0), (2.0, 210.0)]);
        assert_eq!(efficiencies, [(2.0, 1.0), (4.0, 0.75)]);
        assert_eq!(speedups(&[(2.0, 10.0), (4.0, 5.0)]), [(2.0, 2.0), (4.0, 4.0)]);
        assert!(weak_efficiencies(&[]).is_empty() && speedups(&[]).is_empty());
    }
}
