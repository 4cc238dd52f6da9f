//! A shared library that is no plugin.
//!
//! Expected: the build is refused, or registration with `LoadFailed`, for a missing root module.

#![expect(unsafe_code, reason = "exporting a symbol by name is unsafe")]

/// Something to export.
// SAFETY: no other symbol of a program has this name.
#[unsafe(no_mangle)]
pub extern "C" fn faulty_no_root_module() -> u8 {
    1
}
