//! The `Prefer` header (RFC 7240): how long a client wants to wait.

use std::time::Duration;

use axum::http::{HeaderMap, HeaderName, HeaderValue};

const PREFER: HeaderName = HeaderName::from_static("prefer");
/// Tells the client which preference was followed.
pub(super) const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");

/// What a client prefers, of what is understood here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Prefer {
    /// Answer at once with where the result will be.
    pub(super) respond_async: bool,
    /// Answer with where the result will be after this long at the latest.
    pub(super) wait: Option<Duration>,
}

impl Prefer {
    /// Reads the headers. As the RFC says: names in any case, the first of two equal ones counts,
    /// what is unknown or malformed is ignored. A wait beyond `longest` is cut to it.
    pub(super) fn read(headers: &HeaderMap, longest: Duration) -> Self {
        let mut prefer = Self::default();
        for preference in headers.get_all(PREFER).iter().filter_map(|value| value.to_str().ok()).flat_map(split) {
            let (name, value) = match preference.split_once('=') {
                Some((name, value)) => (name.trim(), value.trim().trim_matches('"')),
                None => (preference.trim(), ""),
            };
            if name.eq_ignore_ascii_case("respond-async") {
                prefer.respond_async = true;
            } else if name.eq_ignore_ascii_case("wait") && prefer.wait.is_none() {
                prefer.wait = value.parse().ok().map(|seconds| Duration::from_secs(seconds).min(longest));
            }
        }
        prefer
    }

    /// `Preference-Applied` for an answer that followed it; none when nothing was preferred.
    pub(super) fn applied(self) -> Option<HeaderValue> {
        match self {
            Self { respond_async: true, .. } => Some(HeaderValue::from_static("respond-async")),
            Self { wait: Some(wait), .. } => HeaderValue::from_str(&format!("wait={}", wait.as_secs())).ok(),
            Self { .. } => None,
        }
    }
}

/// The preferences in one header, without their parameters, of which none is known.
fn split(header: &str) -> impl Iterator<Item = &str> {
    header.split(',').map(|preference| preference.split(';').next().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(values: &[&'static str]) -> Prefer {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(PREFER, HeaderValue::from_static(value));
        }
        Prefer::read(&headers, Duration::from_secs(300))
    }

    fn wait(seconds: u64) -> Prefer {
        Prefer { respond_async: false, wait: Some(Duration::from_secs(seconds)) }
    }

    #[test]
    fn waits_in_every_spelling() {
        for spelled in ["wait=10", "Wait=10", "wait = 10", "wait=\"10\"", "return=minimal, wait=10; foo=bar"] {
            assert_eq!(read(&[spelled]), wait(10), "{spelled}");
        }
        assert_eq!(read(&["wait=0"]), wait(0));
        assert_eq!(read(&["wait=10, wait=20"]), wait(10));
        assert_eq!(read(&["handling=strict", "wait=10"]), wait(10));
    }

    #[test]
    fn a_wait_beyond_the_longest_is_cut_to_it() {
        assert_eq!(read(&["wait=300"]), wait(300));
        assert_eq!(read(&["wait=301"]), wait(300));
    }

    #[test]
    fn what_cannot_be_read_is_ignored() {
        for spelled in ["", "wait", "wait=", "wait=-1", "wait=ten", "waits=10", "wait=99999999999999999999"] {
            assert_eq!(read(&[spelled]), Prefer::default(), "{spelled}");
        }
    }

    #[test]
    fn answers_say_what_was_followed() {
        let both = read(&["respond-async, wait=10"]);
        assert_eq!(both, Prefer { respond_async: true, wait: Some(Duration::from_secs(10)) });
        assert_eq!(both.applied().unwrap(), "respond-async");
        assert_eq!(wait(10).applied().unwrap(), "wait=10");
        assert_eq!(Prefer::default().applied(), None);
    }
}
