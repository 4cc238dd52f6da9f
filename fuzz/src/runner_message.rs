//! What the decoder of packets between host and runner must stand: any bytes, at either end.

use std::fmt::Debug;

use bulkhead_protocol::codec;
use bulkhead_protocol::probe::Surroundings;
use bulkhead_protocol::runner_message::{
    InitCommand, InitReport, KeeperCommand, MAX_PACKET_BYTES, Setup, ZygoteCommand, ZygoteReport,
};

/// Reads `bytes` as each message that there is. What can be read is written and read again, and must be
/// the same.
///
/// # Panics
/// When it is not.
pub(crate) fn decode(bytes: &[u8]) {
    // The socket refuses longer ones unread.
    let bytes = &bytes[..bytes.len().min(MAX_PACKET_BYTES)];
    check::<Setup>(bytes);
    check::<InitReport>(bytes);
    check::<InitCommand>(bytes);
    check::<ZygoteReport>(bytes);
    check::<ZygoteCommand>(bytes);
    check::<KeeperCommand>(bytes);
    check::<Surroundings>(bytes);
}

fn check<T>(bytes: &[u8])
where
    T: serde::Serialize + serde::de::DeserializeOwned + PartialEq + Debug,
{
    let Ok(message) = codec::decode_untrusted::<T>(bytes) else { return };
    let written = codec::encode(&message).expect("what was decoded can be encoded");
    assert_eq!(codec::decode_untrusted::<T>(&written).expect("what was encoded can be decoded"), message);
}
