//! Numbers as people read them.

/// A number with three significant digits, and commas between thousands.
pub(crate) fn plain(value: f64) -> String {
    if !value.is_finite() {
        return "–".to_owned();
    }
    let magnitude = value.abs();
    let digits = match magnitude {
        _ if magnitude >= 100.0 || magnitude == 0.0 => 0,
        _ if magnitude >= 10.0 => 1,
        _ if magnitude >= 1.0 => 2,
        _ => 3,
    };
    let text = format!("{value:.digits$}");
    let (sign, unsigned) = text.strip_prefix('-').map_or(("", text.as_str()), |rest| ("-", rest));
    let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
    let mut grouped = String::new();
    for (index, digit) in whole.chars().enumerate() {
        if index > 0 && (whole.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    if fraction.is_empty() { format!("{sign}{grouped}") } else { format!("{sign}{grouped}.{fraction}") }
}

/// A tick of an axis: as short as can be.
pub(crate) fn tick(value: f64) -> String {
    let magnitude = value.abs();
    let (scaled, unit) = match magnitude {
        _ if magnitude >= 1e6 => (value / 1e6, "M"),
        _ if magnitude >= 1e4 => (value / 1e3, "k"),
        _ => (value, ""),
    };
    let text = format!("{scaled:.4}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    format!("{text}{unit}")
}

/// A time in its fitting unit.
pub(crate) fn time_us(microseconds: f64) -> String {
    match microseconds {
        _ if !microseconds.is_finite() => "–".to_owned(),
        _ if microseconds >= 1e6 => format!("{} s", plain(microseconds / 1e6)),
        _ if microseconds >= 1e3 => format!("{} ms", plain(microseconds / 1e3)),
        _ => format!("{} µs", plain(microseconds.round())),
    }
}

/// The same as a tick of an axis: without zeros that say nothing.
pub(crate) fn time_tick(microseconds: f64) -> String {
    match microseconds {
        _ if microseconds >= 1e6 => format!("{} s", tick(microseconds / 1e6)),
        _ if microseconds >= 1e3 => format!("{} ms", tick(microseconds / 1e3)),
        _ => format!("{} µs", tick(microseconds)),
    }
}

/// How many there are.
pub(crate) fn count(count: u64) -> String {
    let digits = count.to_string();
    let groups = digits.as_bytes().rchunks(3).rev().map(|group| String::from_utf8_lossy(group).into_owned());
    groups.collect::<Vec<_>>().join(",")
}

/// A size in its fitting unit.
pub(crate) fn bytes(bytes: f64) -> String {
    const KIB: f64 = 1024.0;
    match bytes {
        _ if bytes >= KIB.powi(3) => format!("{} GiB", trimmed(bytes / KIB.powi(3))),
        _ if bytes >= KIB.powi(2) => format!("{} MiB", trimmed(bytes / KIB.powi(2))),
        _ if bytes >= KIB => format!("{} KiB", trimmed(bytes / KIB)),
        _ => format!("{} B", trimmed(bytes)),
    }
}

fn trimmed(value: f64) -> String {
    let text = plain(value);
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

/// A share in percent.
pub(crate) fn percent(share: f64) -> String {
    match share {
        _ if !share.is_finite() => "–".to_owned(),
        // What is nearly all is not all.
        _ if share < 1.0 && share > 0.9995 => format!("{:.3} %", (share * 100_000.0).floor() / 1000.0),
        _ => format!("{:.1} %", share * 100.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short_and_grouped() {
        assert_eq!(
            [0.0, 0.123_45, 1.0, 12.34, 1234.5, 1e6].map(plain),
            ["0", "0.123", "1.00", "12.3", "1,234", "1,000,000"]
        );
        assert_eq!(plain(-1234.0), "-1,234");
        assert_eq!([0, 80, 1234, 1_000_000].map(count), ["0", "80", "1,234", "1,000,000"]);
        assert_eq!([1.5, 1000.0, 2e6].map(time_tick), ["1.5 µs", "1 ms", "2 s"]);
        assert_eq!([0.5, 2.0, 10_000.0, 2_500_000.0].map(tick), ["0.5", "2", "10k", "2.5M"]);
    }

    #[test]
    fn units_fit() {
        assert_eq!([12.0, 1500.0, 2e6].map(time_us), ["12.0 µs", "1.50 ms", "2.00 s"]);
        assert_eq!([0.0, 1024.0, 1_048_576.0, 1536.0].map(bytes), ["0 B", "1 KiB", "1 MiB", "1.5 KiB"]);
        assert_eq!([1.0, 0.99999, 0.5].map(percent), ["100.0 %", "99.999 %", "50.0 %"]);
    }
}
