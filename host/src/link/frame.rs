//! Frames: what a session seals and libzmq carries. A batch that fits travels whole, a longer one in
//! fragments of one fixed length, so that a frame that was cut on its way is noticed.
//!
//! A frame is a head and a payload. The head is the kind (u8), then the length of the whole batch
//! (u32, little-endian). A heartbeat may travel whole between two fragments.

use bulkhead_protocol::worker_message::{MAX_BATCH_BYTES, MAX_FRAME_BYTES};

use super::close::{CloseReason, Violation};

/// Bytes of the head.
const HEAD_BYTES: usize = 5;
/// Most bytes of a payload, and exactly as many in each fragment but the last.
pub(super) const PAYLOAD_BYTES: usize = MAX_FRAME_BYTES - HEAD_BYTES;

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Kind {
    /// A whole batch.
    Whole = 0,
    /// The first fragment of a batch.
    First = 1,
    /// Another fragment.
    Next = 2,
    /// No batch: the first word of a worker under its session, by which the dispatcher knows that the
    /// greeting was not a recorded one.
    Ready = 3,
}

/// The bytes of a frame of a batch of `total` bytes.
fn frame(kind: Kind, total: usize, payload: &[u8]) -> Vec<u8> {
    let mut frame = Vec::with_capacity(HEAD_BYTES + payload.len());
    frame.push(kind as u8);
    // A batch is at most MAX_BATCH_BYTES, far below u32::MAX.
    frame.extend_from_slice(&(total as u32).to_le_bytes());
    frame.extend_from_slice(payload);
    frame
}

/// The frame by which a worker's first word is said.
pub(super) fn ready() -> Vec<u8> {
    frame(Kind::Ready, 0, &[])
}

/// The frame of a batch that fits into one.
pub(super) fn whole(batch: &[u8]) -> Vec<u8> {
    frame(Kind::Whole, batch.len(), batch)
}

/// A batch that is being cut into frames.
#[derive(Debug)]
pub(super) struct Cutter {
    /// The batch.
    batch: Vec<u8>,
    /// Bytes of it that are cut off already.
    at: usize,
}

impl Cutter {
    /// Begins with a batch of at most [`MAX_BATCH_BYTES`].
    pub(super) fn new(batch: Vec<u8>) -> Self {
        Self { batch, at: 0 }
    }

    /// The next frame; none when the whole batch was given.
    pub(super) fn next(&mut self) -> Option<Vec<u8>> {
        let total = self.batch.len();
        let rest = self.batch.get(self.at..).filter(|rest| !rest.is_empty())?;
        let payload = rest.get(..PAYLOAD_BYTES).unwrap_or(rest);
        let kind = match self.at {
            0 if payload.len() == total => Kind::Whole,
            0 => Kind::First,
            _ => Kind::Next,
        };
        let frame = frame(kind, total, payload);
        self.at += payload.len();
        Some(frame)
    }
}

/// What a frame brought.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Arrived {
    /// A whole batch.
    Batch(Vec<u8>),
    /// A part of one.
    Part,
    /// The first word under the session.
    Ready,
}

/// Puts the batches of one peer together.
#[derive(Debug, Default)]
pub(super) struct Joiner {
    /// What there is of a batch that came in fragments, and its length in the end.
    unfinished: Option<(Vec<u8>, usize)>,
}

impl Joiner {
    /// Bytes that the unfinished batch will have; 0 when there is none.
    pub(super) fn unfinished_bytes(&self) -> usize {
        self.unfinished.as_ref().map_or(0, |(_, total)| *total)
    }

    /// Takes an opened frame. `room` is how many bytes an unfinished batch may take.
    ///
    /// # Errors
    /// The connection is to be closed.
    pub(super) fn take(&mut self, frame: &[u8], room: usize) -> Result<Arrived, CloseReason> {
        let Some(([kind, total @ ..], payload)) = frame.split_first_chunk::<HEAD_BYTES>() else {
            return Err(Violation::Head.into());
        };
        let total = u32::from_le_bytes(*total) as usize;
        if total > MAX_BATCH_BYTES {
            return Err(Violation::BatchLength { bytes: total }.into());
        }
        match *kind {
            kind if kind == Kind::Whole as u8 => {
                check_length(payload, total)?;
                Ok(Arrived::Batch(payload.to_vec()))
            }
            kind if kind == Kind::First as u8 => {
                if self.unfinished.is_some() || total <= PAYLOAD_BYTES {
                    return Err(Violation::FragmentOrder.into());
                }
                check_length(payload, PAYLOAD_BYTES)?;
                if total > room {
                    return Err(CloseReason::Crowded);
                }
                let mut batch = Vec::with_capacity(total);
                batch.extend_from_slice(payload);
                self.unfinished = Some((batch, total));
                Ok(Arrived::Part)
            }
            kind if kind == Kind::Next as u8 => {
                let Some((mut batch, expected)) = self.unfinished.take().filter(|(_, expected)| *expected == total)
                else {
                    return Err(Violation::FragmentOrder.into());
                };
                check_length(payload, PAYLOAD_BYTES.min(total - batch.len()))?;
                batch.extend_from_slice(payload);
                if batch.len() == expected {
                    return Ok(Arrived::Batch(batch));
                }
                self.unfinished = Some((batch, expected));
                Ok(Arrived::Part)
            }
            kind if kind == Kind::Ready as u8 => {
                check_length(payload, 0)?;
                Ok(Arrived::Ready)
            }
            _ => Err(Violation::Head.into()),
        }
    }
}

fn check_length(payload: &[u8], expected: usize) -> Result<(), Violation> {
    if payload.len() == expected { Ok(()) } else { Err(Violation::FragmentLength { found: payload.len(), expected }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(batch: Vec<u8>) -> Vec<Vec<u8>> {
        let mut cutter = Cutter::new(batch);
        std::iter::from_fn(|| cutter.next()).collect()
    }

    fn join(frames: Vec<Vec<u8>>) -> Result<Vec<Arrived>, CloseReason> {
        let mut joiner = Joiner::default();
        frames.into_iter().map(|frame| joiner.take(&frame, MAX_BATCH_BYTES)).collect()
    }

    #[test]
    fn batches_of_every_critical_length_come_together_again() {
        for length in [1, PAYLOAD_BYTES - 1, PAYLOAD_BYTES, PAYLOAD_BYTES + 1, 2 * PAYLOAD_BYTES, 3 * PAYLOAD_BYTES + 7]
        {
            let batch: Vec<u8> = (0..length).map(|index| index as u8).collect();
            let frames = cut(batch.clone());
            assert_eq!(frames.len(), length.div_ceil(PAYLOAD_BYTES));
            assert!(frames.iter().all(|frame| frame.len() <= MAX_FRAME_BYTES));
            let mut arrived = join(frames).unwrap();
            assert_eq!(arrived.pop(), Some(Arrived::Batch(batch)), "{length}");
            assert!(arrived.iter().all(|arrived| *arrived == Arrived::Part));
        }
    }

    #[test]
    fn a_whole_batch_may_come_between_fragments() {
        let mut frames = cut(vec![7; PAYLOAD_BYTES + 1]);
        frames.insert(1, whole(&[1, 2]));
        let arrived = join(frames).unwrap();
        assert_eq!(arrived[1], Arrived::Batch(vec![1, 2]));
        assert_eq!(arrived[2], Arrived::Batch(vec![7; PAYLOAD_BYTES + 1]));
    }

    #[test]
    fn frames_out_of_order_or_of_wrong_length_are_violations() {
        let frames = cut(vec![7; 2 * PAYLOAD_BYTES + 1]);
        let check = |frames: &[&Vec<u8>], violation: Violation| {
            let frames = frames.iter().map(|frame| frame.to_vec()).collect();
            assert_eq!(join(frames).unwrap_err(), CloseReason::Violation(violation));
        };
        let [first, next, last] = &frames[..] else { panic!("{} frames", frames.len()) };
        check(&[next], Violation::FragmentOrder);
        check(&[first, first], Violation::FragmentOrder);
        check(&[first, last], Violation::FragmentLength { found: 1, expected: PAYLOAD_BYTES });
        check(&[first, next, next], Violation::FragmentLength { found: PAYLOAD_BYTES, expected: 1 });
        let cut_short = |frame: &Vec<u8>| frame[..frame.len() - 1].to_vec();
        check(&[&cut_short(first)], Violation::FragmentLength { found: PAYLOAD_BYTES - 1, expected: PAYLOAD_BYTES });
        check(&[&cut_short(&whole(&[1, 2]))], Violation::FragmentLength { found: 1, expected: 2 });
        check(&[&vec![0; 4]], Violation::Head);
        check(&[&vec![]], Violation::Head);
        check(&[&vec![4, 0, 0, 0, 0]], Violation::Head);
        // A fragment of another batch than the one that was begun.
        let other = cut(vec![7; 3 * PAYLOAD_BYTES]);
        check(&[first, &other[1]], Violation::FragmentOrder);
    }

    #[test]
    fn a_claimed_length_is_refused_before_anything_is_allocated() {
        let claim = |total: usize| frame(Kind::First, total, &[0; PAYLOAD_BYTES]);
        let mut joiner = Joiner::default();
        let refused = joiner.take(&claim(MAX_BATCH_BYTES + 1), usize::MAX);
        assert_eq!(refused, Err(Violation::BatchLength { bytes: MAX_BATCH_BYTES + 1 }.into()));
        assert_eq!(joiner.take(&claim(MAX_BATCH_BYTES), MAX_BATCH_BYTES - 1), Err(CloseReason::Crowded));
        assert_eq!(joiner.unfinished_bytes(), 0);
        assert_eq!(joiner.take(&claim(MAX_BATCH_BYTES), MAX_BATCH_BYTES), Ok(Arrived::Part));
        assert_eq!(joiner.unfinished_bytes(), MAX_BATCH_BYTES);
    }

    proptest::proptest! {
        /// No frames make a joiner panic or hold more than it may.
        #[test]
        fn any_frames_are_taken_or_refused(
            frames in proptest::collection::vec((0u8..5, 0u32..3 * PAYLOAD_BYTES as u32, 0usize..3), 0..20),
            room in 0..3 * PAYLOAD_BYTES,
        ) {
            let mut joiner = Joiner::default();
            for (kind, total, length) in frames {
                // Lengths at which something happens: none, the rest of a batch, a whole fragment.
                let rest = (total as usize).saturating_sub(PAYLOAD_BYTES);
                let length = [0, rest.min(PAYLOAD_BYTES), PAYLOAD_BYTES][length];
                let frame = [&[kind][..], &total.to_le_bytes(), &vec![0; length]].concat();
                if let Ok(Arrived::Batch(batch)) = joiner.take(&frame, room) {
                    proptest::prop_assert_eq!(batch.len(), total as usize);
                }
                proptest::prop_assert!(joiner.unfinished_bytes() <= room);
            }
        }
    }
}
