//! Query strings: every parameter is known or refused by name.

use std::time::Duration;

use axum::extract::Query;
use axum::http::Uri;

use super::api::DurationText;
use super::problem::Problem;

/// The parameters of a request, in order.
///
/// # Errors
/// A problem naming the first parameter that is not among `known`. A known name that ends with `.`
/// stands for all that begin with it.
pub(super) fn read(uri: &Uri, known: &[&str]) -> Result<Vec<(String, String)>, Problem> {
    if uri.query().is_none_or(str::is_empty) {
        return Ok(Vec::new());
    }
    let Query(pairs) = Query::<Vec<(String, String)>>::try_from_uri(uri)
        .map_err(|error| Problem::invalid("query", format!("the query cannot be read: {error}")))?;
    let is_known =
        |name: &str| known.iter().any(|known| name == *known || known.ends_with('.') && name.starts_with(known));
    if let Some((name, _)) = pairs.iter().find(|(name, _)| !is_known(name)) {
        let detail = match known {
            [] => format!("unknown parameter `{name:.64}`; there are none here"),
            known => format!("unknown parameter `{name:.64}`; known are {}", known.join(", ")),
        };
        let known = known.iter().map(|known| (*known).to_owned()).collect();
        return Err(Problem::invalid(name.as_str(), detail).with_known(known));
    }
    Ok(pairs)
}

/// The last value of a parameter.
pub(super) fn get<'a>(pairs: &'a [(String, String)], name: &str) -> Option<&'a str> {
    pairs.iter().rev().find(|(given, _)| given == name).map(|(_, value)| value.as_str())
}

/// The parameter `wait`, cut to `longest`; zero when absent.
pub(super) fn wait(pairs: &[(String, String)], longest: Duration) -> Result<Duration, Problem> {
    let Some(text) = get(pairs, "wait") else { return Ok(Duration::ZERO) };
    let wait: DurationText = parse("wait", text)?;
    Ok(wait.0.min(longest))
}

/// The parameter `limit` of a listing, 1 to `most`; `default` when absent.
pub(super) fn limit(pairs: &[(String, String)], default: usize, most: usize) -> Result<usize, Problem> {
    let Some(text) = get(pairs, "limit") else { return Ok(default) };
    match text.parse() {
        Ok(limit) if (1..=most).contains(&limit) => Ok(limit),
        _ => Err(Problem::invalid("limit", format!("`limit`: {text:.64} is not between 1 and {most}"))),
    }
}

/// The value of a parameter.
pub(super) fn parse<T>(name: &str, text: &str) -> Result<T, Problem>
where
    T: std::str::FromStr,
    T::Err: std::fmt::Display,
{
    text.parse().map_err(|error| Problem::invalid(name, format!("`{name}`: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(query: &str, known: &[&str]) -> Result<Vec<(String, String)>, Problem> {
        read(&format!("/x?{query}").parse().unwrap(), known)
    }

    fn field(problem: Problem) -> Option<String> {
        problem.into_body("r").field
    }

    #[test]
    fn unknown_parameters_are_refused_by_name() {
        let known = ["wait", "label."];
        assert_eq!(pairs("", &known).unwrap(), []);
        assert_eq!(pairs("wait=1s&label.a=b%20c", &known).unwrap()[1], ("label.a".to_owned(), "b c".to_owned()));
        assert_eq!(field(pairs("wiat=1s", &known).unwrap_err()).as_deref(), Some("wiat"));
        assert_eq!(field(pairs("labels=1", &known).unwrap_err()).as_deref(), Some("labels"));
    }

    #[test]
    fn waits_have_a_bound() {
        let longest = Duration::from_secs(300);
        let read = |query: &str| wait(&pairs(query, &["wait"]).unwrap(), longest);
        assert_eq!(read("").unwrap(), Duration::ZERO);
        assert_eq!(read("wait=30s").unwrap(), Duration::from_secs(30));
        assert_eq!(read("wait=500ms").unwrap(), Duration::from_millis(500));
        assert_eq!(read("wait=300s").unwrap(), longest);
        assert_eq!(read("wait=1h").unwrap(), longest);
        assert_eq!(field(read("wait=soon").unwrap_err()).as_deref(), Some("wait"));
        assert_eq!(field(read("wait=-1").unwrap_err()).as_deref(), Some("wait"));
    }

    #[test]
    fn limits_hold_at_and_beyond_their_edges() {
        let read = |query: &str| limit(&pairs(query, &["limit"]).unwrap(), 100, 1000);
        assert_eq!(read("").unwrap(), 100);
        assert_eq!(read("limit=1").unwrap(), 1);
        assert_eq!(read("limit=1000").unwrap(), 1000);
        for wrong in ["limit=0", "limit=1001", "limit=-1", "limit=x"] {
            assert_eq!(field(read(wrong).unwrap_err()).as_deref(), Some("limit"), "{wrong}");
        }
    }
}
