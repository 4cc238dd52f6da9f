//! A slot that a hostile child has written to: see `src/slot.rs`.

#![no_main]

#[path = "../src/slot.rs"]
mod slot;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| slot::read(bytes));
