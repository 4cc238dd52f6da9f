//! What the decoder of worker messages must stand: any bytes, from either side.

use std::fmt::Debug;

use bulkhead_protocol::codec;
use bulkhead_protocol::worker_message::{Greeting, MAX_BATCH_MESSAGES, ToDispatcher, ToWorker};

/// Reads `bytes` in every way in which a socket thread does. What can be read is written and read
/// again, and must be the same.
///
/// # Panics
/// When it is not.
pub(crate) fn decode(bytes: &[u8]) {
    if let Ok(greeting) = Greeting::from_bytes(bytes) {
        assert_eq!(greeting.to_bytes(), bytes);
    }
    if let Ok(messages) = codec::decode_sequence::<ToDispatcher>(bytes, MAX_BATCH_MESSAGES) {
        check(&messages, |message| drop(message.check()));
    }
    if let Ok(messages) = codec::decode_sequence::<ToWorker>(bytes, MAX_BATCH_MESSAGES) {
        check(&messages, |message| drop(message.check()));
    }
}

fn check<T>(messages: &Vec<T>, check: impl Fn(&T))
where
    T: serde::Serialize + serde::de::DeserializeOwned + Debug,
{
    assert!(messages.len() <= MAX_BATCH_MESSAGES);
    messages.iter().for_each(check);
    let encode = |messages: &Vec<T>| codec::encode(messages).expect("what was decoded can be encoded");
    let bytes = encode(messages);
    let again = codec::decode_sequence::<T>(&bytes, MAX_BATCH_MESSAGES).expect("what was encoded can be decoded");
    // By their bytes, as a fraction of progress may be no number, which equals nothing.
    assert_eq!(encode(&again), bytes, "{messages:?}");
}
