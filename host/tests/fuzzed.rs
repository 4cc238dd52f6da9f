//! The fuzz targets of what the host reads from hostile hands, on a stable compiler and for a bounded time:
//! every seed of their corpora, changed in many ways. Those of messages are in `host/protocol/tests`.

use std::panic::catch_unwind;

#[path = "../../fuzz/src/elf.rs"]
mod elf;
#[path = "../../fuzz/src/mutate.rs"]
mod mutate;
#[path = "../../fuzz/src/package.rs"]
mod package;
#[path = "../../fuzz/src/slot.rs"]
mod slot;

/// Changed inputs from each seed.
const ROUNDS: u64 = 1_000;

fn try_all(target: &str, least: usize, read: fn(&[u8])) {
    mutate::each(target, least, ROUNDS, |index, round, bytes| {
        let outcome = catch_unwind(|| read(bytes));
        assert!(outcome.is_ok(), "{target}, seed {index}, round {round}: {} bytes", bytes.len());
    });
}

#[test]
fn no_bytes_make_the_reader_of_packages_panic() {
    try_all("package", 3, package::read);
}

#[test]
fn no_bytes_make_the_check_of_libraries_panic() {
    try_all("elf", 3, elf::check);
}

#[test]
fn no_bytes_make_the_reader_of_slots_panic() {
    try_all("slot", 5, slot::read);
}

#[test]
fn the_seeds_are_what_they_are_called() {
    assert!(mutate::seeds("package").iter().any(|seed| bulkhead_protocol::package::unpack(seed).is_ok()));
    assert!(mutate::seeds("elf").iter().all(|seed| seed.starts_with(b"\x7fELF")));
}
