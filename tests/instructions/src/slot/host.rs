//! The host's end: `executor::slot_memory`, with as much of the executor around it as it names.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use bulkhead_protocol::function::{Function, Isolation};
use bulkhead_protocol::id::{FunctionId, PackageId, TaskId};
use bulkhead_protocol::limits::Limits;
use bulkhead_protocol::slot::{Layout, state};
use bulkhead_protocol::task::{Attempt, Encoding, Progress};
use uuid::Uuid;

use super::{ChildEnd, RESULT_BYTES};

#[path = "../../../../host/src/executor/slot_memory.rs"]
#[expect(dead_code, reason = "progress and use are read by the executor alone")]
mod slot_memory;

use slot_memory::SlotMemory;

/// What a slot reads of `executor::Call`; the compiler says when it reads more.
struct Call {
    task: TaskId,
    attempt: Attempt,
    function: Arc<Function>,
    encoding: Encoding,
    input: Vec<u8>,
    config: Vec<u8>,
}

/// A request that is made again and again.
pub struct Exchange(Call);

impl Exchange {
    /// One with an input of so many bytes.
    pub fn new(bytes: usize) -> Self {
        let function = Function {
            id: FunctionId(Uuid::from_u128(2)),
            name: "resize".to_owned(),
            version: 1,
            package: PackageId([7; 32]),
            index: 0,
            entry: "resize".to_owned(),
            limits: Limits { result_bytes: RESULT_BYTES, ..Limits::default() },
            isolation: Isolation::default(),
            description: String::new(),
            registered_at_ms: 0,
        };
        Self(Call {
            task: TaskId(Uuid::from_u128(1)),
            attempt: 1,
            function: Arc::new(function),
            encoding: Encoding::Json,
            input: vec![b'7'; bytes],
            config: b"{}".to_vec(),
        })
    }
}

/// The host's end of a slot.
pub struct HostEnd(SlotMemory);

impl HostEnd {
    /// Makes a slot.
    ///
    /// # Panics
    /// When the system gives no memory for one.
    #[expect(clippy::new_without_default, reason = "making one takes memory of the system")]
    pub fn new() -> Self {
        Self(SlotMemory::create(Layout::new(RESULT_BYTES)).expect("a slot can be made"))
    }

    /// A child's end of it.
    pub fn child(&self) -> ChildEnd {
        ChildEnd::new(self.0.file())
    }

    /// The slot's memory, for the child's end in another process.
    ///
    /// # Panics
    /// When there are too many open files.
    pub fn file(&self) -> OwnedFd {
        self.0.file().as_fd().try_clone_to_owned().expect("a descriptor")
    }

    /// Writes a request and wakes the child.
    pub fn request(&self, exchange: &Exchange) {
        self.0.request_call(&exchange.0, u64::MAX);
    }

    /// Takes the result, and makes the slot ready for the next request.
    ///
    /// # Panics
    /// When the child has published none.
    pub fn answer(&self) -> Vec<u8> {
        let response = self.0.response();
        assert_eq!(response.state, state::PUBLISHED, "the child has published");
        let result = self.0.output(response.bytes).expect("the result fits");
        self.0.rest();
        result
    }

    /// Gives the slot's memory back, as after a call in a process of its own.
    ///
    /// # Panics
    /// When the system does not take it.
    pub fn wipe(&self) {
        self.0.wipe().expect("a slot can be wiped");
    }
}
