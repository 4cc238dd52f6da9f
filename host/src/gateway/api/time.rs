//! Times and durations as text.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::time::{Duration, UNIX_EPOCH};

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use utoipa::openapi::{ObjectBuilder, RefOr, Schema, SchemaFormat, Type};

/// A moment, in JSON as RFC 3339 with milliseconds: `2026-11-23T10:00:00.250Z`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp {
    /// Milliseconds since the Unix epoch.
    pub unix_ms: u64,
}

impl Timestamp {
    /// The moment `unix_ms` milliseconds after the Unix epoch.
    pub fn from_unix_ms(unix_ms: u64) -> Self {
        Self { unix_ms }
    }
}

/// The last millisecond of the year 9999, the latest that RFC 3339 can write.
const LATEST_UNIX_MS: u64 = 253_402_300_799_999;

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let since_epoch = Duration::from_millis(self.unix_ms.min(LATEST_UNIX_MS));
        humantime::format_rfc3339_millis(UNIX_EPOCH + since_epoch).fmt(f)
    }
}

impl FromStr for Timestamp {
    type Err = humantime::TimestampError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let since_epoch = humantime::parse_rfc3339(text)?.duration_since(UNIX_EPOCH).unwrap_or_default();
        Ok(Self { unix_ms: u64::try_from(since_epoch.as_millis()).unwrap_or(LATEST_UNIX_MS) })
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Cow::<'_, str>::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl utoipa::PartialSchema for Timestamp {
    fn schema() -> RefOr<Schema> {
        text_schema("A moment, RFC 3339.", "2026-11-23T10:00:00.250Z")
            .format(Some(SchemaFormat::Custom("date-time".to_owned())))
            .into()
    }
}

impl utoipa::ToSchema for Timestamp {}

/// A duration, in JSON and in queries as `500ms`, `30s`, `1m 30s`, `2h`, `7d`; a bare whole number
/// (of JSON or as text) means seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DurationText(pub Duration);

/// The text is no duration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{given:?} is no duration: write it as \"500ms\", \"30s\", \"2m\" or \"1h\"")]
pub struct InvalidDuration {
    /// What was given, cut to a length that fits an error.
    pub given: String,
}

/// Longer texts are refused unread; `7days 23hours 59minutes 59seconds 999milliseconds` has 50.
const MAX_DURATION_CHARS: usize = 64;

impl FromStr for DurationText {
    type Err = InvalidDuration;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = || InvalidDuration { given: text.chars().take(MAX_DURATION_CHARS).collect() };
        if text.len() > MAX_DURATION_CHARS {
            return Err(invalid());
        }
        if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
            return text.parse().map(|seconds| Self(Duration::from_secs(seconds))).map_err(|_| invalid());
        }
        humantime::parse_duration(text).map(Self).map_err(|_| invalid())
    }
}

impl fmt::Display for DurationText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        humantime::format_duration(self.0).fmt(f)
    }
}

impl Serialize for DurationText {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for DurationText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl serde::de::Visitor<'_> for Visitor {
            type Value = DurationText;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a duration as \"500ms\", \"30s\" or \"2m\", or a whole number of seconds")
            }

            fn visit_u64<E: serde::de::Error>(self, seconds: u64) -> Result<DurationText, E> {
                Ok(DurationText(Duration::from_secs(seconds)))
            }

            fn visit_i64<E: serde::de::Error>(self, seconds: i64) -> Result<DurationText, E> {
                // TOML has signed numbers only.
                u64::try_from(seconds)
                    .map(|seconds| DurationText(Duration::from_secs(seconds)))
                    .map_err(|_| E::invalid_value(serde::de::Unexpected::Signed(seconds), &self))
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<DurationText, E> {
                text.parse().map_err(E::custom)
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

impl utoipa::PartialSchema for DurationText {
    fn schema() -> RefOr<Schema> {
        text_schema("A duration: `500ms`, `30s`, `2m`, `1h`, or a whole number of seconds.", "30s").into()
    }
}

impl utoipa::ToSchema for DurationText {}

fn text_schema(description: &str, example: &str) -> ObjectBuilder {
    ObjectBuilder::new()
        .schema_type(Type::String)
        .description(Some(description))
        .examples([serde_json::Value::from(example)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_in_every_spelling() {
        let milliseconds = |text: &str| text.parse::<DurationText>().map(|duration| duration.0.as_millis());
        assert_eq!(milliseconds("500ms"), Ok(500));
        assert_eq!(milliseconds("30s"), Ok(30_000));
        assert_eq!(milliseconds("1m 30s"), Ok(90_000));
        assert_eq!(milliseconds("30"), Ok(30_000));
        assert_eq!(milliseconds("0"), Ok(0));
        for wrong in ["", "s", "-1s", "1.5.2s", "30 parsecs", &"9".repeat(30), &"1s ".repeat(30)] {
            assert!(milliseconds(wrong).is_err(), "{wrong:?} was taken");
        }
    }

    #[test]
    fn durations_in_json_are_text_or_seconds() {
        let read = serde_json::from_str::<DurationText>;
        assert_eq!(read("\"250ms\"").unwrap().0, Duration::from_millis(250));
        assert_eq!(read("7").unwrap().0, Duration::from_secs(7));
        assert!(read("-7").is_err());
        assert!(read("null").is_err());
        assert_eq!(serde_json::to_string(&DurationText(Duration::from_millis(90_500))).unwrap(), "\"1m 30s 500ms\"");
    }

    #[test]
    fn timestamps_read_back_as_written() {
        let moment = Timestamp::from_unix_ms(1_700_000_000_250);
        assert_eq!(moment.to_string(), "2023-11-14T22:13:20.250Z");
        assert_eq!(moment.to_string().parse::<Timestamp>().unwrap(), moment);
        assert_eq!(Timestamp::from_unix_ms(u64::MAX).to_string(), "9999-12-31T23:59:59.999Z");
    }
}
