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
    let _bomb = Bomb;
    panic!("the first panic");
}

/// Panics where nobody can catch it: in what a thread clears away at its end.
///
/// Expected: `Crashed` by SIGABRT, for Rust ends the process then.
///
/// ```json
/// {}
/// ```
#[bulkhead::function]
pub fn panic_in_drop() {
    thread_local! {
        static BOMB: Bomb = const { Bomb };
    }
    let thread = std::thread::spawn(|| BOMB.with(|_| ()));
    let _ = thread.join();
}

/// Panics with a value that panics again when it is dropped.
///
/// Expected: `Panicked` with a message that says that it was no text.
///
/// ```json
/// {}
/// ```
#[bulkhead::function]
pub fn panic_with_a_bomb() {
    std::panic::panic_any(Bomb);
}

/// Panics when it is dropped.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("a panic at the end");
    }
}
