//! Ids of the simulated tasks, functions and workers, and how a trace writes them.

use std::fmt;

use bulkhead_protocol::id::{FunctionId, TaskId, WorkerId};
use bulkhead_protocol::task::Attempt;
use uuid::Uuid;

/// Milliseconds of simulated time.
pub(super) type Ms = u64;

/// What every simulated task's id has in it, and nothing else that a dispatcher knows.
pub(super) const TASK_MARK: &str = "7a5c-8000-";

/// The executor beside a dispatcher.
pub(super) const LOCAL: WorkerId = WorkerId(Uuid::nil());

/// The id of the `number`th task.
pub(super) fn task_id(number: u32) -> TaskId {
    TaskId(Uuid::from_u128(0x0000_0000_0000_7a5c_8000_0000_0000_0000 | u128::from(number)))
}

/// The id of the `number`th function.
pub(super) fn function_id(number: usize) -> FunctionId {
    FunctionId(Uuid::from_u128(0x0000_0000_0000_4f00_8000_0000_0000_0000 | number as u128))
}

/// The id of a worker in its `life`th life.
pub(super) fn worker_id(index: usize, life: u32) -> WorkerId {
    let number = ((index as u128 + 1) << 16) | u128::from(life);
    WorkerId(Uuid::from_u128(0x0000_0000_0000_4e00_8000_0000_0000_0000 | number))
}

/// One attempt of a task.
pub(super) type Key = (TaskId, Attempt);

/// Writes a task as `t7`.
pub(super) struct T(pub(super) TaskId);

impl fmt::Display for T {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "t{}", self.0.0.as_u128() & 0xFFFF_FFFF)
    }
}

/// Writes an attempt as `t7#2`.
pub(super) struct A(pub(super) TaskId, pub(super) Attempt);

impl fmt::Display for A {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}#{}", T(self.0), self.1)
    }
}

/// Writes a worker as `w2.1`, its life after the point, and the executor beside a dispatcher as `local`.
pub(super) struct W(pub(super) WorkerId);

impl fmt::Display for W {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == LOCAL {
            return f.write_str("local");
        }
        let number = self.0.0.as_u128();
        write!(f, "w{}.{}", ((number >> 16) & 0xFFFF_FFFF) - 1, number & 0xFFFF)
    }
}
