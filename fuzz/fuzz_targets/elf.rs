//! A library from whoever registers a package: see `src/elf.rs`.

#![no_main]

#[path = "../src/elf.rs"]
mod elf;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| elf::check(bytes));
