//! Panics, which the SDK catches, and one that nobody can.

/// Panics.
///
/// Expected: `Panicked` with the message `a deliberate panic` and a location in this file.
///
/// ```json
/// {}
/// ```
#[bulkhead::function]
pub fn panics() -> u8 {
    panic!("a deliberate panic")
}

/// Panics in a thread, and in the one that joins it.
///
/// Expected: `Panicked` with the message and location of the thread that joined.
///
/// ```json
/// {}
/// ```
#[bulkhead::function]
pub fn panics_in_thread_joined() {
    let thread = std::thread::spawn(|| panic!("a panic elsewhere"));
    thread.join().expect("the thread went well");
}

/// Panics with a value that is no text.
///
/// Expected: `Panicked` with a message that says so.
///
/// ```json
/// {}
/// ```
#[bulkhead::function]
pub fn panic_with_non_string() {
    std::panic::panic_any(42);
}

/// Panics while a panic unwinds.
///
/// Expected: `Crashed` by SIGABRT, for Rust ends the process then.
///
/// ```json
/// {}
/// ```
#[bulkhead::function]
pub fn double_panic() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("the second panic");
        }
    }
    let _bomb = Bomb;
    panic!("the first panic");
}
