//! bincode, named here and nowhere else in the SDK: a finished crate that stays replaceable.
//!
//! bincode 2 in its standard configuration: little-endian, variable-length integers.

use bincode::{
    config::{Configuration, Limit, LittleEndian, Varint},
    error::EncodeError,
    serde::BorrowedSerdeDecoder,
};
use serde::{Serialize, de::DeserializeOwned};

/// The most memory that a length prefix may announce, in bytes.
///
/// Prefixes are believed before the data behind them is read; four times the largest input keeps a lie cheap and leaves
/// room for types that are larger in memory than on the wire.
const DECODE_LIMIT: usize = 256 * 1024 * 1024;

fn configuration() -> Configuration<LittleEndian, Varint, Limit<DECODE_LIMIT>> {
    bincode::config::standard().with_limit::<DECODE_LIMIT>()
}

/// A value that did not decode: where, by the names of the format's own, and why.
pub(crate) struct DecodeFault {
    pub(crate) path: serde_path_to_error::Path,
    pub(crate) message: String,
}

/// Why a value was not encoded.
#[derive(Debug)]
pub(crate) enum EncodeFault {
    /// It is longer than the output.
    TooLarge,
    /// It has no form in the encoding, or its own code refused.
    NotEncodable(String),
}

/// Decodes all of `input`. `Ok(Err(n))` when `n` bytes are left over.
pub(crate) fn decode<T: DeserializeOwned>(input: &[u8]) -> Result<Result<T, usize>, DecodeFault> {
    // The path of a fault costs time, so it is looked for when there is one.
    if let Ok((value, used)) = bincode::serde::decode_from_slice(input, configuration()) {
        let left = input.len() - used;
        return Ok(if left == 0 { Ok(value) } else { Err(left) });
    }
    let mut decoder = BorrowedSerdeDecoder::from_slice(input, configuration(), ());
    serde_path_to_error::deserialize(decoder.as_deserializer())
        .map(Ok)
        .map_err(|fault| DecodeFault { path: fault.path().clone(), message: fault.inner().to_string() })
}

/// Encodes `value` into `output` and returns its length.
pub(crate) fn encode<T: Serialize>(value: &T, output: &mut [u8]) -> Result<usize, EncodeFault> {
    bincode::serde::encode_into_slice(value, output, bincode::config::standard()).map_err(|error| {
        match error {
            EncodeError::UnexpectedEnd => EncodeFault::TooLarge,
            // These two hold the text alone; the others print their names.
            EncodeError::OtherString(message) => EncodeFault::NotEncodable(message),
            EncodeError::Other(message) => EncodeFault::NotEncodable(message.to_owned()),
            other => EncodeFault::NotEncodable(other.to_string()),
        }
    })
}

/// Encodes into memory of its own; for tests.
pub(crate) fn encode_to_vec<T: Serialize>(value: &T) -> Result<Vec<u8>, EncodeFault> {
    bincode::serde::encode_to_vec(value, bincode::config::standard())
        .map_err(|error| EncodeFault::NotEncodable(error.to_string()))
}
