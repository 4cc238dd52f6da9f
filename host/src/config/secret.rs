//! Texts that hold secrets. They are shown without them, in errors and logs as in `Debug`.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What stands where a secret would.
const HIDDEN: &str = "***";

/// The address of a store, which may hold a password.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct StoreUrl(String);

/// A join key as it is written down.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct JoinKeyText(String);

impl StoreUrl {
    /// An address as it was given.
    pub fn new(url: impl Into<String>) -> Self {
        Self(url.into())
    }

    /// The whole address, for whoever connects.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl JoinKeyText {
    /// A key as it was given.
    pub fn new(key: impl Into<String>) -> Self {
        Self(key.into())
    }

    /// The key, for whoever seals with it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&without_password(&self.0))
    }
}

impl fmt::Debug for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Debug for JoinKeyText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HIDDEN)
    }
}

/// The address with what may be a password hidden, and without its parameters.
fn without_password(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").map_or(("", url), |(scheme, rest)| (scheme, rest));
    // A password may hold what should have been escaped: everything before the last at sign may be one.
    let (user, place) = rest.rsplit_once('@').map_or((None, rest), |(user, place)| (Some(user), place));
    let (place, parameters) = place.split_once('?').map_or((place, ""), |(place, _)| (place, "?..."));
    let user = match user.map(|user| user.split_once(':')) {
        None => String::new(),
        Some(Some((name, _))) => format!("{name}:{HIDDEN}@"),
        Some(None) => format!("{HIDDEN}@"),
    };
    let scheme = if scheme.is_empty() { String::new() } else { format!("{scheme}://") };
    format!("{scheme}{user}{place}{parameters}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_never_shown() {
        for (given, shown) in [
            ("redis://127.0.0.1:6379/0", "redis://127.0.0.1:6379/0"),
            ("redis://:secret@h:1/0", "redis://:***@h:1/0"),
            ("rediss://ada:secret@h:1", "rediss://ada:***@h:1"),
            ("redis://ada:se@cr/et@h:1", "redis://ada:***@h:1"),
            ("redis://secret@h:1", "redis://***@h:1"),
            ("redis://:sec?ret@h:1", "redis://:***@h:1"),
            ("redis://h:1?password=secret", "redis://h:1?..."),
            ("redis+cluster://u:secret@a:1,b:2?namespace=x", "redis+cluster://u:***@a:1,b:2?..."),
            ("ada:secret@h", "ada:***@h"),
            ("", ""),
        ] {
            let url = StoreUrl::new(given);
            assert_eq!((url.to_string(), format!("{url:?}")), (shown.to_owned(), shown.to_owned()));
            assert_eq!(url.expose(), given);
        }
        assert_eq!(format!("{:?}", JoinKeyText::new("secret")), "***");
    }
}
