//! Generators that outlive a fork.
//!
//! Children of one zygote start as copies of it: a process-global generator that was seeded before the fork gives all
//! of them the same numbers. Thread-local ones (`rand::rng()`, `HashMap`'s keys) are safe, as every call runs on a thread
//! that is made after the fork. For the others, the host hands each child 32 fresh random bytes ([`on_fork`]), and
//! [`generation`] tells any two processes apart, those that a function forks by itself included.

mod generation;

use std::sync::Mutex;

pub use generation::generation;

/// A function that seeds a generator.
pub type Hook = fn(seed: [u8; 32]);

struct State {
    /// What the host gave this process; absent in the zygote, and outside of Bulkhead.
    seed: Option<[u8; 32]>,
    /// Who wants to know.
    hooks: Vec<Hook>,
}

static STATE: Mutex<State> = Mutex::new(State { seed: None, hooks: Vec::new() });

/// Has `hook` called with fresh randomness after every fork; at once, when this process was forked already.
///
/// ```
/// use std::sync::atomic::{AtomicU64, Ordering};
///
/// static GENERATOR: AtomicU64 = AtomicU64::new(0);
///
/// bulkhead_sdk::random::on_fork(|seed| {
///     let [a, b, c, d, e, f, g, h, ..] = seed;
///     GENERATOR.store(u64::from_le_bytes([a, b, c, d, e, f, g, h]), Ordering::Relaxed);
/// });
/// ```
pub fn on_fork(hook: Hook) {
    let seed = {
        let mut state = lock();
        state.hooks.push(hook);
        state.seed
    };
    // Outside the lock: a hook may register another.
    if let Some(seed) = seed {
        hook(seed);
    }
}

/// The randomness that the host gave this process, if it was forked by one.
#[must_use]
pub fn seed() -> Option<[u8; 32]> {
    lock().seed
}

pub(crate) fn after_fork(seed: [u8; 32]) {
    let hooks = {
        let mut state = lock();
        state.seed = Some(seed);
        state.hooks.clone()
    };
    for hook in hooks {
        hook(seed);
    }
}

fn lock() -> std::sync::MutexGuard<'static, State> {
    // No code that may panic runs under the lock.
    STATE.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU8, Ordering};

    use super::*;

    static EARLY: AtomicU8 = AtomicU8::new(0);
    static LATE: AtomicU8 = AtomicU8::new(0);

    #[test]
    fn hooks_see_the_seed_whenever_they_come() {
        on_fork(|seed| EARLY.store(seed[0], Ordering::Relaxed));
        after_fork([7; 32]);
        assert_eq!(EARLY.load(Ordering::Relaxed), 7);
        on_fork(|seed| LATE.store(seed[31], Ordering::Relaxed));
        assert_eq!(LATE.load(Ordering::Relaxed), 7);
        assert_eq!(seed(), Some([7; 32]));
    }
}
