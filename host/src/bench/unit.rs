//! What figures are in, and how they are shown.

use serde::{Deserialize, Serialize};

/// What a figure is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Unit {
    /// Calls or tasks per second.
    PerSecond,
    /// A time in microseconds.
    Microseconds,
    /// Memory in bytes.
    Bytes,
}

impl Unit {
    /// Whether less is better.
    pub(crate) fn is_cost(self) -> bool {
        self != Self::PerSecond
    }

    /// A figure for people, with three digits at least.
    pub(crate) fn show(self, figure: f64) -> String {
        match self {
            Self::PerSecond => format!("{}/s", grouped(figure)),
            Self::Microseconds if figure >= 1000.0 => format!("{} ms", three_digits(figure / 1000.0)),
            Self::Microseconds => format!("{} µs", three_digits(figure)),
            Self::Bytes if figure >= 1e6 => format!("{} MB", three_digits(figure / 1e6)),
            Self::Bytes => format!("{} KB", three_digits(figure / 1e3)),
        }
    }
}

fn three_digits(number: f64) -> String {
    let places = match number.abs() {
        ..10.0 => 2,
        10.0..100.0 => 1,
        _ => 0,
    };
    let text = format!("{number:.places$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

/// A whole number with commas between thousands.
fn grouped(number: f64) -> String {
    let digits = format!("{:.0}", number.max(0.0));
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_short_and_have_their_unit() {
        let shown = [
            Unit::PerSecond.show(20_000.4),
            Unit::PerSecond.show(999.6),
            Unit::PerSecond.show(1_234_567.0),
            Unit::Microseconds.show(63.25),
            Unit::Microseconds.show(3000.0),
            Unit::Microseconds.show(1234.0),
            Unit::Bytes.show(30e6),
            Unit::Bytes.show(299_600.0),
        ];
        assert_eq!(shown, ["20,000/s", "1,000/s", "1,234,567/s", "63.2 µs", "3 ms", "1.23 ms", "30 MB", "300 KB"]);
    }
}
