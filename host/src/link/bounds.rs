//! Bounds of the link. Those of the wire stand in [`bulkhead_protocol::worker_message`].

use std::time::Duration;

use bulkhead_protocol::worker_message::MAX_BATCH_BYTES;

const MIB: usize = 1024 * 1024;

/// Frames of one peer that libzmq holds in each direction (`ZMQ_SNDHWM`, `ZMQ_RCVHWM`). Few: what waits
/// for a slow peer gathers in its outbox instead, where it is counted in bytes and becomes
/// one batch.
pub(super) const FRAMES_IN_LIBZMQ: i32 = 8;

/// Frames that a router reads before it sees to everything else again.
pub(super) const FRAMES_PER_ROUND: usize = 256;

/// Bytes that the messages of one batch may have together, if they are more than one. About a
/// frame: larger batches would only make their first message wait for their last.
pub(super) const BATCH_TARGET_BYTES: usize = 256 * 1024;

/// How long a connection may take from its greeting to its first sealed word.
pub(super) const GREETING_TIME: Duration = Duration::from_secs(5);

/// Connections that have greeted and not yet said a word under their session. Beyond it the oldest is
/// dropped: greetings can be replayed by whoever recorded one, words cannot.
pub(super) const MAX_GREETING: usize = 128;

/// How long what was sent before a close may take to leave.
pub(super) const CLOSING_TIME: Duration = Duration::from_secs(2);

/// How long libzmq keeps a closed socket for bytes that it has not yet given to the system.
pub(super) const LINGER: Duration = Duration::from_millis(500);

/// How long a peer that takes no frames is left alone before the next try: the first, then doubled.
/// ROUTER cannot tell when one peer of many takes frames again. Eight frames of the largest size in one
/// millisecond are 2 GB/s, so that the first does not slow a fast peer down.
pub(super) const FIRST_RETRY: Duration = Duration::from_millis(1);
/// The longest such pause.
pub(super) const LAST_RETRY: Duration = Duration::from_millis(32);

/// When to look for the peer that went, after libzmq said that some connection broke. It says so a
/// little before the peer cannot be sent to any more.
pub(super) const PROBE_PAUSES: [Duration; 6] = [
    Duration::ZERO,
    Duration::from_millis(1),
    Duration::from_millis(4),
    Duration::from_millis(20),
    Duration::from_millis(100),
    Duration::from_millis(400),
];

/// Seconds of silence on a connection after which the kernel asks whether the other machine is there.
/// Frees what is left of connections whose loss the heartbeats of the layer above noticed before.
pub(super) const KEEPALIVE_IDLE: u32 = 30;
/// Seconds between two such questions.
pub(super) const KEEPALIVE_INTERVAL: u32 = 10;
/// Questions without an answer after which the connection is given up.
pub(super) const KEEPALIVE_PROBES: u32 = 3;
/// How long bytes may be on their way to another machine before the connection is given up.
pub(super) const UNANSWERED_TIME: Duration = Duration::from_secs(60);

/// Events that wait for the receiver of a dealer.
pub(super) const DEALER_EVENTS: usize = 256;
/// Bytes of messages that wait for the receiver of a dealer; one batch may go over it.
pub(super) const DEALER_EVENT_BYTES: usize = 64 * MIB;
/// Bytes of messages that wait to be sent by a dealer, unless they are a single message.
pub(super) const DEALER_OUTBOX_BYTES: usize = 128 * MIB;
/// Messages that wait to be sent by a dealer.
pub(super) const DEALER_OUTBOX_MESSAGES: usize = 64 * 1024;

/// What a router holds at most.
#[derive(Clone, Debug)]
pub struct RouterBounds {
    /// Peers at once; the next is refused as [`super::ConnectError::Full`]. Default 1024.
    pub peers: usize,
    /// Bytes of messages that wait for one peer, unless they are a single message. Default 512 MiB.
    pub outbox_bytes: usize,
    /// Messages that wait for one peer. Default 65,536.
    pub outbox_messages: usize,
    /// Bytes of messages that wait for all peers together. Default 2 GiB.
    pub all_outboxes_bytes: usize,
    /// Events that wait for the receiver; while there are as many, the socket is not read. Default 1024.
    pub events: usize,
    /// Bytes of messages in those events; one batch may go over it. Default 256 MiB.
    pub event_bytes: usize,
    /// Bytes of batches of all peers that are being put together from fragments; whoever would go
    /// over it is closed. Default 2 GiB.
    pub unfinished_bytes: usize,
}

impl Default for RouterBounds {
    fn default() -> Self {
        Self {
            peers: 1024,
            outbox_bytes: 512 * MIB,
            outbox_messages: 64 * 1024,
            all_outboxes_bytes: 2048 * MIB,
            events: 1024,
            event_bytes: 256 * MIB,
            unfinished_bytes: 2048 * MIB,
        }
    }
}

// A batch must fit wherever batches wait.
const _: () = assert!(DEALER_OUTBOX_BYTES >= MAX_BATCH_BYTES);
