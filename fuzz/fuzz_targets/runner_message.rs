//! Bytes from a hostile zygote, or to it: see `src/runner_message.rs`.

#![no_main]

#[path = "../src/runner_message.rs"]
mod runner_message;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| runner_message::decode(bytes));
