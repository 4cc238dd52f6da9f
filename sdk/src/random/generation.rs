//! A number that no two processes share, kept in a page that the kernel wipes on every fork.

#![expect(unsafe_code, reason = "the page is reached through a raw pointer")]

use std::num::NonZero;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use nix::libc;
use nix::sys::mman::{MapFlags, MmapAdvise, ProtFlags, madvise, mmap_anonymous};

/// Bytes asked for; the kernel gives a whole page.
const PAGE_BYTES: NonZero<usize> = NonZero::new(4096).expect("not zero");

/// A random number that stays the same in this process and is another in every other one, whoever forked it.
///
/// A generator that keeps its state in a global remembers the number that it was seeded under, and seeds itself anew
/// when it finds another:
///
/// ```
/// use std::sync::Mutex;
///
/// static GENERATOR: Mutex<(u64, u64)> = Mutex::new((0, 0));
///
/// fn next() -> u64 {
///     let mut state = GENERATOR.lock().unwrap();
///     let generation = bulkhead_sdk::random::generation();
///     if state.0 != generation {
///         *state = (generation, generation); // Seeded from the number itself, which is random.
///     }
///     state.1 = state.1.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
///     state.1
/// }
/// # assert_ne!(next(), next());
/// ```
///
/// # Panics
/// When the system has no randomness to give.
#[must_use]
pub fn generation() -> u64 {
    let Some(number) = page() else {
        // Without such a page each look finds a new number, which seeds too often rather than too seldom.
        return random();
    };
    match number.load(Ordering::Acquire) {
        0 => {
            let fresh = random();
            // Another thread may have been faster.
            number.compare_exchange(0, fresh, Ordering::AcqRel, Ordering::Acquire).map_or_else(|found| found, |_| fresh)
        }
        known => known,
    }
}

/// The number in the page; 0 after a fork. `None` where the kernel does not wipe pages (before Linux 4.14).
fn page() -> Option<&'static AtomicU64> {
    static PAGE: OnceLock<Option<&'static AtomicU64>> = OnceLock::new();
    *PAGE.get_or_init(|| {
        let protection = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        // SAFETY: a new anonymous mapping overlaps nothing.
        let page = unsafe { mmap_anonymous(None, PAGE_BYTES, protection, MapFlags::MAP_PRIVATE) }.ok()?;
        // SAFETY: the mapping is ours and whole; what is wiped is this page of a child alone.
        unsafe { madvise(page, PAGE_BYTES.get(), MmapAdvise::MADV_WIPEONFORK) }.ok()?;
        // SAFETY: aligned, zeroed, larger than the number, never unmapped, and reached as an atomic only.
        Some(unsafe { page.cast::<AtomicU64>().as_ref() })
    })
}

/// A random number other than 0.
fn random() -> u64 {
    loop {
        let mut bytes = [0u8; 8];
        // SAFETY: the buffer is live and of the length given. Up to 256 bytes come whole, getrandom(2).
        let got = unsafe { libc::getrandom(bytes.as_mut_ptr().cast(), bytes.len(), 0) };
        assert!(usize::try_from(got) == Ok(bytes.len()), "the system gives no randomness");
        match u64::from_ne_bytes(bytes) {
            0 => {}
            number => return number,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_keeps_its_number_and_a_copy_of_it_has_another() {
        let here = generation();
        assert_ne!(here, 0);
        assert_eq!(here, generation());
        let (read, write) = nix::unistd::pipe().unwrap();
        // SAFETY: the copy makes no call but those of its number, to the pipe, and to exit.
        let copy = unsafe { libc::fork() };
        if copy == 0 {
            let there = generation().to_ne_bytes();
            // SAFETY: the bytes live through the call.
            unsafe { libc::write(std::os::fd::AsRawFd::as_raw_fd(&write), there.as_ptr().cast(), there.len()) };
            // SAFETY: takes a number and does not return.
            unsafe { libc::_exit(0) };
        }
        drop(write);
        let mut there = [0u8; 8];
        assert_eq!(nix::unistd::read(&read, &mut there), Ok(8));
        assert_ne!(u64::from_ne_bytes(there), here);
        assert_eq!(generation(), here);
        // SAFETY: a null status is not written to.
        unsafe { libc::waitpid(copy, std::ptr::null_mut(), 0) };
    }
}
