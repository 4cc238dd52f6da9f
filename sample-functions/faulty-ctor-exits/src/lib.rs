//! A plugin whose constructor ends the process.
//!
//! Expected: registration is refused with `LoadFailed` after an exit with 0, and the host goes on.

#![cfg_attr(not(test), expect(unsafe_code, reason = "constructors are placed by section name"))]
// `cargo test --lib` builds a test program even so, which must not run the constructor.
#![cfg(not(test))]

/// Runs inside `dlopen`, before anybody can check anything.
extern "C" fn constructor() {
    std::process::exit(0);
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
