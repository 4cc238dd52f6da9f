//! Gives back what it gets: what moving data costs. Benchmarks call both functions.

use bulkhead::Bytes;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

/// Any value in JSON, and bytes in bincode, which has no values of an unknown type.
#[derive(Debug, PartialEq)]
pub enum Payload {
    /// From JSON.
    Value(Value),
    /// From bincode.
    Bytes(Bytes),
}

impl<'de> Deserialize<'de> for Payload {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            Value::deserialize(deserializer).map(Self::Value)
        } else {
            Bytes::deserialize(deserializer).map(Self::Bytes)
        }
    }
}

impl Serialize for Payload {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Value(value) => value.serialize(serializer),
            Self::Bytes(bytes) => bytes.serialize(serializer),
        }
    }
}

impl JsonSchema for Payload {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Payload".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        // Anything.
        Schema::from(true)
    }
}

/// Gives back its argument, in a process of its own.
///
/// ```json
/// {"payload": {"any": ["value"]}}
/// ```
#[bulkhead::function(isolation = "fresh")]
pub fn echo(payload: Payload) -> Payload {
    payload
}

/// Gives back its argument, in a warm process.
///
/// ```json
/// {"payload": "x"}
/// ```
#[bulkhead::function(isolation = "reuse")]
pub fn echo_reuse(payload: Payload) -> Payload {
    payload
}

#[cfg(test)]
mod tests {
    use bulkhead::{Bytes, json, testing::Call};

    #[test]
    fn it_echoes() {
        for name in ["echo", "echo_reuse"] {
            let value = json!({"a": [1, 2.5, null, "ü"]});
            let outcome = Call::new(name).args([&value]).run();
            assert_eq!(outcome.expect_ok::<serde_json::Value>(), value);

            let bytes = Bytes((0..=255).collect());
            let back: Bytes = Call::new(name).run_bincode((&bytes,)).unwrap();
            assert_eq!(back, bytes);
        }
    }
}
