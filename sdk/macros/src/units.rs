//! Durations and sizes as people write them: `"5s"`, `"64MiB"`.

/// The units of durations, in milliseconds.
const DURATIONS: &[(&str, u64)] = &[("ms", 1), ("s", 1000), ("min", 60 * 1000), ("h", 60 * 60 * 1000)];

/// The units of sizes, in bytes. Powers of ten have the SI names, powers of two the IEC ones (IEC 80000-13).
const SIZES: &[(&str, u64)] = &[
    ("B", 1),
    ("kB", 1000),
    ("MB", 1000 * 1000),
    ("GB", 1000 * 1000 * 1000),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
];

/// Reads a duration into milliseconds, or says what is wrong with it.
pub(crate) fn duration_ms(text: &str) -> Result<u64, String> {
    quantity(text, DURATIONS, "duration", "5s")
}

/// Reads a size into bytes, or says what is wrong with it.
pub(crate) fn size_bytes(text: &str) -> Result<u64, String> {
    quantity(text, SIZES, "size", "64MiB")
}

fn quantity(text: &str, units: &[(&str, u64)], what: &str, example: &str) -> Result<u64, String> {
    let text = text.trim();
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    let known: Vec<&str> = units.iter().map(|&(name, _)| name).collect();
    let expected = format!("expected a {what} such as \"{example}\": a whole number and one of {}", known.join(", "));
    let number: u64 = number.parse().map_err(|_| expected.clone())?;
    let factor =
        units.iter().find(|&&(name, _)| name == unit.trim_start()).map(|&(_, factor)| factor).ok_or(expected)?;
    match number.checked_mul(factor) {
        Some(0) => Err(format!("a {what} of zero leaves the function nothing to run with")),
        Some(value) => Ok(value),
        None => Err(format!("this {what} is too large")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_read() {
        assert_eq!(duration_ms("5s"), Ok(5000));
        assert_eq!(duration_ms("250 ms"), Ok(250));
        assert_eq!(duration_ms("2h"), Ok(7_200_000));
        assert_eq!(size_bytes("64MiB"), Ok(64 << 20));
        assert_eq!(size_bytes("3kB"), Ok(3000));
    }

    #[test]
    fn what_is_no_quantity_is_refused() {
        for text in ["", "5", "s", "-5s", "1.5s", "5 parsecs", "5S", "99999999999999999999s"] {
            assert!(duration_ms(text).unwrap_err().contains("expected"), "{text:?}");
        }
        assert!(duration_ms("0s").unwrap_err().contains("zero"));
        assert!(size_bytes("18446744073709551615GiB").unwrap_err().contains("too large"));
    }
}
