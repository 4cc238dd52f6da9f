//! A plugin whose constructor sends the host as many file descriptors as the kernel takes, none of them asked for.
//!
//! Expected: registration is refused with `LoadFailed`, and the host keeps none of them.

#![cfg_attr(not(test), expect(unsafe_code, reason = "constructors are placed by section name"))]
// `cargo test --lib` builds a test program even so, which must not run the constructor.
#![cfg(not(test))]

use std::io::IoSlice;
use std::os::fd::{AsRawFd, BorrowedFd};

use bulkhead_protocol::packet;
use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};

/// `SCM_MAX_FD`: the most that one packet takes, unix(7).
const MOST: usize = 253;
/// More packets than any socket holds.
const PACKETS: usize = 1000;

/// Runs inside `dlopen`, before anybody can check anything.
extern "C" fn constructor() {
    let rights = [ControlMessage::ScmRights(&[0; MOST])];
    for number in 3..64 {
        // SAFETY: a number that is not open is refused.
        let file = unsafe { BorrowedFd::borrow_raw(number) };
        if !packet::is_packet_socket(&file) {
            continue;
        }
        for _ in 0..PACKETS {
            let flags = MsgFlags::MSG_NOSIGNAL | MsgFlags::MSG_DONTWAIT;
            // The first byte of a packet is its kind; none has this one.
            if sendmsg::<()>(file.as_raw_fd(), &[IoSlice::new(b"\xFF")], &rights, flags, None).is_err() {
                break;
            }
        }
    }
}

#[used]
// SAFETY: the section takes pointers to functions of this type (System V ABI, "Initialization and Termination").
#[unsafe(link_section = ".init_array")]
static CONSTRUCTOR: extern "C" fn() = constructor;

/// Would work, if it were ever reached.
#[bulkhead::function]
pub fn unreachable() -> u8 {
    1
}
