//! A plugin with two functions of one name.
//!
//! Expected: the build is refused, or registration, with the places of both.

/// One of them.
#[bulkhead::function(name = "twin")]
pub fn first() -> u8 {
    1
}

/// The other.
#[bulkhead::function(name = "twin")]
pub fn second() -> u8 {
    2
}
