//! Axes: from values to places between 0 and 1, and the ticks.

use crate::numbers;

/// How values become places.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scale {
    Linear,
    Log,
}

/// An axis.
#[derive(Clone, Debug)]
pub(super) struct Axis {
    /// What is on it, with the unit.
    pub(super) label: String,
    scale: Scale,
    low: f64,
    high: f64,
    /// Values with their texts, ascending.
    ticks: Vec<(f64, String)>,
    /// Whether lines go from the ticks through the panel.
    pub(super) has_grid: bool,
}

/// How values are written on an axis.
type Write = fn(f64) -> String;

/// Ticks at which an axis is full.
const MAX_TICKS: usize = 9;

impl Axis {
    /// From zero to beyond the largest of the values.
    pub(super) fn linear(label: &str, values: impl IntoIterator<Item = f64>) -> Self {
        let high = values.into_iter().filter(|value| value.is_finite()).fold(0.0, f64::max);
        let high = if high > 0.0 { high * 1.08 } else { 1.0 };
        Self::between(label, 0.0, high)
    }

    /// From one value to another.
    pub(super) fn between(label: &str, low: f64, high: f64) -> Self {
        let step = round_step((high - low) / 5.0);
        let first = (low / step).ceil() as i64;
        let last = (high / step + 1e-9).floor() as i64;
        let ticks = (first..=last).map(|count| count as f64 * step).map(|value| (value, numbers::tick(value)));
        Self { label: label.to_owned(), scale: Scale::Linear, low, high, ticks: ticks.collect(), has_grid: true }
    }

    /// Around values above zero, in their logarithms.
    pub(super) fn log(label: &str, values: impl IntoIterator<Item = f64>, write: Write) -> Self {
        let mut values: Vec<f64> = values.into_iter().filter(|value| *value > 0.0 && value.is_finite()).collect();
        values.sort_by(f64::total_cmp);
        let least = values.first().copied().unwrap_or(1.0);
        let most = values.last().copied().unwrap_or(10.0);
        // Room at the ends, and at least a factor of four in all.
        let (low, high) = (least / 1.25, most * 1.25);
        let widen = (4.0 / (high / low)).max(1.0).sqrt();
        let (low, high) = (low / widen, high * widen);
        Self {
            label: label.to_owned(),
            scale: Scale::Log,
            low,
            high,
            ticks: log_ticks(low, high, write),
            has_grid: true,
        }
    }

    /// With ticks at these values, in their logarithms.
    pub(super) fn log_at(label: &str, values: &[f64], write: Write) -> Self {
        let mut ticks = values.to_vec();
        ticks.sort_by(f64::total_cmp);
        ticks.dedup();
        let axis = Self::log(label, ticks.iter().copied(), write);
        Self { ticks: ticks.into_iter().map(|value| (value, write(value))).collect(), ..axis }
    }

    /// Names at 0, 1, 2 and so on.
    pub(super) fn names(label: &str, names: impl IntoIterator<Item = String>) -> Self {
        let ticks: Vec<_> = names.into_iter().enumerate().map(|(place, name)| (place as f64, name)).collect();
        let high = ticks.len() as f64 - 0.4;
        Self { label: label.to_owned(), scale: Scale::Linear, low: -0.6, high: high.max(0.6), ticks, has_grid: true }
    }

    /// Names at 0, −1, −2 and so on: from the top down.
    pub(super) fn names_down(names: impl IntoIterator<Item = String>) -> Self {
        let axis = Self::names("", names);
        let mut ticks: Vec<_> = axis.ticks.into_iter().map(|(place, name)| (-place, name)).collect();
        ticks.reverse();
        Self { low: -axis.high, high: -axis.low, ticks, has_grid: false, ..axis }
    }

    /// Where a value is; 0 is the beginning and 1 the end. None for what a logarithm cannot show.
    pub(super) fn place(&self, value: f64) -> Option<f64> {
        let place = match self.scale {
            Scale::Linear => (value - self.low) / (self.high - self.low),
            Scale::Log if value > 0.0 => (value / self.low).ln() / (self.high / self.low).ln(),
            Scale::Log => return None,
        };
        place.is_finite().then_some(place)
    }

    /// Places with the texts of the ticks.
    pub(super) fn ticks(&self) -> Vec<(f64, &str)> {
        self.ticks.iter().filter_map(|(value, text)| Some((self.place(*value)?, text.as_str()))).collect()
    }

    /// The least value.
    pub(super) fn low(&self) -> f64 {
        self.low
    }

    /// The largest value.
    pub(super) fn high(&self) -> f64 {
        self.high
    }
}

/// The next larger of 1, 2 and 5 times a power of ten.
fn round_step(rough: f64) -> f64 {
    if !(rough.is_finite() && rough > 0.0) {
        return 1.0;
    }
    let power = 10_f64.powf(rough.log10().floor());
    let factor = [1.0, 2.0, 5.0, 10.0].into_iter().find(|factor| factor * power >= rough * 0.9);
    factor.unwrap_or(10.0) * power
}

/// Powers of ten, with 2 and 5 between them where there is room, or 3, or fewer where there is none.
fn log_ticks(low: f64, high: f64, write: Write) -> Vec<(f64, String)> {
    let (first, last) = (low.log10().floor() as i32, high.log10().ceil() as i32);
    let with = |factors: &[f64], every: usize| -> Vec<(f64, String)> {
        let powers = (first..=last).filter(|power| (power - first).rem_euclid(every as i32) == 0);
        let values = powers.flat_map(|power| factors.iter().map(move |factor| factor * 10_f64.powi(power)));
        values.filter(|value| (low..=high).contains(value)).map(|value| (value, write(value))).collect()
    };
    let ways = [
        with(&[1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0], 1),
        with(&[1.0, 2.0, 5.0], 1),
        with(&[1.0, 3.0], 1),
        with(&[1.0], 1),
        with(&[1.0], 2),
    ];
    let fitting = ways.into_iter().find(|ticks| ticks.len() <= MAX_TICKS);
    fitting.unwrap_or_else(|| with(&[1.0], 4))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(axis: &Axis) -> Vec<String> {
        axis.ticks().into_iter().map(|(_, text)| text.to_owned()).collect()
    }

    #[test]
    fn ticks_are_round_and_within_the_axis() {
        assert_eq!(texts(&Axis::linear("x", [0.93])), ["0", "0.2", "0.4", "0.6", "0.8", "1"]);
        let wide = Axis::log("x", [1.0, 1e5], numbers::tick);
        assert_eq!(texts(&wide), ["1", "10", "100", "1000", "10k", "100k"]);
        for axis in [wide, Axis::log("x", [100.0, 130.0], numbers::tick), Axis::linear("x", [])] {
            assert!(axis.ticks().len() >= 2, "{axis:?}");
            assert!(axis.ticks().iter().all(|(place, _)| (-1e-9..=1.0 + 1e-9).contains(place)), "{axis:?}");
        }
    }

    #[test]
    fn a_logarithm_shows_nothing_at_zero() {
        let axis = Axis::log("x", [1.0, 100.0], numbers::tick);
        assert_eq!(axis.place(0.0), None);
        assert!((axis.place(10.0).unwrap() - 0.5).abs() < 1e-9);
    }

    #[test]
    fn names_from_the_top_down_keep_their_order() {
        let axis = Axis::names_down(["a".to_owned(), "b".to_owned()]);
        assert_eq!(texts(&axis), ["b", "a"]);
        assert!(axis.place(0.0).unwrap() > axis.place(-1.0).unwrap());
    }
}
