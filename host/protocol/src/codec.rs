//! The binary encoding of stored records and of messages: bincode 2, standard configuration
//! (little-endian, variable-length integers). The only module that names `bincode`.

use bincode::config::Config;
use serde::{Serialize, de::DeserializeOwned};

/// Most bytes that [`decode`] allocates for one value, whatever lengths the input claims.
///
/// The largest legal value is a package body: 256 MiB and its manifest.
pub const DECODE_LIMIT: usize = 264 * 1024 * 1024;

/// Why bytes could not be turned into a value, or a value into bytes.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The value holds something that the encoding cannot express.
    #[error("failed to encode: {0}")]
    Encode(#[from] bincode::error::EncodeError),
    /// The bytes are not an encoding of the expected type, or claim more than [`DECODE_LIMIT`].
    #[error("failed to decode: {0}")]
    Decode(#[from] bincode::error::DecodeError),
    /// The value ended before its bytes did.
    #[error("failed to decode: {count} bytes left over")]
    Trailing {
        /// How many bytes were left.
        count: usize,
    },
    /// A list has more values than it may have.
    #[error("failed to decode: a list of {count}, and {most} are the most")]
    TooMany {
        /// How many it claims to have.
        count: u64,
        /// How many it may have.
        most: usize,
    },
}

fn configuration() -> impl Config {
    bincode::config::standard().with_limit::<DECODE_LIMIT>()
}

/// Encodes `value`.
///
/// # Errors
/// [`Error::Encode`] when serde refuses the value.
pub fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>, Error> {
    Ok(bincode::serde::encode_to_vec(value, configuration())?)
}

/// Decodes exactly one value from all of `bytes`.
///
/// # Errors
/// [`Error::Decode`] for bytes that are no such value, [`Error::Trailing`] when some are left.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Error> {
    let (value, read) = bincode::serde::decode_from_slice(bytes, configuration())?;
    match bytes.len() - read {
        0 => Ok(value),
        count => Err(Error::Trailing { count }),
    }
}

/// As [`decode`], and what is allocated for a length that the bytes merely claim stays in proportion to
/// them: for values that a hostile process has written.
///
/// # Errors
/// As [`decode`].
pub fn decode_untrusted<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Error> {
    let mut values = in_proportion(bytes, 1, Some(1))?;
    // One was asked for, and one came.
    values.pop().ok_or(Error::Trailing { count: bytes.len() })
}

/// Decodes a list of at most `most` values, the encoding of a `Vec`, from all of `bytes`. What is
/// allocated for a length that the bytes merely claim stays in proportion to them.
///
/// # Errors
/// As [`decode`], and [`Error::TooMany`].
pub fn decode_sequence<T: DeserializeOwned>(bytes: &[u8], most: usize) -> Result<Vec<T>, Error> {
    in_proportion(bytes, most, None)
}

/// Decodes values: `given` many, or as many as the bytes say first.
fn in_proportion<T: DeserializeOwned>(bytes: &[u8], most: usize, given: Option<u64>) -> Result<Vec<T>, Error> {
    const KIB: usize = 1024;
    const MIB: usize = 1024 * KIB;
    // A number takes up to eight bytes of the limit for one of input; hence each limit is eight times
    // the longest input that comes under it. Limits are part of the type, so there are only a few.
    let standard = bincode::config::standard;
    match bytes.len() {
        0..=1_024 => sequence(bytes, most, given, standard().with_limit::<{ 8 * KIB }>()),
        1_025..=32_768 => sequence(bytes, most, given, standard().with_limit::<{ 256 * KIB }>()),
        32_769..=1_048_576 => sequence(bytes, most, given, standard().with_limit::<{ 8 * MIB }>()),
        _ => sequence(bytes, most, given, standard().with_limit::<DECODE_LIMIT>()),
    }
}

fn sequence<T: DeserializeOwned>(
    bytes: &[u8],
    most: usize,
    given: Option<u64>,
    configuration: impl Config,
) -> Result<Vec<T>, Error> {
    let (count, mut at) = match given {
        Some(count) => (count, 0),
        None => bincode::decode_from_slice::<u64, _>(bytes, configuration)?,
    };
    if count > most as u64 {
        return Err(Error::TooMany { count, most });
    }
    let mut values = Vec::new();
    for _ in 0..count {
        let (value, read) = bincode::serde::decode_from_slice(&bytes[at..], configuration)?;
        values.push(value);
        at += read;
    }
    match bytes.len() - at {
        0 => Ok(values),
        count => Err(Error::Trailing { count }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sequence_is_what_a_vec_is_and_bounded_in_number() {
        for length in [0, 1, 100, 2_000, 200_000] {
            let values: Vec<u64> = (0..length).map(|index| index % 200).collect();
            let bytes = encode(&values).unwrap();
            assert_eq!(decode_sequence::<u64>(&bytes, values.len()).unwrap(), values);
            if length > 0 {
                let refused = decode_sequence::<u64>(&bytes, values.len() - 1);
                assert!(matches!(refused, Err(Error::TooMany { count, .. }) if count == length));
            }
        }
        assert!(matches!(decode_sequence::<u8>(&[1, 7, 7], 3), Err(Error::Trailing { count: 1 })));
        assert!(matches!(decode_sequence::<u8>(&[2, 7], 3), Err(Error::Decode(_))));
        assert!(matches!(decode_sequence::<u8>(&[], 3), Err(Error::Decode(_))));
    }

    #[test]
    fn one_value_that_is_not_trusted_is_read_whole_or_not_at_all() {
        for length in [0, 1, 2_000] {
            let text = "x".repeat(length);
            let bytes = encode(&text).unwrap();
            assert_eq!(decode_untrusted::<String>(&bytes).unwrap(), text);
            let longer = [&bytes[..], &[0]].concat();
            assert!(matches!(decode_untrusted::<String>(&longer), Err(Error::Trailing { count: 1 })));
            assert!(decode_untrusted::<String>(&bytes[..bytes.len() - 1]).is_err());
        }
        // It claims 16 MiB, which `decode` would set aside.
        let claim = [&[252][..], &(16u32 << 20).to_le_bytes()].concat();
        assert!(matches!(decode_untrusted::<String>(&claim), Err(Error::Decode(_))));
    }

    #[test]
    fn no_input_is_too_dense_for_the_limit_of_its_length() {
        // One byte of input that takes eight of the limit, up to the length where the limit changes.
        for length in [1_024, 32_768, 1_048_576] {
            let inner = vec![1u64; length - 6];
            let bytes = encode(&vec![inner.clone()]).unwrap();
            assert!(bytes.len() <= length, "{}", bytes.len());
            assert_eq!(decode_sequence::<Vec<u64>>(&bytes, 1).unwrap(), [inner]);
        }
    }

    #[test]
    fn a_length_beyond_the_input_is_an_error_and_no_allocation() {
        // 0xFD marks a 64-bit length; this one claims 2^63 bytes.
        let hostile = [0xFD, 0, 0, 0, 0, 0, 0, 0, 0x80];
        assert!(matches!(decode::<Vec<u8>>(&hostile), Err(Error::Decode(_))));
    }

    #[test]
    fn bytes_after_the_value_are_refused() {
        let mut bytes = encode(&7u32).unwrap();
        bytes.push(0);
        assert!(matches!(decode::<u32>(&bytes), Err(Error::Trailing { count: 1 })));
    }
}
