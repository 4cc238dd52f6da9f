//! Messages that wait to be sent to one peer, encoded one by one. The socket thread makes a batch
//! of whatever is there when the peer can take one: a single message goes at once, under load
//! batches grow by themselves.

use std::collections::VecDeque;

use bulkhead_protocol::codec;
use bulkhead_protocol::worker_message::{MAX_BATCH_BYTES, MAX_BATCH_MESSAGES, OutOfBounds, ToDispatcher, ToWorker};
use serde::{Serialize, de::DeserializeOwned};

use super::bounds::BATCH_TARGET_BYTES;
use super::close::{SendError, Violation};

/// Most bytes of a batch beside its messages: their number, in the codec.
const COUNT_BYTES: usize = 9;
/// Most bytes of an encoded message.
const MAX_MESSAGE_BYTES: usize = MAX_BATCH_BYTES - COUNT_BYTES;
/// Bytes before each encoded message that waits: the number one, so that it is a batch already.
const ONE_BYTES: usize = 1;

/// What a direction of the link carries.
pub(super) trait Message: Serialize + DeserializeOwned + Send + 'static {
    /// The message that may overtake all others.
    const HEARTBEAT: Self;

    /// Whether it is [`Message::HEARTBEAT`].
    fn is_heartbeat(&self) -> bool;

    /// Checks the bounds within it.
    fn check(&self) -> Result<(), OutOfBounds>;
}

impl Message for ToDispatcher {
    const HEARTBEAT: Self = Self::Heartbeat;

    fn is_heartbeat(&self) -> bool {
        matches!(self, Self::Heartbeat)
    }

    fn check(&self) -> Result<(), OutOfBounds> {
        Self::check(self)
    }
}

impl Message for ToWorker {
    const HEARTBEAT: Self = Self::Heartbeat;

    fn is_heartbeat(&self) -> bool {
        matches!(self, Self::Heartbeat)
    }

    fn check(&self) -> Result<(), OutOfBounds> {
        Self::check(self)
    }
}

/// Messages that were encoded and wait for a place in an [`Outbox`].
pub(super) struct Encoded {
    /// All but the heartbeats, each as a batch of one.
    messages: Vec<Vec<u8>>,
    /// Their bytes together.
    pub(super) bytes: usize,
    /// Whether a heartbeat is among them.
    heartbeat: bool,
}

impl Encoded {
    /// Encodes messages, outside of any lock.
    pub(super) fn new<M: Message>(messages: &[M]) -> Result<Self, SendError> {
        let mut encoded = Self { messages: Vec::with_capacity(messages.len()), bytes: 0, heartbeat: false };
        for message in messages {
            if message.is_heartbeat() {
                encoded.heartbeat = true;
                continue;
            }
            let bytes = codec::encode(&std::slice::from_ref(message))?;
            if bytes.len() - ONE_BYTES > MAX_MESSAGE_BYTES {
                return Err(SendError::TooLong { bytes: bytes.len() - ONE_BYTES });
            }
            encoded.bytes += bytes.len();
            encoded.messages.push(bytes);
        }
        Ok(encoded)
    }
}

/// Decodes a batch.
pub(super) fn decode<M: Message>(batch: &[u8]) -> Result<Vec<M>, Violation> {
    let messages: Vec<M> = codec::decode_sequence(batch, MAX_BATCH_MESSAGES)
        .map_err(|error| Violation::Batch { reason: error.to_string() })?;
    messages.iter().try_for_each(M::check)?;
    Ok(messages)
}

/// What one peer may have waiting.
#[derive(Clone, Copy, Debug)]
pub(super) struct OutboxBounds {
    /// Bytes, unless it is a single message.
    pub(super) bytes: usize,
    /// Messages.
    pub(super) messages: usize,
}

/// Messages that wait for one peer.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    /// Encoded messages, each as a batch of one, the oldest first.
    queue: VecDeque<Vec<u8>>,
    /// Bytes of `queue`.
    bytes: usize,
    /// Whether a heartbeat waits; several would say no more than one.
    heartbeat: bool,
}

impl Outbox {
    /// Bytes that wait.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Messages that wait, heartbeats aside.
    pub(super) fn messages(&self) -> usize {
        self.queue.len()
    }

    /// Whether nothing waits.
    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty() && !self.heartbeat
    }

    /// Whether there is room for more. One message fits always when nothing else waits.
    pub(super) fn has_room(&self, more: &Encoded, bounds: OutboxBounds) -> bool {
        let single = self.queue.is_empty() && more.messages.len() == 1;
        let fits = self.bytes + more.bytes <= bounds.bytes;
        (fits || single) && self.queue.len() + more.messages.len() <= bounds.messages
    }

    /// Adds messages behind those that wait.
    pub(super) fn push(&mut self, more: Encoded) {
        self.bytes += more.bytes;
        self.heartbeat |= more.heartbeat;
        self.queue.extend(more.messages);
    }

    /// Takes a waiting heartbeat, as a batch of its own.
    pub(super) fn take_heartbeat<M: Message>(&mut self) -> Result<Option<Vec<u8>>, codec::Error> {
        if !std::mem::take(&mut self.heartbeat) {
            return Ok(None);
        }
        codec::encode(&[M::HEARTBEAT].as_slice()).map(Some)
    }

    /// Takes the next batch: as many messages as are there, up to the bounds of a batch.
    pub(super) fn take_batch<M: Message>(&mut self) -> Result<Option<Vec<u8>>, codec::Error> {
        if self.queue.is_empty() {
            return self.take_heartbeat::<M>();
        }
        let mut bytes = 0;
        let fits = |message: &&Vec<u8>| {
            bytes += message.len();
            bytes <= BATCH_TARGET_BYTES
        };
        // The first goes in any case, however long it is.
        let room = MAX_BATCH_MESSAGES - usize::from(self.heartbeat);
        let count = self.queue.iter().take(room).take_while(fits).count().max(1);
        let taken: usize = self.queue.iter().take(count).map(Vec::len).sum();
        self.bytes -= taken;
        // A heartbeat goes with it, unless it is the faster alone.
        let with_heartbeat = taken <= BATCH_TARGET_BYTES && std::mem::take(&mut self.heartbeat);
        let heartbeat = with_heartbeat.then(|| codec::encode(&M::HEARTBEAT)).transpose()?;
        if count == 1 && heartbeat.is_none() {
            // It can be as long as a batch may be, and is not copied once more.
            return Ok(self.queue.pop_front());
        }
        // A batch is the encoding of a list: how many, then one after the other.
        let head = codec::encode(&((count + usize::from(heartbeat.is_some())) as u64))?;
        let mut batch = Vec::with_capacity(head.len() + taken + COUNT_BYTES);
        batch.extend_from_slice(&head);
        // Checked on the way in: a message leaves room for the head, and a heartbeat is one byte.
        batch.extend(heartbeat.into_iter().flatten());
        self.queue.drain(..count).for_each(|message| batch.extend_from_slice(&message[ONE_BYTES..]));
        Ok(Some(batch))
    }
}

#[cfg(test)]
mod tests {
    use bulkhead_protocol::id::PackageId;

    use super::*;

    const BOUNDS: OutboxBounds = OutboxBounds { bytes: 1000, messages: 3 };

    fn chunk(bytes: usize) -> ToWorker {
        ToWorker::Chunk { package: PackageId([1; 32]), offset: 0, total: 0, bytes: vec![7; bytes] }
    }

    fn batches(outbox: &mut Outbox) -> Vec<Vec<ToWorker>> {
        let batches = std::iter::from_fn(|| outbox.take_batch::<ToWorker>().unwrap());
        batches.map(|batch| decode(&batch).unwrap()).collect()
    }

    #[test]
    fn what_waits_together_travels_together_up_to_the_bounds_of_a_batch() {
        let mut outbox = Outbox::default();
        assert_eq!(batches(&mut outbox), Vec::<Vec<ToWorker>>::new());
        outbox.push(Encoded::new(&[ToWorker::Drain, ToWorker::Heartbeat]).unwrap());
        outbox.push(Encoded::new(&[ToWorker::Heartbeat, ToWorker::Evicted]).unwrap());
        assert_eq!(batches(&mut outbox), [[ToWorker::Heartbeat, ToWorker::Drain, ToWorker::Evicted]]);

        let many = vec![ToWorker::Drain; MAX_BATCH_MESSAGES + 1];
        outbox.push(Encoded::new(&many).unwrap());
        let lengths: Vec<usize> = batches(&mut outbox).iter().map(Vec::len).collect();
        assert_eq!(lengths, [MAX_BATCH_MESSAGES, 1]);

        // Two of these are longer than a batch likes to be; one alone goes all the same.
        let half = chunk(BATCH_TARGET_BYTES / 2);
        outbox.push(Encoded::new(&[half.clone(), ToWorker::Drain, half.clone()]).unwrap());
        assert_eq!(batches(&mut outbox), [vec![half.clone(), ToWorker::Drain], vec![half]]);
        assert_eq!((outbox.bytes(), outbox.messages()), (0, 0));
        assert!(outbox.is_empty());
    }

    #[test]
    fn the_bounds_hold_and_a_single_message_always_fits() {
        let mut outbox = Outbox::default();
        let small = Encoded::new(&[chunk(100)]).unwrap();
        assert!(outbox.has_room(&Encoded::new(&[chunk(5000)]).unwrap(), BOUNDS));
        outbox.push(small);
        assert!(!outbox.has_room(&Encoded::new(&[chunk(5000)]).unwrap(), BOUNDS));
        assert!(outbox.has_room(&Encoded::new(&[ToWorker::Drain, ToWorker::Drain]).unwrap(), BOUNDS));
        assert!(!outbox.has_room(&Encoded::new(&[ToWorker::Drain, ToWorker::Drain, ToWorker::Drain]).unwrap(), BOUNDS));
        let left = BOUNDS.bytes - outbox.bytes();
        let exact = |bytes| Encoded { messages: vec![Vec::new()], bytes, heartbeat: false };
        assert!(outbox.has_room(&exact(left), BOUNDS));
        assert!(!outbox.has_room(&exact(left + 1), BOUNDS));
    }

    #[test]
    fn a_message_as_long_as_a_batch_is_refused_and_a_slightly_shorter_one_fits() {
        let head = codec::encode(&chunk(70_000)).unwrap().len() - 70_000;
        let longest = chunk(MAX_MESSAGE_BYTES - head);
        assert!(matches!(
            Encoded::new(&[chunk(MAX_MESSAGE_BYTES - head + 1)]),
            Err(SendError::TooLong { bytes }) if bytes == MAX_MESSAGE_BYTES + 1
        ));
        let mut outbox = Outbox::default();
        outbox.push(Encoded::new(&[longest, ToWorker::Heartbeat]).unwrap());
        let batch = outbox.take_batch::<ToWorker>().unwrap().unwrap();
        assert!(batch.len() <= MAX_BATCH_BYTES, "{}", batch.len());
    }

    #[test]
    fn more_messages_than_a_batch_has_are_not_decoded() {
        let decoded = |count| decode::<ToWorker>(&codec::encode(&vec![ToWorker::Drain; count]).unwrap());
        assert_eq!(decoded(MAX_BATCH_MESSAGES).unwrap().len(), MAX_BATCH_MESSAGES);
        assert!(matches!(decoded(MAX_BATCH_MESSAGES + 1), Err(Violation::Batch { .. })));
    }
}
