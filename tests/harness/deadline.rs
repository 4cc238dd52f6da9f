//! Deadlines: generous, so that a slow machine fails no test, and finite, so that a stuck one does.

use std::time::{Duration, Instant};

/// For what takes milliseconds on an idle machine.
pub const SHORT: Duration = Duration::from_secs(30);
/// For what compiles or computes.
pub const LONG: Duration = Duration::from_secs(600);

/// Between two looks at what the kernel tells nobody about: `/proc` and the cgroup file systems have no
/// events for the things that are looked at here.
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// Waits until `look` is content, and returns what it found.
///
/// # Panics
/// After [`SHORT`], with the last thing that `look` complained about.
#[track_caller]
pub fn eventually<T>(what: &str, look: impl FnMut() -> Result<T, String>) -> T {
    eventually_within(SHORT, what, look)
}

/// The same for what may take longer.
///
/// # Panics
/// After `limit`, with the last thing that `look` complained about.
#[track_caller]
pub fn eventually_within<T>(limit: Duration, what: &str, mut look: impl FnMut() -> Result<T, String>) -> T {
    let deadline = Instant::now() + limit;
    loop {
        match look() {
            Ok(found) => return found,
            Err(complaint) if Instant::now() > deadline => panic!("{what}: not within {limit:?}: {complaint}"),
            Err(_) => std::thread::sleep(LOOK_AGAIN),
        }
    }
}
