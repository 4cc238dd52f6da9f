//! Why connections end and messages are not taken.

use bulkhead_protocol::codec;
use bulkhead_protocol::worker_message::{MAX_BATCH_BYTES, OutOfBounds};

/// Why a connection ended.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum CloseReason {
    /// The connection broke, or the other side's process ended.
    #[error("the connection broke")]
    Lost,
    /// The other side ended it.
    #[error("the other side closed the connection")]
    ByOtherSide,
    /// This side's caller ended it.
    #[error("the connection was closed on this side")]
    Asked,
    /// The other side takes messages more slowly than this side makes them.
    #[error("more waited for the other side than it is allowed")]
    Overflow,
    /// The other side broke the rules of the link.
    #[error("the other side broke the rules: {0}")]
    Violation(#[from] Violation),
    /// Too many bytes of unfinished batches, of all peers together.
    #[error("no memory is left for batches that are being put together")]
    Crowded,
    /// libzmq failed; the text says how.
    #[error("the socket failed: {0}")]
    Socket(#[from] zmq::Error),
}

/// Which rule of the link was broken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// A sealed frame was changed, cut, repeated or left out on its way, or sealed with another key.
    #[error("a sealed frame does not open")]
    Seal,
    /// A frame has no or an unknown head.
    #[error("a frame has no head that this version knows")]
    Head,
    /// A message of libzmq has more than one frame.
    #[error("a frame has companions")]
    Multipart,
    /// A fragment has another length than its place in the batch asks for.
    #[error("a fragment has {found} bytes in place of {expected}")]
    FragmentLength {
        /// Bytes of the fragment.
        found: usize,
        /// Bytes that it should have.
        expected: usize,
    },
    /// A fragment comes where none is expected, or none comes where one is.
    #[error("a fragment is out of place")]
    FragmentOrder,
    /// A batch is longer than it may be.
    #[error("a batch of {bytes} bytes; the most is {MAX_BATCH_BYTES}")]
    BatchLength {
        /// Its claimed length.
        bytes: usize,
    },
    /// A batch is not a list of messages.
    #[error("a batch cannot be read: {reason}")]
    Batch {
        /// The codec's words.
        reason: String,
    },
    /// A message breaks its own bounds.
    #[error("a message is out of bounds: {0}")]
    OutOfBounds(#[from] OutOfBounds),
}

/// Why messages are not sent.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// The connection is over.
    #[error("the connection is over")]
    Closed,
    /// Too much waits for the other side already. A router closes such a peer; a dealer stays
    /// connected and has taken none of the messages.
    #[error("too much waits for the other side already")]
    Full,
    /// A message is longer than a batch may be; none of the messages was taken.
    #[error("a message of {bytes} bytes is longer than a batch may be ({MAX_BATCH_BYTES})")]
    TooLong {
        /// Its encoded length.
        bytes: usize,
    },
    /// A message cannot be encoded; none of the messages was taken.
    #[error(transparent)]
    Codec(#[from] codec::Error),
}
