//! What travels for one task between a dispatcher and its worker, by the calls that the link makes. Also counted
//! in instructions, by `tests/instructions`.

use bulkhead_protocol::codec;
use bulkhead_protocol::function::{Function, Isolation};
use bulkhead_protocol::id::{FunctionId, PackageId, TaskId};
use bulkhead_protocol::limits::Limits;
use bulkhead_protocol::outcome::{Logs, Outcome, Report, Usage};
use bulkhead_protocol::task::{Encoding, Input};
use bulkhead_protocol::worker_message::{Assignment, AttemptId, MAX_BATCH_MESSAGES, ToDispatcher, ToWorker};
use uuid::Uuid;

/// Sizes of inputs and results, in bytes, with their names.
pub(crate) const SIZES: [(&str, usize); 3] = [("100 B", 100), ("64 KiB", 64 << 10), ("1 MiB", 1 << 20)];

/// The message that gives a worker an attempt with an input of so many bytes.
pub(crate) fn assignment(bytes: usize) -> ToWorker {
    let function = Function {
        id: FunctionId(uuid(2)),
        name: "resize".to_owned(),
        version: 3,
        package: PackageId([7; 32]),
        index: 1,
        entry: "resize".to_owned(),
        limits: Limits::default(),
        isolation: Isolation::default(),
        description: String::new(),
        registered_at_ms: 1_700_000_000_000,
    };
    let input = Input { encoding: Encoding::Json, bytes: payload(bytes) };
    ToWorker::Assign(Box::new(Assignment { id: attempt(), function, config: b"{}".to_vec(), timeout_ms: None, input }))
}

/// The message that ends an attempt with a result of so many bytes.
pub(crate) fn ended(bytes: usize) -> ToDispatcher {
    let usage = Usage { wall_us: 1_500, user_us: 900, system_us: 300, peak_memory_bytes: 4 << 20 };
    let report = Report { outcome: Outcome::Succeeded, usage, logs: Logs::default(), result: payload(bytes) };
    ToDispatcher::Ended { id: attempt(), report }
}

/// Writes a message as a dispatcher does that sends it.
pub(crate) fn encode_to_worker(message: &ToWorker) -> Vec<u8> {
    codec::encode(&std::slice::from_ref(message)).expect("a message can be encoded")
}

/// Writes a message as a worker does that sends it.
pub(crate) fn encode_to_dispatcher(message: &ToDispatcher) -> Vec<u8> {
    codec::encode(&std::slice::from_ref(message)).expect("a message can be encoded")
}

/// Reads a batch as a worker does.
pub(crate) fn decode_at_worker(bytes: &[u8]) -> Vec<ToWorker> {
    let messages: Vec<ToWorker> = codec::decode_sequence(bytes, MAX_BATCH_MESSAGES).expect("a batch");
    messages.iter().for_each(|message| message.check().expect("within bounds"));
    messages
}

/// Reads a batch as a dispatcher does.
pub(crate) fn decode_at_dispatcher(bytes: &[u8]) -> Vec<ToDispatcher> {
    let messages: Vec<ToDispatcher> = codec::decode_sequence(bytes, MAX_BATCH_MESSAGES).expect("a batch");
    messages.iter().for_each(|message| message.check().expect("within bounds"));
    messages
}

/// Bytes that look like JSON; what they are makes no difference to the codec.
fn payload(bytes: usize) -> Vec<u8> {
    b"[1,22,333,4444] ".iter().copied().cycle().take(bytes).collect()
}

fn attempt() -> AttemptId {
    AttemptId { task: TaskId(uuid(1)), attempt: 1 }
}

/// The same identifier in every run.
fn uuid(number: u64) -> Uuid {
    Uuid::from_u64_pair(0x7000, number)
}
