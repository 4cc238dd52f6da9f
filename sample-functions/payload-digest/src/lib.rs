//! SHA-256 and BLAKE3 of a payload.

use std::fmt::Write as _;

use bulkhead::Bytes;
use schemars::JsonSchema;
use serde::Serialize;
use sha2::{Digest as _, Sha256};

/// Digests of a payload, in hexadecimal.
#[derive(Serialize, JsonSchema)]
pub struct Digests {
    /// The length of the payload in bytes.
    length: usize,
    /// FIPS 180-4.
    sha256: String,
    /// BLAKE3 with 256 bits of output.
    blake3: String,
}

/// Computes the SHA-256 and BLAKE3 digests of `data`.
///
/// ```json
/// {"data": "YWJj"}
/// ```
#[bulkhead::function]
pub fn digest(data: Bytes) -> Digests {
    Digests {
        length: data.0.len(),
        sha256: hexadecimal(&Sha256::digest(&data)),
        blake3: blake3::hash(&data.0).to_hex().to_string(),
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

#[cfg(test)]
mod tests {
    use bulkhead::{
        Bytes, json,
        testing::{Call, Outcome},
    };

    #[test]
    fn it_agrees_with_the_standards() {
        // The example of FIPS 180-4 and the first published digest of BLAKE3's authors for the same input.
        let outcome = Call::new("digest").args([Bytes(b"abc".to_vec())]).run();
        let expected = json!({
            "length": 3,
            "sha256": "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
            "blake3": "6437b3ac38465133ffb63b75273a8db548c558465d79db03fd359c6cd5bd9d85",
        });
        assert_eq!(outcome, Outcome::Succeeded(expected));
    }
}
