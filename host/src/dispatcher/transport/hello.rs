//! Whether a worker's introduction is taken.

use std::collections::HashSet;

use bulkhead_protocol::runner_message::MAX_SLOTS;
use bulkhead_protocol::worker_message::{Hello, MAX_IN_HAND, MAX_WORKER_NAME_BYTES, WorkerMode};

use crate::dispatcher::handle::LOCAL;

/// Why a worker is refused. Its text goes to the worker's log.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refused {
    /// The dispatcher has workers of the other mode.
    #[error("this dispatcher takes {takes} workers (`-m {takes}`): start the worker with `bulkhead worker {takes} …`")]
    Mode {
        /// The word for the mode that it takes.
        takes: &'static str,
    },
    /// The nil id is the executor's beside a dispatcher.
    #[error("the nil id is no worker's")]
    Id,
    /// The slots are none or too many.
    #[error("a worker has 1 to {MAX_SLOTS} slots, and this one has {slots}")]
    Slots {
        /// How many.
        slots: u32,
    },
    /// The name is too long, empty, or not for people to read.
    #[error("a worker's name has 1 to {MAX_WORKER_NAME_BYTES} bytes and no control characters")]
    Name,
    /// It says that it has more in hand than it can, or something twice.
    #[error("a worker has at most {MAX_IN_HAND} attempts in hand, each once")]
    InHand,
    /// Another process has the id.
    #[error("another worker has this id; a worker takes a new one when it starts")]
    IdTaken,
    /// There are as many workers as may be.
    #[error("this dispatcher has as many workers as it takes ({most})")]
    Full {
        /// How many it takes.
        most: usize,
    },
}

/// The word for a mode on the command line and in records.
pub(super) fn word(mode: WorkerMode) -> &'static str {
    match mode {
        WorkerMode::Push => "push",
        WorkerMode::Pull => "pull",
    }
}

/// Checks what an introduction says for itself, whoever else is there.
pub(super) fn check(hello: &Hello, takes: WorkerMode) -> Result<(), Refused> {
    if hello.mode != takes {
        return Err(Refused::Mode { takes: word(takes) });
    }
    if hello.worker == LOCAL {
        return Err(Refused::Id);
    }
    if !(1..=MAX_SLOTS).contains(&hello.slots) {
        return Err(Refused::Slots { slots: hello.slots });
    }
    let fits = (1..=MAX_WORKER_NAME_BYTES).contains(&hello.name.len());
    if !fits || hello.name.chars().any(char::is_control) {
        return Err(Refused::Name);
    }
    let mut seen = HashSet::with_capacity(hello.in_hand.len().min(MAX_IN_HAND));
    if hello.in_hand.len() > MAX_IN_HAND || !hello.in_hand.iter().all(|id| seen.insert(id)) {
        return Err(Refused::InHand);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use bulkhead_protocol::id::{TaskId, WorkerId};
    use bulkhead_protocol::worker_message::AttemptId;
    use uuid::Uuid;

    use super::*;

    fn hello() -> Hello {
        Hello {
            worker: WorkerId(Uuid::from_u128(1)),
            token: [7; 16],
            name: "host".to_owned(),
            mode: WorkerMode::Push,
            slots: 2,
            in_hand: Vec::new(),
        }
    }

    fn attempts(count: usize) -> Vec<AttemptId> {
        (0..count).map(|n| AttemptId { task: TaskId(Uuid::from_u128(n as u128)), attempt: 1 }).collect()
    }

    #[test]
    fn each_bound_holds_at_and_beyond_its_end() {
        let check = |hello: &Hello| check(hello, WorkerMode::Push);
        assert_eq!(check(&hello()), Ok(()));
        assert_eq!(check(&Hello { worker: LOCAL, ..hello() }), Err(Refused::Id));
        assert_eq!(check(&Hello { mode: WorkerMode::Pull, ..hello() }), Err(Refused::Mode { takes: "push" }));
        assert_eq!(check(&Hello { slots: MAX_SLOTS, ..hello() }), Ok(()));
        for slots in [0, MAX_SLOTS + 1] {
            assert_eq!(check(&Hello { slots, ..hello() }), Err(Refused::Slots { slots }));
        }
        assert_eq!(check(&Hello { name: "n".repeat(MAX_WORKER_NAME_BYTES), ..hello() }), Ok(()));
        for name in [String::new(), "n".repeat(MAX_WORKER_NAME_BYTES + 1), "a\nb".to_owned(), "\u{1b}[31m".to_owned()] {
            assert_eq!(check(&Hello { name, ..hello() }), Err(Refused::Name));
        }
        assert_eq!(check(&Hello { in_hand: attempts(MAX_IN_HAND), ..hello() }), Ok(()));
        let twice = [attempts(2), attempts(1)].concat();
        for in_hand in [attempts(MAX_IN_HAND + 1), twice] {
            assert_eq!(check(&Hello { in_hand, ..hello() }), Err(Refused::InHand));
        }
    }
}
