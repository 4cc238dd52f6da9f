//! The join key: the secret that dispatcher and workers share.

use std::fmt;

use sha2::{Digest, Sha256};

/// Shortest join key in characters.
const MIN_CHARACTERS: usize = 16;
/// Longest join key in bytes; longer text is a file given by mistake.
const MAX_BYTES: usize = 1024;
/// Keeps the derived key apart from whatever else is made from the same text.
const DOMAIN: &[u8] = b"bulkhead join key v1\0";

/// The secret that dispatcher and workers share: 32 bytes derived from the text that an operator sets.
///
/// The derivation is fast, so a guessable text can be guessed by whoever recorded a handshake: the
/// text should be random.
#[derive(Clone, PartialEq, Eq)]
pub struct JoinKey([u8; 32]);

/// Why a text is no join key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidJoinKey {
    /// It is easily guessed.
    #[error("a join key has at least {MIN_CHARACTERS} characters, and this one has {characters}")]
    TooShort {
        /// How many it has.
        characters: usize,
    },
    /// It is longer than any key.
    #[error("a join key has at most {MAX_BYTES} bytes, and this one has {bytes}")]
    TooLong {
        /// How many it has.
        bytes: usize,
    },
}

impl JoinKey {
    /// Derives the key from its text; white space around it does not count.
    ///
    /// # Errors
    /// [`InvalidJoinKey`].
    pub fn from_text(text: &str) -> Result<Self, InvalidJoinKey> {
        let text = text.trim();
        let characters = text.chars().count();
        if characters < MIN_CHARACTERS {
            return Err(InvalidJoinKey::TooShort { characters });
        }
        if text.len() > MAX_BYTES {
            return Err(InvalidJoinKey::TooLong { bytes: text.len() });
        }
        Ok(Self(Sha256::new().chain_update(DOMAIN).chain_update(text).finalize().into()))
    }

    /// The derived bytes.
    pub(super) fn bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// Without the key, so that no log can hold it.
impl fmt::Debug for JoinKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JoinKey(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_sixteen_characters_and_is_never_shown() {
        let text = "0123456789abcdef";
        let key = JoinKey::from_text(text).unwrap();
        assert_eq!(format!("{key:?}"), "JoinKey(..)");
        assert_eq!(key, JoinKey::from_text(&format!(" {text}\n")).unwrap());
        assert_ne!(key.bytes(), JoinKey::from_text("0123456789abcdeg").unwrap().bytes());
        assert_eq!(JoinKey::from_text(&text[1..]), Err(InvalidJoinKey::TooShort { characters: 15 }));
        // Sixteen bytes that are eight characters.
        assert_eq!(JoinKey::from_text("éééééééé"), Err(InvalidJoinKey::TooShort { characters: 8 }));
        assert!(JoinKey::from_text(&"k".repeat(MAX_BYTES)).is_ok());
        assert_eq!(
            JoinKey::from_text(&"k".repeat(MAX_BYTES + 1)),
            Err(InvalidJoinKey::TooLong { bytes: MAX_BYTES + 1 })
        );
    }
}
