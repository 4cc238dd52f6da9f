//! A plugin that was linked in the hope of a symbol that nobody has.
//!
//! Expected: registration is refused with `LoadFailed` for the symbol.

#![cfg_attr(not(test), expect(unsafe_code, reason = "foreign functions are unsafe"))]
// A test program could not even be linked.
#![cfg(not(test))]

unsafe extern "C" {
    fn bulkhead_symbol_that_nobody_has();
}

/// Would call it, if the library were ever loaded.
#[bulkhead::function]
pub fn calls_nobody() {
    // SAFETY: there is none; this is never reached.
    unsafe { bulkhead_symbol_that_nobody_has() };
}
