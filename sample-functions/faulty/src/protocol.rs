//! Functions that answer for themselves, past the SDK, in words that nobody agreed on.

#![expect(unsafe_code, reason = "nix has no _exit, and constructors are placed by section name")]

use std::{
    hint, io,
    os::fd::BorrowedFd,
    path::Path,
    process,
    sync::{Mutex, PoisonError},
};

use bulkhead::Context;
use bulkhead_protocol::slot::response;
use nix::libc;

use crate::{Attempt, slot::Slot};

/// Ends the process before the SDK can answer.
fn end() -> ! {
    // SAFETY: always allowed.
    unsafe { libc::_exit(0) }
}

/// Claims a result of as many bytes as there are numbers.
///
/// Expected: `ProtocolViolation`.
///
/// ```json
/// {}
/// ```
#[bulkhead::function]
pub fn length_u64_max(context: &Context) -> io::Result<()> {
    Slot::find(context)?.publish(response::SUCCEEDED, u64::MAX);
    end()
}

/// Claims a result that is a byte longer than the slot.
///
/// Expected: `ProtocolViolation`.
///
/// ```json
/// {}
/// ```
#[bulkhead::function]
pub fn length_off_by_one(context: &Context) -> io::Result<()> {
    let slot = Slot::find(context)?;
    slot.publish(response::SUCCEEDED, slot.capacity() as u64 + 1);
    end()
}

/// Answers with a kind that there is not.
///
/// Expected: `ProtocolViolation`.
///
/// ```json
/// {}
/// ```
#[bulkhead::function]
pub fn unknown_kind(context: &Context) -> io::Result<()> {
    Slot::find(context)?.publish(u32::MAX, 0);
    end()
}

/// Publishes a whole answer and makes its length another as fast as it can, until its end.
///
/// Expected: `ProtocolViolation`, for a call is over at its end, and what stands there then is no answer.
///
/// ```json
/// {}
/// ```
#[bulkhead::function]
pub fn rewrites_after_publish(context: &Context) -> io::Result<()> {
    let slot = Slot::find(context)?;
    slot.write(b"true");
    slot.publish(response::SUCCEEDED, 4);
    for length in 0..1_000_000 {
        slot.publish(response::SUCCEEDED, if length % 2 == 0 { u64::MAX } else { 4 });
    }
    slot.publish(response::SUCCEEDED, u64::MAX - 4);
    end()
}

/// Publishes a result, and then a panic that cannot be read.
///
/// Expected: `ProtocolViolation`, for the last answer counts.
///
/// ```json
/// {}
/// ```
#[bulkhead::function]
pub fn publishes_twice(context: &Context) -> io::Result<()> {
    let slot = Slot::find(context)?;
    slot.write(b"true");
    slot.publish(response::SUCCEEDED, 4);
    slot.write(b"\xFF{");
    slot.publish(response::PANICKED, 2);
    end()
}

/// Writes half of a result, publishes the whole of it, and is gone.
///
/// Expected: `ProtocolViolation`, for that is no JSON.
///
/// ```json
/// {}
/// ```
#[bulkhead::function]
pub fn partial_then_dies(context: &Context) -> io::Result<()> {
    let slot = Slot::find(context)?;
    slot.write(b"{\"half\": [1, 2,");
    slot.publish(response::SUCCEEDED, 100);
    end()
}

/// Writes a result without publishing it, and kills itself.
///
/// Expected: `Crashed` by SIGKILL.
///
/// ```json
/// {}
/// ```
#[bulkhead::function]
pub fn unpublished_then_dies(context: &Context) -> io::Result<()> {
    Slot::find(context)?.write(b"true");
    let _ = nix::sys::signal::raise(nix::sys::signal::Signal::SIGKILL);
    process::abort()
}

/// Publishes a whole answer and spins.
///
/// Expected: `TimedOut`, for a call is over at its end.
///
/// ```json
/// {}
/// ```
#[bulkhead::function]
pub fn publishes_then_spins(context: &Context) -> io::Result<()> {
    let slot = Slot::find(context)?;
    slot.write(b"true");
    slot.publish(response::SUCCEEDED, 4);
    loop {
        hint::spin_loop();
    }
}

/// What was tried on the files that a child has for a moment after the fork, before it runs a function.
static TRUNCATED: Mutex<Vec<Attempt>> = Mutex::new(Vec::new());

/// Shrinks every file that is not empty, among them the memory that is shared with the host.
fn truncate_all(_seed: [u8; 32]) {
    // Somebody who loads this library elsewhere has files to lose.
    if !Path::new("/plugin.so").exists() {
        return;
    }
    for number in 3..64 {
        // SAFETY: a number that is not open is refused.
        let file = unsafe { BorrowedFd::borrow_raw(number) };
        if !nix::sys::stat::fstat(file).is_ok_and(|stat| stat.st_size > 0) {
            continue;
        }
        let shrunk = nix::unistd::ftruncate(file, 0).map(|()| "shrunk".to_owned()).map_err(io::Error::from);
        let mut tried = TRUNCATED.lock().unwrap_or_else(PoisonError::into_inner);
        tried.push(Attempt::new(format!("shrink file {number}"), shrunk));
    }
}

/// Has the library's code shrink the memory that is shared with the host, while it is at hand.
extern "C" fn prepare() {
    bulkhead::random::on_fork(truncate_all);
}

#[used]
// SAFETY: the section takes pointers to functions of this type (System V ABI, "Initialization and Termination").
#[unsafe(link_section = ".init_array")]
static PREPARE: extern "C" fn() = prepare;

/// Tells what became of shrinking the shared memory.
///
/// Expected: an empty list, for the file is out of reach by then.
///
/// ```json
/// {}
/// ```
#[bulkhead::function]
pub fn truncates_slot() -> Vec<Attempt> {
    std::mem::take(&mut TRUNCATED.lock().unwrap_or_else(PoisonError::into_inner))
}
