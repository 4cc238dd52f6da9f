//! Functions that never end.

use std::{hint, thread, time::Duration};

use nix::sys::signal::SigSet;

/// Spins.
///
/// Expected: `TimedOut`, after the wall time or the processor time, whichever is shorter.
///
/// ```json
/// {}
/// ```
#[bulkhead::function]
pub fn spins() {
    loop {
        hint::spin_loop();
    }
}

/// Blocks every signal that can be blocked, and spins.
///
/// Expected: `TimedOut`, for SIGKILL cannot be blocked.
///
/// ```json
/// {}
/// ```
#[bulkhead::function]
pub fn spins_blocking_all_signals() {
    let _ = SigSet::all().thread_block();
    loop {
        hint::spin_loop();
    }
}

/// Sleeps and never wakes up.
///
/// Expected: `TimedOut` after the wall time.
///
/// ```json
/// {}
/// ```
#[bulkhead::function]
pub fn sleeps_forever() {
    loop {
        thread::sleep(Duration::from_secs(3600));
    }
}
