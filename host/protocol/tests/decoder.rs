//! The fuzz targets of messages on a stable compiler, for a bounded time: every seed of their corpora,
//! changed in many ways. Also counts what decoding allocates, so that no length that some bytes merely
//! claim makes a dispatcher hold memory.

#![expect(unsafe_code, reason = "an allocator that counts is an unsafe trait")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::panic::catch_unwind;

#[path = "../../../fuzz/src/mutate.rs"]
mod mutate;
#[path = "../../../fuzz/src/runner_message.rs"]
mod runner_message;
#[path = "../../../fuzz/src/worker_message.rs"]
mod worker_message;

/// Changed inputs from each seed.
const ROUNDS: u64 = 4_000;
/// What decoding may hold however short the input is: serde sets aside up to a megabyte for a list of
/// claimed length.
const FIXED: usize = 3 * 1024 * 1024;
/// What it may hold for each byte of input: a text is read into memory of its claimed length, as far as the
/// codec's limit allows, and that is at most 256 times the input.
const PER_BYTE: usize = 512;

thread_local! {
    /// Bytes that this thread has allocated and not freed, and the most that they were.
    static HELD: Cell<(usize, usize)> = const { Cell::new((0, 0)) };
}

/// Counts by thread.
struct Counting;

// SAFETY: every call goes to the system's allocator as it came; counting allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size(), 0);
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size(), 0);
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(0, layout.size());
        // SAFETY: the caller's promises are passed on.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size, layout.size());
        // SAFETY: the caller's promises are passed on.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn count(allocated: usize, freed: usize) {
    // A thread that is ending has no counter any more.
    let _ = HELD.try_with(|held| {
        let (now, most) = held.get();
        let now = (now + allocated).saturating_sub(freed);
        held.set((now, most.max(now)));
    });
}

/// The most that was held at once while `work` ran.
fn most_held(work: impl FnOnce()) -> usize {
    let before = HELD.with(|held| {
        let (now, _) = held.get();
        held.set((now, now));
        now
    });
    work();
    HELD.with(Cell::get).1 - before
}

/// Gives a target every changed input of its corpus, and looks at what it holds meanwhile.
fn decode_all(target: &str, least: usize, decode: fn(&[u8])) {
    mutate::each(target, least, ROUNDS, |index, round, bytes| {
        let mut outcome = Ok(());
        let held = most_held(|| outcome = catch_unwind(|| decode(bytes)));
        assert!(outcome.is_ok(), "{target}, seed {index}, round {round}: {bytes:02x?}");
        let allowed = FIXED + PER_BYTE * bytes.len();
        assert!(held <= allowed, "{target}, seed {index}, round {round}: {held} bytes for {} of input", bytes.len());
    });
}

#[test]
fn no_input_makes_the_decoder_of_worker_messages_panic_or_hold_more_than_in_proportion() {
    decode_all("worker_message", 20, worker_message::decode);
}

#[test]
fn no_input_makes_the_decoder_of_runner_messages_panic_or_hold_more_than_in_proportion() {
    decode_all("runner_message", 10, runner_message::decode);
}

#[test]
fn the_counter_counts() {
    assert!(most_held(|| drop(Vec::<u8>::with_capacity(123_456))) >= 123_456);
}
