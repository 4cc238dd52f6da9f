//! Takes log lines apart with a regular expression.

use std::collections::BTreeMap;

use bulkhead::Error;
use regex::Regex;
use schemars::JsonSchema;
use serde::Serialize;

/// What a pattern found in a log.
#[derive(Serialize, JsonSchema)]
pub struct Extract {
    /// The captures of every line that matched, in the order of the lines.
    matches: Vec<LineMatch>,
    /// How many lines did not match.
    unmatched: usize,
}

/// The captures of one line.
#[derive(Serialize, JsonSchema)]
pub struct LineMatch {
    /// The number of the line, from 1.
    line: usize,
    /// By the names in the pattern, or by number where a group has none. Groups that took no part are absent.
    captures: BTreeMap<String, String>,
}

/// Matches every line of `log` against `pattern` and gives its capture groups.
///
/// Patterns are those of Rust's regex crate, which takes time linear in the text for every pattern.
///
/// ```json
/// {"log": "2026-01-02 ERROR disk full\n2026-01-03 INFO ok", "pattern": "(?<day>\\S+) ERROR (?<what>.*)"}
/// ```
///
/// # Errors
///
/// `bad_pattern` when the pattern is none, or would be too large.
#[bulkhead::function]
pub fn log_extract(log: String, pattern: String) -> Result<Extract, Error> {
    let regex = Regex::new(&pattern).map_err(|error| Error::from(error).with_code("bad_pattern"))?;
    let names: Vec<String> = regex
        .capture_names()
        .enumerate()
        .map(|(index, name)| name.map_or_else(|| index.to_string(), str::to_owned))
        .collect();

    let mut matches = Vec::new();
    let mut unmatched = 0;
    for (index, line) in log.lines().enumerate() {
        let Some(found) = regex.captures(line) else {
            unmatched += 1;
            continue;
        };
        // Group 0 is the whole match.
        let captures = found
            .iter()
            .zip(&names)
            .skip(1)
            .filter_map(|(group, name)| Some((name.clone(), group?.as_str().to_owned())))
            .collect();
        matches.push(LineMatch { line: index + 1, captures });
    }
    Ok(Extract { matches, unmatched })
}

#[cfg(test)]
mod tests {
    use bulkhead::{
        json,
        testing::{Call, Outcome},
    };

    #[test]
    fn it_extracts() {
        let log = "GET /a 200\nnonsense\nPOST /b 503";
        let pattern = r"(?<verb>[A-Z]+) (\S+) (?<status>\d+)";
        let outcome = Call::new("log_extract").args([log, pattern]).run();
        let expected = json!({
            "matches": [
                {"line": 1, "captures": {"verb": "GET", "2": "/a", "status": "200"}},
                {"line": 3, "captures": {"verb": "POST", "2": "/b", "status": "503"}},
            ],
            "unmatched": 1,
        });
        assert_eq!(outcome, Outcome::Succeeded(expected));
    }

    #[test]
    fn it_refuses_what_is_no_pattern() {
        let outcome = Call::new("log_extract").args(["", "("]).run();
        assert_eq!(outcome.expect_error_code(), "bad_pattern");
    }
}
