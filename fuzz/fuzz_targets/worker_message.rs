//! Bytes from a hostile worker or dispatcher: see `src/worker_message.rs`.

#![no_main]

#[path = "../src/worker_message.rs"]
mod worker_message;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| worker_message::decode(bytes));
