//! What a machine may lack.

/// When set to 1, what is missing is a failure and not a reason to skip.
const REQUIRE_ALL: &str = "BULKHEAD_TEST_REQUIRE_ALL";

/// Whether the tests run as root.
pub fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

/// Says whether a test can go on. Where it cannot it prints why.
///
/// # Panics
/// When it cannot, and `BULKHEAD_TEST_REQUIRE_ALL=1` says that everything must be there.
#[must_use]
#[track_caller]
pub fn require_or_skip(is_there: bool, why: &str) -> bool {
    if is_there {
        return true;
    }
    assert!(std::env::var(REQUIRE_ALL).as_deref() != Ok("1"), "{REQUIRE_ALL}=1, and yet {why}");
    println!("skipped: {why}");
    false
}
