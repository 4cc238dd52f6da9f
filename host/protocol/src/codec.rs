//! The binary encoding of stored records and of messages: bincode 2, standard configuration
//! (little-endian, variable-length integers). The only module that names `bincode`.

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
}

fn configuration() -> impl bincode::config::Config {
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

#[cfg(test)]
mod tests {
    use super::*;

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
