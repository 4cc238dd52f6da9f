//! What the check of libraries must stand: any bytes.

use bulkhead::package::check_library;

/// Checks `bytes` as registration does.
///
/// # Panics
/// When more is found in them than is there.
pub(crate) fn check(bytes: &[u8]) {
    let Ok(facts) = check_library(bytes) else { return };
    assert_eq!(facts.bytes, bytes.len() as u64);
    // Each has an entry of its own in the file.
    assert!(facts.needed.len() <= bytes.len());
}
