//! The child's end: the runner's `slot_memory`, and a function that returns its input.

use std::os::fd::OwnedFd;

use bulkhead_protocol::slot::{Layout, response};

use super::RESULT_BYTES;

#[path = "../../../../host/runner/src/slot_memory.rs"]
mod slot_memory;

use slot_memory::SlotMemory;

/// The child's end of a slot.
pub struct ChildEnd(SlotMemory);

impl ChildEnd {
    /// Maps the slot with this memory.
    ///
    /// # Panics
    /// When it cannot be mapped.
    pub fn new(memory: &OwnedFd) -> Self {
        Self(SlotMemory::map(memory, Layout::new(RESULT_BYTES)).expect("a slot can be mapped"))
    }

    /// Waits for a request and answers it with its input.
    ///
    /// # Panics
    /// When the input is longer than the output's room.
    pub fn echo(&self) {
        self.0.take_request();
        let (input, _) = self.0.input();
        self.0.output()[..input.len()].copy_from_slice(input);
        self.0.publish(response::SUCCEEDED, input.len() as u64);
    }
}
