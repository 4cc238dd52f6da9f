//! What a worker may say in ZMTP 3 (<https://rfc.zeromq.org/spec/23/>): a greeting, its handshake
//! command, and messages of one frame each.

use crate::link::session::MAX_SEALED_BYTES;

/// Bytes of a greeting.
const GREETING_BYTES: usize = 64;
/// The mechanism of a greeting: none, as links are sealed above ZMTP.
const MECHANISM: &[u8; 20] = b"NULL\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
/// Where it stands.
const MECHANISM_AT: usize = 12;
/// The oldest version with commands.
const LEAST_VERSION: u8 = 3;

/// Flag of a frame: another of the same message follows.
const MORE: u8 = 1;
/// Flag of a frame: its length takes eight bytes.
const LONG: u8 = 2;
/// Flag of a frame: it is a command.
const COMMAND: u8 = 4;
/// Bytes of a long length.
const LONG_BYTES: usize = 8;

/// What does not pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refused {
    /// It is not ZMTP 3 without a mechanism.
    #[error("it does not speak ZMTP 3")]
    Greeting,
    /// The first frame is not the handshake command, or a later one is one.
    #[error("a command is out of place")]
    Command,
    /// A message would have several frames.
    #[error("a message has several frames")]
    Multipart,
    /// A frame is longer than any of a worker.
    #[error("a frame of {bytes} bytes")]
    Length {
        /// Its claimed length.
        bytes: u64,
    },
    /// A frame has flags that ZMTP 3 does not know.
    #[error("unknown flags {flags:#04x}")]
    Flags {
        /// The flags.
        flags: u8,
    },
}

/// Reads one connection's bytes as they come, in pieces of any length.
pub(super) struct Inspector {
    /// Where in the conversation it is.
    state: State,
    /// The handshake command that is passed on in place of the worker's: with a name that no other
    /// connection has. By a name that it chose, a worker could get into another's way.
    ready: Vec<u8>,
    /// Whether a message has begun.
    spoken: bool,
}

/// Where in a conversation an [`Inspector`] is.
enum State {
    /// So many bytes of the greeting have come.
    Greeting(usize),
    /// These bytes of a frame's head have come.
    Head {
        /// Flags and length.
        head: Vec<u8>,
        /// Whether it must be the handshake command.
        first: bool,
    },
    /// So many bytes of the handshake command are to come; these have.
    Ready {
        /// The rest.
        left: usize,
        /// Its beginning.
        begin: Vec<u8>,
    },
    /// So many bytes of a message are to come.
    Body(u64),
}

impl Inspector {
    /// For a connection that is to have `name`, at most 128 bytes.
    pub(super) fn new(name: &[u8]) -> Self {
        let mut body = b"\x05READY".to_vec();
        for (key, value) in [(&b"Socket-Type"[..], &b"DEALER"[..]), (b"Identity", name)] {
            body.push(key.len() as u8);
            body.extend_from_slice(key);
            body.extend_from_slice(&(value.len() as u32).to_be_bytes());
            body.extend_from_slice(value);
        }
        let ready = [&[COMMAND, body.len() as u8], &body[..]].concat();
        Self { state: State::Greeting(0), ready, spoken: false }
    }

    /// Whether a first message has begun.
    pub(super) fn has_spoken(&self) -> bool {
        self.spoken
    }

    /// Adds to `passed` what may pass of `bytes`.
    ///
    /// # Errors
    /// [`Refused`]: the connection is to be ended, and nothing of these bytes matters.
    pub(super) fn pass(&mut self, mut bytes: &[u8], passed: &mut Vec<u8>) -> Result<(), Refused> {
        while let Some((&byte, rest)) = bytes.split_first() {
            match &mut self.state {
                State::Greeting(at) => {
                    check_greeting(*at, byte)?;
                    passed.push(byte);
                    *at += 1;
                    if *at == GREETING_BYTES {
                        self.state = State::Head { head: Vec::new(), first: true };
                    }
                    bytes = rest;
                }
                State::Head { head, first } => {
                    head.push(byte);
                    if let Some((flags, length)) = read_head(head) {
                        let head = std::mem::take(head);
                        self.state = begin_frame(flags, length, *first)?;
                        // Of the handshake command nothing passes, its head neither.
                        if !matches!(self.state, State::Ready { .. }) {
                            self.spoken = true;
                            passed.extend_from_slice(&head);
                        }
                    }
                    bytes = rest;
                }
                State::Ready { left, begin } => {
                    begin.push(byte);
                    *left -= 1;
                    if *left == 0 {
                        if !begin.starts_with(b"\x05READY") {
                            return Err(Refused::Command);
                        }
                        passed.extend_from_slice(&self.ready);
                        self.state = State::Head { head: Vec::new(), first: false };
                    }
                    bytes = rest;
                }
                State::Body(left) => {
                    let here = bytes.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                    let (body, rest) = bytes.split_at(here);
                    passed.extend_from_slice(body);
                    *left -= here as u64;
                    bytes = rest;
                    if *left == 0 {
                        self.state = State::Head { head: Vec::new(), first: false };
                    }
                }
            }
        }
        Ok(())
    }
}

fn check_greeting(at: usize, byte: u8) -> Result<(), Refused> {
    let right = match at {
        0 => byte == 0xFF,
        9 => byte == 0x7F,
        10 => byte >= LEAST_VERSION,
        _ => match at.checked_sub(MECHANISM_AT).and_then(|at| MECHANISM.get(at)) {
            Some(expected) => byte == *expected,
            None => true,
        },
    };
    if right { Ok(()) } else { Err(Refused::Greeting) }
}

/// Flags and length of a frame, when its head is whole.
fn read_head(head: &[u8]) -> Option<(u8, u64)> {
    let (&flags, length) = head.split_first()?;
    if flags & LONG == 0 {
        return length.first().map(|length| (flags, u64::from(*length)));
    }
    let length: [u8; LONG_BYTES] = length.try_into().ok()?;
    Some((flags, u64::from_be_bytes(length)))
}

fn begin_frame(flags: u8, length: u64, first: bool) -> Result<State, Refused> {
    if flags & !(MORE | LONG | COMMAND) != 0 {
        return Err(Refused::Flags { flags });
    }
    if flags & COMMAND != 0 {
        // A command of one byte length, and only as the first frame.
        return match usize::try_from(length) {
            Ok(left @ 1..) if first && flags == COMMAND => Ok(State::Ready { left, begin: Vec::new() }),
            _ => Err(Refused::Command),
        };
    }
    if first {
        return Err(Refused::Command);
    }
    if flags & MORE != 0 {
        return Err(Refused::Multipart);
    }
    if length > MAX_SEALED_BYTES as u64 {
        return Err(Refused::Length { bytes: length });
    }
    Ok(if length == 0 { State::Head { head: Vec::new(), first: false } } else { State::Body(length) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn greeting() -> Vec<u8> {
        let mut greeting = b"\xFF\0\0\0\0\0\0\0\x01\x7F\x03\0NULL".to_vec();
        greeting.resize(GREETING_BYTES, 0);
        greeting
    }

    /// As libzmq says it, with a name of its own choice.
    fn ready() -> Vec<u8> {
        let body = b"\x05READY\x0bSocket-Type\0\0\0\x06DEALER\x08Identity\0\0\0\x04mine";
        [&[COMMAND, body.len() as u8], &body[..]].concat()
    }

    fn message(length: usize) -> Vec<u8> {
        [&[LONG][..], &(length as u64).to_be_bytes(), &vec![7; length]].concat()
    }

    /// Passes bytes in pieces of a length.
    fn pass(bytes: &[u8], piece: usize) -> Result<Vec<u8>, Refused> {
        let mut inspector = Inspector::new(b"theirs");
        let mut passed = Vec::new();
        bytes.chunks(piece).try_for_each(|bytes| inspector.pass(bytes, &mut passed))?;
        Ok(passed)
    }

    fn begun(rest: &[u8]) -> Vec<u8> {
        [greeting(), ready(), rest.to_vec()].concat()
    }

    #[test]
    fn messages_pass_unchanged_in_pieces_of_any_length_and_the_name_does_not() {
        let said = [message(3), vec![0, 2, 9, 9], vec![0, 0], message(MAX_SEALED_BYTES)].concat();
        let theirs = Inspector::new(b"theirs").ready;
        let expected = [greeting(), theirs, said.clone()].concat();
        for piece in [1, 2, 63, 64, 65, 1000, usize::MAX] {
            assert!(pass(&begun(&said), piece).unwrap() == expected, "in pieces of {piece}");
        }
        assert!(expected.windows(6).any(|window| window == b"theirs"));
        assert!(!expected.windows(4).any(|window| window == b"mine"));
    }

    #[test]
    fn what_breaks_a_bound_does_not_pass() {
        let refused = |bytes: &[u8]| pass(bytes, 7).unwrap_err();
        assert_eq!(refused(b"GET / HTTP/1.1\r\n\r\n"), Refused::Greeting);
        for (at, byte) in [(0, 0xFE), (9, 0), (10, 2), (12, b'P'), (20, 1)] {
            let mut greeting = greeting();
            greeting[at] = byte;
            assert_eq!(refused(&greeting), Refused::Greeting, "at {at}");
        }
        assert_eq!(refused(&[greeting(), message(1)].concat()), Refused::Command);
        assert_eq!(refused(&[greeting(), b"\x04\x05\x05ERROR"[..7].to_vec()].concat()), Refused::Command);
        assert_eq!(refused(&[greeting(), vec![COMMAND, 0]].concat()), Refused::Command);
        assert_eq!(refused(&[greeting(), vec![COMMAND | LONG, 0, 0, 0, 0, 0, 0, 1, 0]].concat()), Refused::Command);
        assert_eq!(refused(&begun(&ready())), Refused::Command);
        assert_eq!(refused(&begun(&[MORE, 1])), Refused::Multipart);
        assert_eq!(refused(&begun(&[MORE | LONG, 0, 0, 0, 0, 0, 0, 0, 1])), Refused::Multipart);
        assert_eq!(refused(&begun(&[8, 1])), Refused::Flags { flags: 8 });
        let bytes = MAX_SEALED_BYTES as u64 + 1;
        assert_eq!(refused(&begun(&[&[LONG][..], &bytes.to_be_bytes()].concat())), Refused::Length { bytes });
        let huge = [&[LONG][..], &u64::MAX.to_be_bytes()].concat();
        assert_eq!(refused(&begun(&huge)), Refused::Length { bytes: u64::MAX });
    }

    #[test]
    fn a_connection_has_spoken_with_its_first_message() {
        let mut inspector = Inspector::new(b"theirs");
        inspector.pass(&begun(&[]), &mut Vec::new()).unwrap();
        assert!(!inspector.has_spoken());
        inspector.pass(&[0, 5], &mut Vec::new()).unwrap();
        assert!(inspector.has_spoken());
    }

    proptest::proptest! {
        /// Whatever comes, in whatever pieces: the same passes, and all of it is ZMTP of single frames.
        #[test]
        fn pieces_make_no_difference(
            frames in proptest::collection::vec((0u8..9, 0u8..20, 0usize..20), 0..10),
            piece in 1usize..100,
        ) {
            let rest: Vec<u8> = frames.iter().flat_map(|(flags, length, body)| {
                [&[*flags, *length][..], &vec![1; *body]].concat()
            }).collect();
            proptest::prop_assert_eq!(pass(&begun(&rest), piece), pass(&begun(&rest), usize::MAX));
        }
    }
}
