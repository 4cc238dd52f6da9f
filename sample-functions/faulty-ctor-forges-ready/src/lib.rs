//! A plugin whose constructor tells the host in the runner's name that the plugin is loaded.
//!
//! Expected: registration is refused with `LoadFailed`, and the host goes on.

#![cfg_attr(not(test), expect(unsafe_code, reason = "constructors are placed by section name"))]
// `cargo test --lib` builds a test program even so, which must not run the constructor.
#![cfg(not(test))]

use std::os::fd::BorrowedFd;

use bulkhead_protocol::packet;
use bulkhead_protocol::runner_message::ZygoteReport;

/// Runs inside `dlopen`, before anybody can check anything.
extern "C" fn constructor() {
    for number in 3..64 {
        // SAFETY: a number that is not open is refused.
        let file = unsafe { BorrowedFd::borrow_raw(number) };
        if packet::is_packet_socket(&file) {
            let _ = packet::send(&file, &ZygoteReport::Loaded, &[]);
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
