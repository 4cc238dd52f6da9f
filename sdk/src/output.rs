//! Writing results and failures straight into the memory that the host gave.

use std::io;

use bulkhead_abi::{MAX_MESSAGE_BYTES, RSliceMut, encoding};
use serde::Serialize;

use crate::codec::{self, EncodeFault};

/// The output region of a request.
pub(crate) struct Output<'a> {
    region: RSliceMut<'a, u8>,
}

impl<'a> Output<'a> {
    pub(crate) fn new(region: RSliceMut<'a, u8>) -> Self {
        Self { region }
    }

    /// The most bytes that it takes.
    pub(crate) fn limit(&self) -> usize {
        self.region.len()
    }

    /// Encodes a result as the request wants it and returns its length.
    pub(crate) fn write_result<T: Serialize>(&mut self, request_encoding: u8, value: &T) -> Result<usize, EncodeFault> {
        match request_encoding {
            encoding::BINCODE => codec::encode(value, self.region.as_mut_slice()),
            // Anything else was refused when the arguments were read.
            _ => write_json(self.region.as_mut_slice(), value),
        }
    }

    /// Writes the JSON that `make` builds around a message, which is cut until the whole fits, and returns its length.
    pub(crate) fn write_failure<T: Serialize>(&mut self, message: &str, make: impl Fn(&str) -> T) -> usize {
        let mut message = cut(message, MAX_MESSAGE_BYTES);
        loop {
            if let Ok(length) = write_json(self.region.as_mut_slice(), &make(message)) {
                return length;
            }
            if message.is_empty() {
                return 0;
            }
            // JSON writes a control character as six bytes, so a message within its bound may still be too long.
            message = cut(message, message.len() / 2);
        }
    }
}

/// The longest prefix of whole characters within `limit` bytes.
pub(crate) fn cut(text: &str, limit: usize) -> &str {
    let mut end = text.len().min(limit);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

fn write_json<T: Serialize>(region: &mut [u8], value: &T) -> Result<usize, EncodeFault> {
    let mut writer = Writer { region, length: 0 };
    match serde_json::to_writer(&mut writer, value) {
        Ok(()) => Ok(writer.length),
        Err(error) if error.is_io() => Err(EncodeFault::TooLarge),
        Err(error) => Err(EncodeFault::NotEncodable(error.to_string())),
    }
}

/// Fails with [`io::ErrorKind::WriteZero`] at the end of the region, the only error that it has.
struct Writer<'a> {
    region: &'a mut [u8],
    length: usize,
}

impl io::Write for Writer<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_all(bytes).map(|()| bytes.len())
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        let end = self.length + bytes.len();
        let room = self.region.get_mut(self.length..end).ok_or(io::ErrorKind::WriteZero)?;
        room.copy_from_slice(bytes);
        self.length = end;
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    #[test]
    fn a_result_fits_to_the_byte() {
        let mut region = [0; 5];
        assert_eq!(write_json(&mut region, &"abc").unwrap(), 5);
        assert_eq!(&region, b"\"abc\"");
        assert!(matches!(write_json(&mut region, &"abcd"), Err(EncodeFault::TooLarge)));
        assert!(matches!(codec::encode(&"abcde", &mut region), Err(EncodeFault::TooLarge)));
        assert_eq!(codec::encode(&"abcd", &mut region).unwrap(), 5);
    }

    #[test]
    fn keys_that_are_no_text_are_not_encodable() {
        let map = HashMap::from([((1, 2), 3)]);
        assert!(matches!(
            write_json(&mut [0; 100], &map),
            Err(EncodeFault::NotEncodable(message)) if message.contains("key must be a string")
        ));
    }

    #[test]
    fn failures_always_fit() {
        let mut memory = vec![0; bulkhead_abi::MIN_OUTPUT_BYTES];
        for text in ["\0", "x", "é"] {
            let mut output = Output::new(RSliceMut::from_mut_slice(&mut memory));
            let message = text.repeat(2 * MAX_MESSAGE_BYTES);
            let length = output.write_failure(&message, ToOwned::to_owned);
            assert!(length > MAX_MESSAGE_BYTES / 2, "{text:?}: {length}");
            let back: String = serde_json::from_slice(&memory[..length]).unwrap();
            assert!(back.len() <= MAX_MESSAGE_BYTES);
            assert!(message.starts_with(&back));
        }
    }
}
