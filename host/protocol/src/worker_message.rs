//! What dispatcher and workers say to each other: a greeting of fixed bytes, by which versions are
//! compared before anything is decoded, then batches of the messages below in the codec.
//!
//! A worker is believed about its own attempts only. Every message is bounded before it is decoded:
//! by [`MAX_FRAME_BYTES`] on the wire, by [`MAX_BATCH_BYTES`] when frames are put together, and by
//! [`MAX_BATCH_MESSAGES`]. What is bounded within a message is checked when it was decoded.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::function::Function;
use crate::id::{PackageId, TaskId, WorkerId};
use crate::limits::{MAX_INPUT_BYTES, MAX_RESULT_BYTES};
use crate::outcome::Report;
use crate::runner_message::MAX_SLOTS;
use crate::task::{Attempt, Input, Progress};

/// The version of everything here; sides with different ones refuse each other.
pub const VERSION: u16 = 1;
/// Largest frame on the wire in bytes, before it is sealed: a chunk of a package and its head. The socket
/// drops whoever sends a longer one; until a connection has greeted, this is what it can make a
/// dispatcher hold.
pub const MAX_FRAME_BYTES: usize = CHUNK_BYTES as usize + 4096;
/// Largest batch in bytes, put together from frames: a report with the largest result and logs.
pub const MAX_BATCH_BYTES: usize = 72 * 1024 * 1024;
/// Most messages of one batch.
pub const MAX_BATCH_MESSAGES: usize = 1024;
/// Most attempts that one worker has in hand: running, waiting for a slot, or ended and not yet
/// acknowledged.
pub const MAX_IN_HAND: usize = 16 * 1024;
/// Most attempts that a worker may ask for beyond its slots.
pub const MAX_AHEAD: u32 = 4096;
/// Longest name of a worker in bytes.
pub const MAX_WORKER_NAME_BYTES: usize = 128;
/// Bytes of one chunk of a package; the last may be shorter.
pub const CHUNK_BYTES: u64 = 256 * 1024;
/// Most chunks that a worker asks for at once.
pub const MAX_CHUNKS_ASKED: u32 = 16;

/// Longest text of a message in bytes: a reason, or a function's words about its progress.
pub const MAX_TEXT_BYTES: usize = 64 * 1024;

/// First bytes of a greeting.
pub const MAGIC: [u8; 4] = *b"BLKH";

/// The first thing each side says, in fixed bytes that every version can read: [`MAGIC`], version
/// (u16, little-endian), what follows (u8), then the first handshake message of a sealed link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Greeting {
    /// The version that the sender speaks.
    pub version: u16,
    /// What kind of greeting.
    pub kind: GreetingKind,
    /// The handshake message of a sealed link; empty otherwise.
    pub handshake: Vec<u8>,
}

/// What a greeting says beside the version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum GreetingKind {
    /// The link is not sealed.
    Plain = 0,
    /// The link is sealed with the join key; the handshake message follows.
    Sealed = 1,
    /// Refused: the dispatcher speaks another version.
    WrongVersion = 2,
    /// Refused: the dispatcher has a join key and the worker came without one.
    KeyNeeded = 3,
    /// Refused: the worker came with a join key and the dispatcher has none.
    KeyUnexpected = 4,
    /// Refused: the join keys differ.
    WrongKey = 5,
    /// Refused: the dispatcher has as many workers as it takes.
    Full = 6,
    /// The connection is over, whether or not it had begun.
    Closed = 7,
}

/// Why bytes are no greeting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidGreeting {
    /// They do not begin with [`MAGIC`], or end before the kind.
    #[error("the other side does not speak Bulkhead's protocol")]
    NotOurs,
    /// The kind is none of [`GreetingKind`]; a later version may know it.
    #[error("the other side greets in a way that this version does not know (its version: {version})")]
    UnknownKind {
        /// The version that it says it speaks.
        version: u16,
    },
}

impl Greeting {
    /// A greeting of this version.
    pub fn new(kind: GreetingKind, handshake: Vec<u8>) -> Self {
        Self { version: VERSION, kind, handshake }
    }

    /// Its bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(7 + self.handshake.len());
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&self.version.to_le_bytes());
        bytes.push(self.kind as u8);
        bytes.extend_from_slice(&self.handshake);
        bytes
    }

    /// Reads a greeting of any version.
    ///
    /// # Errors
    /// [`InvalidGreeting`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, InvalidGreeting> {
        let Some(([version @ .., kind], handshake)) =
            bytes.strip_prefix(&MAGIC).and_then(|rest| rest.split_first_chunk::<3>())
        else {
            return Err(InvalidGreeting::NotOurs);
        };
        let version = u16::from_le_bytes(*version);
        let kind = match kind {
            0 => GreetingKind::Plain,
            1 => GreetingKind::Sealed,
            2 => GreetingKind::WrongVersion,
            3 => GreetingKind::KeyNeeded,
            4 => GreetingKind::KeyUnexpected,
            5 => GreetingKind::WrongKey,
            6 => GreetingKind::Full,
            7 => GreetingKind::Closed,
            _ => return Err(InvalidGreeting::UnknownKind { version }),
        };
        Ok(Self { version, kind, handshake: handshake.to_vec() })
    }
}

/// How a worker gets its tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum WorkerMode {
    /// It is sent tasks as long as it has room.
    Push,
    /// It asks for tasks.
    Pull,
}

/// One attempt of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct AttemptId {
    /// The task.
    pub task: TaskId,
    /// Which try.
    pub attempt: Attempt,
}

/// How a worker introduces itself, on every connection anew.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// Its id: the same for as long as its process lives.
    pub worker: WorkerId,
    /// Random bytes by which the dispatcher knows that a second connection under the same id comes
    /// from the same process.
    pub token: [u8; 16],
    /// A name for people, at most [`MAX_WORKER_NAME_BYTES`]: the host's.
    pub name: String,
    /// How it gets its tasks.
    pub mode: WorkerMode,
    /// Attempts that it runs at once, 1 to [`crate::runner_message::MAX_SLOTS`].
    pub slots: u32,
    /// Every attempt that it was assigned and whose end was not acknowledged; at most
    /// [`MAX_IN_HAND`].
    pub in_hand: Vec<AttemptId>,
}

/// A message that breaks one of the bounds within it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} is {found}; allowed is {allowed}")]
pub struct OutOfBounds {
    /// Which value.
    pub what: &'static str,
    /// What it is.
    pub found: u64,
    /// What it may be.
    pub allowed: Allowed,
}

/// The values that are allowed, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowed {
    /// The least.
    pub least: u64,
    /// The most.
    pub most: u64,
}

impl fmt::Display for Allowed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} to {}", self.least, self.most)
    }
}

/// Checks one value.
fn check(what: &'static str, found: u64, least: u64, most: u64) -> Result<(), OutOfBounds> {
    if (least..=most).contains(&found) {
        return Ok(());
    }
    Err(OutOfBounds { what, found, allowed: Allowed { least, most } })
}

/// From a worker to its dispatcher.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum ToDispatcher {
    /// First of a connection.
    Hello(Hello),
    /// A pull worker takes up to `count` tasks; replaces what it asked for before.
    Ready {
        /// How many.
        count: u32,
    },
    /// From now on up to `ahead` attempts may wait at the worker beyond its slots.
    Ahead {
        /// How many, at most [`MAX_AHEAD`].
        ahead: u32,
    },
    /// It lives.
    Heartbeat,
    /// An attempt has a slot and begins.
    Started {
        /// Which.
        id: AttemptId,
        /// When; milliseconds since the Unix epoch by the worker's clock.
        at_ms: u64,
    },
    /// What a running function last said of its progress.
    Progress {
        /// Which.
        id: AttemptId,
        /// What.
        progress: Progress,
    },
    /// An attempt ended and its process is reaped. Said again on a new connection until it is
    /// acknowledged.
    Ended {
        /// Which.
        id: AttemptId,
        /// How.
        report: Report,
    },
    /// It takes no more tasks and leaves when it has none.
    Goodbye,
    /// It needs a part of a package.
    Fetch {
        /// The package.
        package: PackageId,
        /// The first byte, a multiple of [`CHUNK_BYTES`].
        offset: u64,
        /// How many chunks from there, 1 to [`MAX_CHUNKS_ASKED`].
        chunks: u32,
    },
    /// It rests: it takes no tasks, whatever it asked for, until it says otherwise.
    Resting {
        /// Whether it does.
        resting: bool,
    },
}

impl ToDispatcher {
    /// Checks what is bounded within the message.
    ///
    /// # Errors
    /// [`OutOfBounds`] names the first value that is.
    pub fn check(&self) -> Result<(), OutOfBounds> {
        match self {
            Self::Hello(hello) => {
                check("the length of a worker's name", hello.name.len() as u64, 0, MAX_WORKER_NAME_BYTES as u64)?;
                check("the number of slots", u64::from(hello.slots), 1, u64::from(MAX_SLOTS))?;
                check("the number of attempts in hand", hello.in_hand.len() as u64, 0, MAX_IN_HAND as u64)
            }
            Self::Ready { count } => check("the number of tasks asked for", u64::from(*count), 0, MAX_IN_HAND as u64),
            Self::Ahead { ahead } => check("the number of tasks ahead", u64::from(*ahead), 0, u64::from(MAX_AHEAD)),
            Self::Progress { progress, .. } => check_text("the length of a progress message", &progress.message),
            Self::Ended { report, .. } => {
                check("the length of a result", report.result.len() as u64, 0, MAX_RESULT_BYTES)
            }
            Self::Fetch { offset, chunks, .. } => {
                check("the offset of a chunk, modulo its length,", offset % CHUNK_BYTES, 0, 0)?;
                check("the number of chunks", u64::from(*chunks), 1, u64::from(MAX_CHUNKS_ASKED))
            }
            Self::Heartbeat | Self::Started { .. } | Self::Goodbye | Self::Resting { .. } => Ok(()),
        }
    }
}

fn check_text(what: &'static str, text: &str) -> Result<(), OutOfBounds> {
    check(what, text.len() as u64, 0, MAX_TEXT_BYTES as u64)
}

/// An attempt to run, with all that it needs but the package.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Assignment {
    /// Which.
    pub id: AttemptId,
    /// What to run; its description is left out (empty).
    pub function: Function,
    /// The function's configuration: a JSON object, or empty.
    #[serde(with = "serde_bytes")]
    pub config: Vec<u8>,
    /// Wall time in milliseconds, when the task asks for less or more than the function's limit.
    pub timeout_ms: Option<u64>,
    /// The arguments.
    pub input: Input,
}

/// From a dispatcher to a worker.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum ToWorker {
    /// The answer to [`ToDispatcher::Hello`].
    Welcome {
        /// How often each side says something, in milliseconds.
        heartbeat_ms: u64,
        /// Silence after which each side takes the other for dead, in milliseconds.
        dead_after_ms: u64,
    },
    /// The answer to a hello that is not taken; the connection ends.
    Refused {
        /// Why, for the worker's log.
        reason: String,
    },
    /// Run an attempt.
    Assign(Box<Assignment>),
    /// Kill an attempt, or drop it where it waits; it still ends with a report.
    Cancel {
        /// Which.
        id: AttemptId,
    },
    /// The end of an attempt is stored, or not wanted any more: forget it.
    Acknowledged {
        /// Which.
        id: AttemptId,
    },
    /// The dispatcher lives.
    Heartbeat,
    /// A part of a package.
    Chunk {
        /// The package.
        package: PackageId,
        /// Where the part begins.
        offset: u64,
        /// Size of the whole package in bytes.
        total: u64,
        /// The part, at most [`CHUNK_BYTES`].
        #[serde(with = "serde_bytes")]
        bytes: Vec<u8>,
    },
    /// A package cannot be had.
    NoPackage {
        /// The package.
        package: PackageId,
        /// Why: it was deleted, or the store does not answer.
        reason: String,
        /// Whether asking again later may help.
        retryable: bool,
    },
    /// Finish what is in hand and leave.
    Drain,
    /// The worker was silent for too long, and what it had is lost: say hello again.
    Evicted,
    /// The answer to [`ToDispatcher::Goodbye`] once everything is acknowledged.
    Dismissed,
}

impl ToWorker {
    /// Checks what is bounded within the message.
    ///
    /// # Errors
    /// [`OutOfBounds`] names the first value that is.
    pub fn check(&self) -> Result<(), OutOfBounds> {
        match self {
            Self::Refused { reason } | Self::NoPackage { reason, .. } => check_text("the length of a reason", reason),
            Self::Assign(assignment) => {
                check("the length of an input", assignment.input.bytes.len() as u64, 0, MAX_INPUT_BYTES)
            }
            Self::Chunk { offset, bytes, .. } => {
                check("the offset of a chunk, modulo its length,", offset % CHUNK_BYTES, 0, 0)?;
                check("the length of a chunk", bytes.len() as u64, 0, CHUNK_BYTES)
            }
            Self::Welcome { .. }
            | Self::Cancel { .. }
            | Self::Acknowledged { .. }
            | Self::Heartbeat
            | Self::Drain
            | Self::Evicted
            | Self::Dismissed => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
