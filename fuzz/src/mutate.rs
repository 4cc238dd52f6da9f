//! Bounded fuzzing on a stable compiler, for the ordinary tests: every seed of a target's corpus, changed in
//! many ways. The same numbers give the same inputs, so a failure names its seed and round.

use std::path::Path;

/// Changes each seed of a target `rounds` times, and gives `look` the seed's place, the round (0: unchanged)
/// and the bytes. `BULKHEAD_TEST_FUZZ_START` starts with other numbers.
///
/// # Panics
/// When the target has fewer seeds than `least`.
pub(crate) fn each(target: &str, least: usize, rounds: u64, mut look: impl FnMut(usize, u64, &[u8])) {
    let start = std::env::var("BULKHEAD_TEST_FUZZ_START").ok().and_then(|text| text.parse().ok()).unwrap_or(0u64);
    println!("{target}: {rounds} changes of each seed, from BULKHEAD_TEST_FUZZ_START={start}");
    let seeds = seeds(target);
    assert!(seeds.len() >= least, "{} seeds of {target}", seeds.len());
    for (index, seed) in seeds.iter().enumerate() {
        look(index, 0, seed);
        for round in 1..=rounds {
            let number = (index as u64) << 32 | start.wrapping_add(round);
            // Spread, as neighbouring states give similar numbers.
            look(index, round, &change(seed, &mut Random(number.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)));
        }
    }
}

/// The seeds of a target, by name. Others may lie beside them that a run of cargo-fuzz has found.
pub(crate) fn seeds(target: &str) -> Vec<Vec<u8>> {
    let mut folders =
        Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().map(|folder| folder.join("fuzz/corpus").join(target));
    let folder = folders.find(|folder| folder.is_dir()).expect("the corpus is there");
    let files = std::fs::read_dir(folder).expect("a folder");
    let mut files: Vec<_> = files.map(|file| file.expect("a file").path()).collect();
    files.retain(|file| file.file_name().is_some_and(|name| name.to_string_lossy().starts_with("seed-")));
    files.sort();
    files.iter().map(|file| std::fs::read(file).expect("a seed")).collect()
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
        match random.below(8) {
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
            // A number of fixed size, as offsets and counts in headers are.
            6 => {
                let number = (random.next() >> random.below(64)).to_le_bytes();
                let width = 1 << random.below(4);
                bytes.iter_mut().skip(at).zip(&number[..width]).for_each(|(byte, new)| *byte = *new);
            }
            _ => drop(bytes.splice(at..at, (0..random.below(40)).map(|_| random.next() as u8)).count()),
        }
    }
    bytes
}
