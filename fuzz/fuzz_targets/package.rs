//! Bytes from whoever registers a package: see `src/package.rs`.

#![no_main]

#[path = "../src/package.rs"]
mod package;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| package::read(bytes));
