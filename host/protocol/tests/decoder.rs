//! The fuzz target of the worker messages on a stable compiler, for a bounded time: every seed of its corpus,
//! changed in many ways. Also counts what decoding allocates, so that no length that some bytes merely
//! claim makes a dispatcher hold memory.

#![expect(unsafe_code, reason = "an allocator that counts is an unsafe trait")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::panic::catch_unwind;
use std::path::Path;

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

/// Pseudorandom numbers: xorshift64, Marsaglia 2003.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound.max(1) as u64) as usize
    }
}

/// Changes a seed as hostile or broken senders would.
fn change(seed: &[u8], random: &mut Random) -> Vec<u8> {
    let mut bytes = seed.to_vec();
    for _ in 0..=random.below(4) {
        let at = random.below(bytes.len());
        match random.below(7) {
            0 => bytes.truncate(at),
            1 => bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte = random.next() as u8),
            2 => bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= 1 << random.below(8)),
            // A length in place of whatever stands there: 2 to 8 bytes follow these marks.
            3 => bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte = 251 + random.below(5) as u8),
            4 => {
                let claim = [&[0xFD][..], &(random.next() >> random.below(64)).to_le_bytes()].concat();
                bytes.splice(at..at, claim).for_each(drop);
            }
            5 => bytes.extend_from_slice(&seed[random.below(seed.len())..]),
            _ => drop(bytes.splice(at..at, (0..random.below(40)).map(|_| random.next() as u8)).count()),
        }
    }
    bytes
}

fn seeds() -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/worker_message");
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect();
    files.sort();
    files.iter().map(|file| std::fs::read(file).unwrap()).collect()
}

#[test]
fn no_input_makes_the_decoder_panic_or_hold_more_than_in_proportion() {
    let seeds = seeds();
    assert!(seeds.len() >= 20, "{} seeds", seeds.len());
    for (index, seed) in seeds.iter().enumerate() {
        worker_message::decode(seed);
        for round in 0..ROUNDS {
            let number = (index as u64) << 32 | (round + 1);
            // Spread, as neighbouring states give similar numbers.
            let bytes = change(seed, &mut Random(number.wrapping_mul(0x9E37_79B9_7F4A_7C15)));
            let mut outcome = Ok(());
            let held = most_held(|| outcome = catch_unwind(|| worker_message::decode(&bytes)));
            assert!(outcome.is_ok(), "seed {index}, round {round}: {bytes:02x?}");
            let allowed = FIXED + PER_BYTE * bytes.len();
            assert!(held <= allowed, "seed {index}, round {round}: {held} bytes for {} of input", bytes.len());
        }
    }
}

#[test]
fn the_counter_counts() {
    assert!(most_held(|| drop(Vec::<u8>::with_capacity(123_456))) >= 123_456);
}
