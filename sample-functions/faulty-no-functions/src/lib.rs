//! A plugin without functions: its author forgot the attribute.
//!
//! Expected: the build is refused, or registration, for a package that offers nothing.

// Links the SDK, and with it the root module.
use bulkhead as _;

/// Not a function of the package.
pub fn forgotten() -> u8 {
    1
}
