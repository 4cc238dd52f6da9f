//! Golden bytes: what every message looks like on the wire, and its bounds.

use std::collections::BTreeSet;
use std::fmt::Debug;

use proptest::prelude::*;
use serde::de::DeserializeOwned;
use uuid::Uuid;

use super::*;
use crate::codec;
use crate::function::Isolation;
use crate::id::FunctionId;
use crate::limits::{Grants, LimitKind, Limits};
use crate::outcome::{Logs, Outcome, Usage};
use crate::task::Encoding;

/// Checks the bytes of `value`, given in hexadecimal digits with spaces between fields.
fn golden<T: Serialize + DeserializeOwned + PartialEq + Debug>(value: &T, expected: &str) {
    let expected: String = expected.split_whitespace().collect();
    let bytes = codec::encode(value).unwrap();
    let found: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(
        found, expected,
        "the bytes of {value:?} are others than before: sides of different releases would misunderstand each \
         other. If that is meant, raise VERSION in host/protocol/src/worker_message.rs and put the new bytes here"
    );
    assert_eq!(codec::decode::<T>(&bytes).unwrap(), *value);
}

fn id() -> AttemptId {
    AttemptId { task: TaskId(Uuid::from_u128(0x0001_0203_0405_0607_0809_0A0B_0C0D_0E0F)), attempt: 3 }
}

fn hello() -> Hello {
    Hello {
        worker: WorkerId(Uuid::from_u128(0x1011_1213_1415_1617_1819_1A1B_1C1D_1E1F)),
        token: [0xAA; 16],
        name: "node-1".to_owned(),
        mode: WorkerMode::Pull,
        slots: 300,
        in_hand: vec![id()],
    }
}

fn report() -> Report {
    Report {
        outcome: Outcome::Crashed { signal: "SIGSEGV".to_owned() },
        usage: Usage { wall_us: 1, user_us: 250, system_us: 251, peak_memory_bytes: 65_536 },
        logs: Logs { stdout: b"out".to_vec(), stderr: b"err".to_vec(), truncated: true },
        result: vec![1, 2, 3],
    }
}

fn assignment() -> Assignment {
    let limits = Limits {
        timeout_ms: 60_000,
        memory_bytes: 0x1_0000_0000,
        cpu_ms: Some(5),
        threads: 1,
        open_files: 2,
        tmp_bytes: 3,
        tmp_inodes: 4,
        log_bytes: 5,
        output_bytes: 6,
        result_bytes: 7,
        grants: Grants { network: true, processes: false, jit: true },
    };
    let function = Function {
        id: FunctionId(Uuid::from_u128(0x2021_2223_2425_2627_2829_2A2B_2C2D_2E2F)),
        name: "resize".to_owned(),
        version: 2,
        package: PackageId([0xCC; 32]),
        index: 1,
        entry: "run".to_owned(),
        limits,
        isolation: Isolation::Exec,
        description: String::new(),
        registered_at_ms: 1_700_000_000_000,
    };
    Assignment {
        id: id(),
        function,
        config: b"{}".to_vec(),
        timeout_ms: Some(9),
        input: Input { encoding: Encoding::Bincode, bytes: vec![7, 8] },
    }
}

/// A message of each kind to the dispatcher, with its bytes.
fn to_dispatcher() -> Vec<(ToDispatcher, &'static str)> {
    vec![
        (
            ToDispatcher::Hello(hello()),
            "00 10 101112131415161718191a1b1c1d1e1f aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa \
             06 6e6f64652d31 01 fb2c01 01 10 000102030405060708090a0b0c0d0e0f 03",
        ),
        (ToDispatcher::Ready { count: 250 }, "01fa"),
        (ToDispatcher::Ahead { ahead: 251 }, "02fbfb00"),
        (ToDispatcher::Heartbeat, "03"),
        (
            ToDispatcher::Started { id: id(), at_ms: 1_700_000_000_000 },
            "04 10 000102030405060708090a0b0c0d0e0f 03 fd0068e5cf8b010000",
        ),
        (
            ToDispatcher::Progress { id: id(), progress: Progress { fraction: 0.5, message: "half".to_owned() } },
            "05 10 000102030405060708090a0b0c0d0e0f 03 000000000000e03f0468616c66",
        ),
        (
            ToDispatcher::Ended { id: id(), report: report() },
            "06 10 000102030405060708090a0b0c0d0e0f 03 \
             04 07 53494753454756 01 fa fbfb00 fc00000100 03 6f7574 03 657272 01 03 010203",
        ),
        (ToDispatcher::Goodbye, "07"),
        (
            ToDispatcher::Fetch { package: PackageId([0xDD; 32]), offset: CHUNK_BYTES, chunks: 16 },
            "08ddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddfc0000040010",
        ),
        (ToDispatcher::Resting { resting: true }, "0901"),
    ]
}

/// The place of a message's kind; a new kind goes behind all others, and into [`to_dispatcher`].
fn kind_to_dispatcher(message: &ToDispatcher) -> usize {
    match message {
        ToDispatcher::Hello(_) => 0,
        ToDispatcher::Ready { .. } => 1,
        ToDispatcher::Ahead { .. } => 2,
        ToDispatcher::Heartbeat => 3,
        ToDispatcher::Started { .. } => 4,
        ToDispatcher::Progress { .. } => 5,
        ToDispatcher::Ended { .. } => 6,
        ToDispatcher::Goodbye => 7,
        ToDispatcher::Fetch { .. } => 8,
        ToDispatcher::Resting { .. } => 9,
    }
}

/// A message of each kind to a worker, with its bytes.
fn to_worker() -> Vec<(ToWorker, &'static str)> {
    vec![
        (ToWorker::Welcome { heartbeat_ms: 2_000, dead_after_ms: 10_000 }, "00fbd007fb1027"),
        (ToWorker::Refused { reason: "no".to_owned() }, "01026e6f"),
        (
            ToWorker::Assign(Box::new(assignment())),
            "02 10 000102030405060708090a0b0c0d0e0f 03 \
             10 202122232425262728292a2b2c2d2e2f 06 726573697a65 02 \
             cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc 01 03 72756e \
             fb60ea fd0000000001000000 01 05 01 02 03 04 05 06 07 01 00 01 02 00 fd0068e5cf8b010000 \
             02 7b7d 01 09 01 02 0708",
        ),
        (ToWorker::Cancel { id: id() }, "03 10 000102030405060708090a0b0c0d0e0f 03"),
        (ToWorker::Acknowledged { id: id() }, "04 10 000102030405060708090a0b0c0d0e0f 03"),
        (ToWorker::Heartbeat, "05"),
        (
            ToWorker::Chunk {
                package: PackageId([0xEE; 32]),
                offset: 2 * CHUNK_BYTES,
                total: 2 * CHUNK_BYTES + 3,
                bytes: vec![1, 2, 3],
            },
            "06 eeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee \
             fc00000800 fc03000800 03 010203",
        ),
        (
            ToWorker::NoPackage { package: PackageId([0xFF; 32]), reason: "deleted".to_owned(), retryable: true },
            "07ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff0764656c6574656401",
        ),
        (ToWorker::Drain, "08"),
        (ToWorker::Evicted, "09"),
        (ToWorker::Dismissed, "0a"),
    ]
}

/// The place of a message's kind; a new kind goes behind all others, and into [`to_worker`].
fn kind_to_worker(message: &ToWorker) -> usize {
    match message {
        ToWorker::Welcome { .. } => 0,
        ToWorker::Refused { .. } => 1,
        ToWorker::Assign(_) => 2,
        ToWorker::Cancel { .. } => 3,
        ToWorker::Acknowledged { .. } => 4,
        ToWorker::Heartbeat => 5,
        ToWorker::Chunk { .. } => 6,
        ToWorker::NoPackage { .. } => 7,
        ToWorker::Drain => 8,
        ToWorker::Evicted => 9,
        ToWorker::Dismissed => 10,
    }
}

#[test]
fn messages_to_the_dispatcher_look_as_they_always_did() {
    let messages = to_dispatcher();
    let kinds: BTreeSet<usize> = messages.iter().map(|(message, _)| kind_to_dispatcher(message)).collect();
    assert!(kinds.into_iter().eq(0..=9), "a kind has no golden bytes");
    for (message, bytes) in messages {
        golden(&message, bytes);
        assert_eq!(message.check(), Ok(()));
    }
}

#[test]
fn messages_to_a_worker_look_as_they_always_did() {
    let messages = to_worker();
    let kinds: BTreeSet<usize> = messages.iter().map(|(message, _)| kind_to_worker(message)).collect();
    assert!(kinds.into_iter().eq(0..=10), "a kind has no golden bytes");
    for (message, bytes) in messages {
        golden(&message, bytes);
        assert_eq!(message.check(), Ok(()));
    }
}

#[test]
fn outcomes_look_as_they_always_did() {
    let text = |text: &str| text.to_owned();
    let outcomes = [
        (Outcome::Succeeded, "00"),
        (Outcome::FunctionError { code: text("c"), message: text("m"), retryable: true }, "010163016d01"),
        (Outcome::InvalidInput { path: text("p"), message: text("m") }, "020170016d"),
        (Outcome::Panicked { message: text("m"), location: Some(text("l")) }, "03016d01016c"),
        (Outcome::Crashed { signal: text("s") }, "040173"),
        (Outcome::Exited { code: -1 }, "0501"),
        (Outcome::TimedOut { limit_ms: 1 }, "0601"),
        (Outcome::OutOfMemory { limit_bytes: 1, inferred: true }, "070101"),
        (Outcome::LimitExceeded { limit: LimitKind::Result, value: 1 }, "080501"),
        (
            Outcome::PolicyViolation { syscall: Some(text("s")), args: Some(Box::new([1, 2, 3, 4, 5, 6])) },
            "0901017301010203040506",
        ),
        (Outcome::ProtocolViolation { what: text("w") }, "0a0177"),
        (Outcome::LoadFailed { reason: text("r") }, "0b0172"),
        (Outcome::SetupFailed { step: text("s"), errno: 1 }, "0c017302"),
        (Outcome::Cancelled, "0d"),
        (Outcome::WorkerLost, "0e"),
        (Outcome::Expired, "0f"),
    ];
    let kinds: BTreeSet<&str> = outcomes.iter().map(|(outcome, _)| outcome.kind()).collect();
    assert_eq!(kinds.len(), outcomes.len());
    outcomes.iter().for_each(|(outcome, bytes)| golden(outcome, bytes));
}

#[test]
fn a_greeting_looks_as_it_always_will() {
    // Read by every version, so not even VERSION may change these.
    let kinds = [
        (GreetingKind::Plain, 0),
        (GreetingKind::Sealed, 1),
        (GreetingKind::WrongVersion, 2),
        (GreetingKind::KeyNeeded, 3),
        (GreetingKind::KeyUnexpected, 4),
        (GreetingKind::WrongKey, 5),
        (GreetingKind::Full, 6),
        (GreetingKind::Closed, 7),
    ];
    for (kind, number) in kinds {
        let greeting = Greeting { version: 0x0201, kind, handshake: vec![9, 8] };
        let bytes = [b'B', b'L', b'K', b'H', 1, 2, number, 9, 8];
        assert_eq!(greeting.to_bytes(), bytes);
        assert_eq!(Greeting::from_bytes(&bytes), Ok(greeting));
    }
    assert_eq!(Greeting::new(GreetingKind::Plain, Vec::new()).version, VERSION);
}

#[test]
fn what_is_no_greeting_is_told_from_one_of_a_later_version() {
    for bytes in [&b""[..], b"BLKH", b"BLKH\x01\x00", b"blkh\x01\x00\x00", b"GET / HTTP/1.1"] {
        assert_eq!(Greeting::from_bytes(bytes), Err(InvalidGreeting::NotOurs), "{bytes:?}");
    }
    assert_eq!(Greeting::from_bytes(b"BLKH\x07\x00\x63..."), Err(InvalidGreeting::UnknownKind { version: 7 }));
}

#[test]
fn messages_at_and_beyond_their_bounds() {
    let taken = |message: ToDispatcher| message.check().is_ok();
    let worker = |change: fn(&mut Hello)| {
        let mut hello = hello();
        change(&mut hello);
        ToDispatcher::Hello(hello)
    };
    assert!(taken(worker(|hello| hello.name = "n".repeat(MAX_WORKER_NAME_BYTES))));
    assert!(!taken(worker(|hello| hello.name = "n".repeat(MAX_WORKER_NAME_BYTES + 1))));
    assert!(taken(worker(|hello| hello.slots = MAX_SLOTS)));
    assert!(!taken(worker(|hello| hello.slots = MAX_SLOTS + 1)));
    assert!(!taken(worker(|hello| hello.slots = 0)));
    assert!(taken(worker(|hello| hello.in_hand = vec![id(); MAX_IN_HAND])));
    assert!(!taken(worker(|hello| hello.in_hand = vec![id(); MAX_IN_HAND + 1])));
    assert!(taken(ToDispatcher::Ready { count: MAX_IN_HAND as u32 }));
    assert!(!taken(ToDispatcher::Ready { count: MAX_IN_HAND as u32 + 1 }));
    assert!(taken(ToDispatcher::Ahead { ahead: MAX_AHEAD }));
    assert!(!taken(ToDispatcher::Ahead { ahead: MAX_AHEAD + 1 }));
    let progress = |bytes| {
        let progress = Progress { fraction: 0.0, message: "m".repeat(bytes) };
        ToDispatcher::Progress { id: id(), progress }
    };
    assert!(taken(progress(MAX_TEXT_BYTES)));
    assert!(!taken(progress(MAX_TEXT_BYTES + 1)));
    let ended = |bytes| ToDispatcher::Ended { id: id(), report: Report { result: vec![0; bytes], ..report() } };
    assert!(taken(ended(MAX_RESULT_BYTES as usize)));
    assert!(!taken(ended(MAX_RESULT_BYTES as usize + 1)));
    let fetch = |offset, chunks| ToDispatcher::Fetch { package: PackageId([0; 32]), offset, chunks };
    assert!(taken(fetch(3 * CHUNK_BYTES, MAX_CHUNKS_ASKED)));
    assert!(!taken(fetch(3 * CHUNK_BYTES, MAX_CHUNKS_ASKED + 1)));
    assert!(!taken(fetch(3 * CHUNK_BYTES, 0)));
    assert!(!taken(fetch(3 * CHUNK_BYTES + 1, 1)));

    let taken = |message: ToWorker| message.check().is_ok();
    let package = PackageId([0; 32]);
    let chunk = |offset, bytes| ToWorker::Chunk { package, offset, total: u64::MAX, bytes: vec![0; bytes] };
    assert!(taken(chunk(CHUNK_BYTES, CHUNK_BYTES as usize)));
    assert!(!taken(chunk(CHUNK_BYTES, CHUNK_BYTES as usize + 1)));
    assert!(!taken(chunk(1, 1)));
    assert!(taken(ToWorker::Refused { reason: "r".repeat(MAX_TEXT_BYTES) }));
    assert!(!taken(ToWorker::Refused { reason: "r".repeat(MAX_TEXT_BYTES + 1) }));
    assert!(!taken(ToWorker::NoPackage { package, reason: "r".repeat(MAX_TEXT_BYTES + 1), retryable: false }));
    let assign = |bytes| {
        let input = Input { encoding: Encoding::Json, bytes: vec![0; bytes] };
        ToWorker::Assign(Box::new(Assignment { input, ..assignment() }))
    };
    assert!(taken(assign(MAX_INPUT_BYTES as usize)));
    assert!(!taken(assign(MAX_INPUT_BYTES as usize + 1)));
}

#[test]
fn a_frame_carries_a_chunk_and_a_batch_the_largest_messages() {
    let chunk = ToWorker::Chunk {
        package: PackageId([0; 32]),
        offset: 0,
        total: u64::MAX,
        bytes: vec![0; CHUNK_BYTES as usize],
    };
    assert!(codec::encode(&vec![chunk]).unwrap().len() < MAX_FRAME_BYTES - 1024);
    let bytes = vec![0; MAX_INPUT_BYTES as usize];
    let config = vec![0; 1024 * 1024];
    let assignment = Assignment { input: Input { encoding: Encoding::Json, bytes }, config, ..assignment() };
    assert!(codec::encode(&vec![ToWorker::Assign(Box::new(assignment))]).unwrap().len() < MAX_BATCH_BYTES);
    let logs = Logs { stdout: vec![0; 3 * 1024 * 1024], stderr: vec![0; 3 * 1024 * 1024], truncated: true };
    let report = Report { result: vec![0; MAX_RESULT_BYTES as usize], logs, ..report() };
    assert!(codec::encode(&vec![ToDispatcher::Ended { id: id(), report }]).unwrap().len() < MAX_BATCH_BYTES);
}

proptest! {
    /// No bytes make a decoder panic.
    #[test]
    fn any_bytes_decode_or_are_refused(bytes in proptest::collection::vec(any::<u8>(), 0..2000)) {
        let _ = codec::decode_sequence::<ToDispatcher>(&bytes, MAX_BATCH_MESSAGES);
        let _ = codec::decode_sequence::<ToWorker>(&bytes, MAX_BATCH_MESSAGES);
        if let Ok(greeting) = Greeting::from_bytes(&bytes) {
            prop_assert_eq!(greeting.to_bytes(), bytes);
        }
    }
}
