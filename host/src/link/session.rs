//! Greeting and sealing. Both sides derive a session from the join key by the Noise protocol; every
//! frame is then sealed under it. Without a key frames travel as they are.

use std::borrow::Cow;

use bulkhead_protocol::worker_message::{Greeting, GreetingKind, InvalidGreeting, MAX_FRAME_BYTES, VERSION};
use snow::{Builder, HandshakeState, TransportState, params::NoiseParams};

use super::close::Violation;
use super::dealer::ConnectError;
use super::key::JoinKey;

/// Ephemeral keys on both sides, the join key mixed in before the first message: a dispatcher knows
/// from the greeting alone whether the key is the same, and a recorded link stays secret when the key
/// comes out later.
const NOISE: &str = "Noise_NNpsk0_25519_ChaChaPoly_BLAKE2s";
/// Both sides must agree on it; keeps these sessions apart from any other use of the key.
const PROLOGUE: &[u8] = b"bulkhead worker link";
/// Where `psk0` goes.
const PSK_PLACE: u8 = 0;
/// Longest record of the Noise protocol.
const MAX_RECORD_BYTES: usize = 65_535;
/// What sealing adds to a record.
const TAG_BYTES: usize = 16;
/// Most bytes that fit into a record.
const MAX_OPEN_BYTES: usize = MAX_RECORD_BYTES - TAG_BYTES;
/// A handshake message: an X25519 key and the tag of an empty payload.
const HANDSHAKE_BYTES: usize = 32 + TAG_BYTES;

/// Largest sealed frame.
pub(super) const MAX_SEALED_BYTES: usize = MAX_FRAME_BYTES + MAX_FRAME_BYTES.div_ceil(MAX_OPEN_BYTES) * TAG_BYTES;

/// The session of one connection.
pub(super) enum Session {
    /// Frames travel as they are.
    Plain,
    /// Frames travel sealed; each record has the next number, so none can be changed, left out or
    /// repeated unnoticed.
    Sealed(Box<TransportState>),
}

impl Session {
    /// Makes a frame ready for its way. Each result must be sent, and in this order.
    pub(super) fn seal(&mut self, frame: Vec<u8>) -> Result<Vec<u8>, snow::Error> {
        let Self::Sealed(noise) = self else { return Ok(frame) };
        let mut sealed = vec![0; frame.len() + frame.len().div_ceil(MAX_OPEN_BYTES) * TAG_BYTES];
        let records = sealed.chunks_mut(MAX_RECORD_BYTES);
        for (open, record) in frame.chunks(MAX_OPEN_BYTES).zip(records) {
            noise.write_message(open, record)?;
        }
        Ok(sealed)
    }

    /// Opens a frame that has arrived.
    pub(super) fn open<'a>(&mut self, frame: &'a [u8]) -> Result<Cow<'a, [u8]>, Violation> {
        let Self::Sealed(noise) = self else { return Ok(Cow::Borrowed(frame)) };
        // Records shorter than a tag are refused by `read_message`, so this does not underflow there.
        let mut open = vec![0; frame.len()];
        let mut at = 0;
        for record in frame.chunks(MAX_RECORD_BYTES) {
            at += noise.read_message(record, &mut open[at..]).map_err(|_| Violation::Seal)?;
        }
        open.truncate(at);
        Ok(Cow::Owned(open))
    }
}

/// The worker's half of a greeting.
pub(super) struct Introduction {
    /// The handshake of a sealed link.
    noise: Option<Box<HandshakeState>>,
}

impl Introduction {
    /// Begins; gives the frame to send.
    pub(super) fn begin(key: Option<&JoinKey>) -> Result<(Self, Vec<u8>), ConnectError> {
        let Some(key) = key else {
            return Ok((Self { noise: None }, Greeting::new(GreetingKind::Plain, Vec::new()).to_bytes()));
        };
        let mut noise = builder(key)?.build_initiator()?;
        let mut message = vec![0; HANDSHAKE_BYTES];
        let length = noise.write_message(&[], &mut message)?;
        message.truncate(length);
        let frame = Greeting::new(GreetingKind::Sealed, message).to_bytes();
        Ok((Self { noise: Some(Box::new(noise)) }, frame))
    }

    /// Takes the dispatcher's answer.
    pub(super) fn finish(self, answer: &[u8]) -> Result<Session, ConnectError> {
        let wrong_version = |theirs| Err(ConnectError::WrongVersion { ours: VERSION, theirs });
        let greeting = match Greeting::from_bytes(answer) {
            Ok(greeting) if greeting.version != VERSION => return wrong_version(greeting.version),
            Ok(greeting) => greeting,
            Err(InvalidGreeting::UnknownKind { version }) if version != VERSION => return wrong_version(version),
            Err(_) => return Err(ConnectError::NotOurs),
        };
        match (greeting.kind, self.noise) {
            (GreetingKind::Plain, None) if greeting.handshake.is_empty() => Ok(Session::Plain),
            (GreetingKind::Sealed, Some(mut noise)) => {
                // Whoever answers without the key, or changes the answer, ends here.
                noise.read_message(&greeting.handshake, &mut []).map_err(|_| ConnectError::WrongKey)?;
                Ok(Session::Sealed(Box::new(noise.into_transport_mode()?)))
            }
            (GreetingKind::KeyNeeded, _) => Err(ConnectError::KeyNeeded),
            (GreetingKind::KeyUnexpected, _) => Err(ConnectError::KeyUnexpected),
            (GreetingKind::WrongKey, _) => Err(ConnectError::WrongKey),
            (GreetingKind::Full, _) => Err(ConnectError::Full),
            (GreetingKind::Closed, _) => Err(ConnectError::Dropped),
            _ => Err(ConnectError::NotOurs),
        }
    }
}

/// The dispatcher's answer to a greeting.
pub(super) enum Answer {
    /// The connection gets a session once `reply` is sent.
    Accepted {
        /// Its session.
        session: Session,
        /// The frame to send.
        reply: Vec<u8>,
    },
    /// It gets none.
    Refused {
        /// Why.
        why: Refusal,
        /// The frame that says so.
        reply: Vec<u8>,
    },
}

/// Why a dispatcher refuses a connection, for its log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    /// See [`GreetingKind::WrongVersion`].
    #[error("it speaks version {theirs} of the worker protocol, and this dispatcher version {VERSION}")]
    WrongVersion {
        /// Its version.
        theirs: u16,
    },
    /// See [`GreetingKind::KeyNeeded`].
    #[error("it has no join key, and this dispatcher has one")]
    KeyNeeded,
    /// See [`GreetingKind::KeyUnexpected`].
    #[error("it has a join key, and this dispatcher has none")]
    KeyUnexpected,
    /// See [`GreetingKind::WrongKey`].
    #[error("its join key is another one")]
    WrongKey,
    /// See [`GreetingKind::Full`].
    #[error("as many workers are connected as this dispatcher takes")]
    Full,
    /// It does not speak the protocol, or never greeted on this connection.
    #[error("it does not greet as a worker does")]
    NotOurs,
    /// Its first word did not come, or not in time.
    #[error("it greeted and said nothing more")]
    Silent,
}

impl Refusal {
    /// How the other side is told.
    pub(super) fn reply(self) -> Vec<u8> {
        let kind = match self {
            Self::WrongVersion { .. } => GreetingKind::WrongVersion,
            Self::KeyNeeded => GreetingKind::KeyNeeded,
            Self::KeyUnexpected => GreetingKind::KeyUnexpected,
            Self::WrongKey => GreetingKind::WrongKey,
            Self::Full => GreetingKind::Full,
            Self::NotOurs | Self::Silent => GreetingKind::Closed,
        };
        Greeting::new(kind, Vec::new()).to_bytes()
    }
}

/// The frame by which a dispatcher ends a connection, or tells someone that his is over.
pub(super) fn closed_notice() -> Vec<u8> {
    Greeting::new(GreetingKind::Closed, Vec::new()).to_bytes()
}

/// Whether a frame is the [`closed_notice`] of any version. It is not sealed: whoever can write on the
/// connection can end it anyway. No sealed frame is as short, and no plain one begins with it.
pub(super) fn is_closed_notice(frame: &[u8]) -> bool {
    frame.len() == closed_notice().len()
        && Greeting::from_bytes(frame).is_ok_and(|greeting| greeting.kind == GreetingKind::Closed)
}

/// Answers a greeting. `room` says whether there is room for another worker.
pub(super) fn answer(frame: &[u8], key: Option<&JoinKey>, room: bool) -> Answer {
    match accept(frame, key, room) {
        Ok((session, reply)) => Answer::Accepted { session, reply },
        Err(why) => Answer::Refused { why, reply: why.reply() },
    }
}

fn accept(frame: &[u8], key: Option<&JoinKey>, room: bool) -> Result<(Session, Vec<u8>), Refusal> {
    let greeting = match Greeting::from_bytes(frame) {
        Ok(greeting) if greeting.version != VERSION => {
            return Err(Refusal::WrongVersion { theirs: greeting.version });
        }
        Ok(greeting) => greeting,
        Err(InvalidGreeting::UnknownKind { version }) if version != VERSION => {
            return Err(Refusal::WrongVersion { theirs: version });
        }
        Err(_) => return Err(Refusal::NotOurs),
    };
    match (greeting.kind, key) {
        (GreetingKind::Plain, Some(_)) => Err(Refusal::KeyNeeded),
        (GreetingKind::Sealed, None) => Err(Refusal::KeyUnexpected),
        (GreetingKind::Plain, None) if !greeting.handshake.is_empty() => Err(Refusal::NotOurs),
        (GreetingKind::Plain | GreetingKind::Sealed, _) if !room => Err(Refusal::Full),
        (GreetingKind::Plain, None) => Ok((Session::Plain, Greeting::new(GreetingKind::Plain, Vec::new()).to_bytes())),
        (GreetingKind::Sealed, Some(key)) => {
            let (session, message) = respond(key, &greeting.handshake).map_err(|_| Refusal::WrongKey)?;
            Ok((session, Greeting::new(GreetingKind::Sealed, message).to_bytes()))
        }
        _ => Err(Refusal::NotOurs),
    }
}

fn respond(key: &JoinKey, handshake: &[u8]) -> Result<(Session, Vec<u8>), snow::Error> {
    let mut noise = builder(key)?.build_responder()?;
    noise.read_message(handshake, &mut [])?;
    let mut message = vec![0; HANDSHAKE_BYTES];
    let length = noise.write_message(&[], &mut message)?;
    message.truncate(length);
    Ok((Session::Sealed(Box::new(noise.into_transport_mode()?)), message))
}

fn builder(key: &JoinKey) -> Result<Builder<'_>, snow::Error> {
    let parameters: NoiseParams = NOISE.parse()?;
    Builder::new(parameters).prologue(PROLOGUE)?.psk(PSK_PLACE, key.bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> JoinKey {
        JoinKey::from_text(&format!("{text} 0123456789abcdef")).unwrap()
    }

    fn greet(worker: Option<&JoinKey>, dispatcher: Option<&JoinKey>) -> (Result<Session, ConnectError>, Answer) {
        let (introduction, frame) = Introduction::begin(worker).unwrap();
        let answer = answer(&frame, dispatcher, true);
        let reply = match &answer {
            Answer::Accepted { reply, .. } | Answer::Refused { reply, .. } => reply,
        };
        (introduction.finish(reply), answer)
    }

    fn sealed() -> (Session, Session) {
        let key = key("same");
        match greet(Some(&key), Some(&key)) {
            (Ok(worker), Answer::Accepted { session, .. }) => (worker, session),
            _ => panic!("the greeting failed"),
        }
    }

    #[test]
    fn sealed_frames_of_every_critical_length_open_on_the_other_side() {
        let (mut worker, mut dispatcher) = sealed();
        for length in [1, MAX_OPEN_BYTES - 1, MAX_OPEN_BYTES, MAX_OPEN_BYTES + 1, MAX_FRAME_BYTES] {
            let frame: Vec<u8> = (0..length).map(|index| (index * 7) as u8).collect();
            let sealed = worker.seal(frame.clone()).unwrap();
            assert!(sealed.len() <= MAX_SEALED_BYTES);
            assert_eq!(dispatcher.open(&sealed).unwrap(), frame, "{length}");
            let back = dispatcher.seal(frame.clone()).unwrap();
            assert_eq!(worker.open(&back).unwrap(), frame, "{length}");
        }
        assert_eq!(worker.seal(vec![0; MAX_FRAME_BYTES]).unwrap().len(), MAX_SEALED_BYTES);
    }

    #[test]
    fn a_frame_that_was_changed_cut_repeated_or_left_out_does_not_open() {
        let frame = vec![7; MAX_OPEN_BYTES + 100];
        let tamper = |what: &str, tamper: &dyn Fn(&mut Vec<u8>)| {
            let (mut worker, mut dispatcher) = sealed();
            let mut sealed = worker.seal(frame.clone()).unwrap();
            tamper(&mut sealed);
            assert_eq!(dispatcher.open(&sealed), Err(Violation::Seal), "{what}");
        };
        tamper("a flipped bit", &|sealed| sealed[5] ^= 1);
        tamper("a flipped bit in the last record", &|sealed| *sealed.last_mut().unwrap() ^= 1);
        tamper("a cut end", &|sealed| sealed.truncate(sealed.len() - 1));
        tamper("a cut to less than a tag", &|sealed| sealed.truncate(MAX_RECORD_BYTES + TAG_BYTES - 1));
        tamper("an addition", &|sealed| sealed.push(0));
        let (mut worker, mut dispatcher) = sealed();
        let first = worker.seal(frame.clone()).unwrap();
        assert!(dispatcher.open(&first).is_ok());
        assert_eq!(dispatcher.open(&first), Err(Violation::Seal), "a replay");
        let (mut worker, mut dispatcher) = sealed();
        let _left_out = worker.seal(frame.clone()).unwrap();
        let second = worker.seal(frame.clone()).unwrap();
        assert_eq!(dispatcher.open(&second), Err(Violation::Seal), "a gap");
        // What one session sealed is nothing to another with the same key.
        let (mut other, _) = self::sealed();
        let (_, mut dispatcher) = self::sealed();
        assert_eq!(dispatcher.open(&other.seal(frame).unwrap()), Err(Violation::Seal));
    }

    #[test]
    fn each_mismatch_of_keys_has_its_name_on_both_sides() {
        let (one, other) = (key("one"), key("other"));
        let check = |worker, dispatcher, expected: ConnectError, expected_refusal| {
            let (connected, answer) = greet(worker, dispatcher);
            let Answer::Refused { why, .. } = answer else { panic!("accepted in place of {expected}") };
            assert_eq!(why, expected_refusal);
            assert_eq!(connected.err().unwrap().to_string(), expected.to_string());
        };
        check(Some(&one), Some(&other), ConnectError::WrongKey, Refusal::WrongKey);
        check(None, Some(&one), ConnectError::KeyNeeded, Refusal::KeyNeeded);
        check(Some(&one), None, ConnectError::KeyUnexpected, Refusal::KeyUnexpected);
        assert!(greet(None, None).0.is_ok());
    }

    #[test]
    fn versions_are_compared_before_anything_else() {
        let other = |kind: u8| {
            let mut bytes = closed_notice();
            bytes[4..6].copy_from_slice(&9u16.to_le_bytes());
            bytes[6] = kind;
            bytes
        };
        for kind in [0, 1, 2, 200] {
            let Answer::Refused { why, reply } = answer(&other(kind), None, true) else { panic!("accepted") };
            assert_eq!(why, Refusal::WrongVersion { theirs: 9 });
            let (introduction, _) = Introduction::begin(None).unwrap();
            // The worker of version 9 reads our version in the refusal; ours reads 9 in any answer.
            assert_eq!(Greeting::from_bytes(&reply).unwrap().version, VERSION);
            let error = introduction.finish(&other(kind)).err().unwrap();
            assert!(matches!(error, ConnectError::WrongVersion { ours: VERSION, theirs: 9 }), "{error}");
        }
    }

    #[test]
    fn a_dispatcher_that_answers_under_another_key_or_unsealed_is_not_believed() {
        let (one, other) = (key("one"), key("other"));
        let (introduction, _) = Introduction::begin(Some(&one)).unwrap();
        // It answers somebody else's greeting under its own key.
        let (_, foreign) = Introduction::begin(Some(&other)).unwrap();
        let Answer::Accepted { reply, .. } = answer(&foreign, Some(&other), true) else { panic!("refused") };
        assert!(matches!(introduction.finish(&reply), Err(ConnectError::WrongKey)));
        let (introduction, _) = Introduction::begin(Some(&one)).unwrap();
        let plain = Greeting::new(GreetingKind::Plain, Vec::new()).to_bytes();
        assert!(matches!(introduction.finish(&plain), Err(ConnectError::NotOurs)));
        for junk in [&b"HTTP/1.1 400 Bad Request"[..], b"", b"BLK", b"BLKH\x01\x00"] {
            let (introduction, _) = Introduction::begin(None).unwrap();
            assert!(matches!(introduction.finish(junk), Err(ConnectError::NotOurs)), "{junk:?}");
        }
    }

    #[test]
    fn only_a_closed_notice_is_one() {
        assert!(is_closed_notice(&closed_notice()));
        assert!(!is_closed_notice(&Greeting::new(GreetingKind::Full, Vec::new()).to_bytes()));
        assert!(!is_closed_notice(&Greeting::new(GreetingKind::Closed, vec![0]).to_bytes()));
        assert!(!is_closed_notice(b""));
    }
}
