//! Functions that make whatever system call they are told to, for the tests of what each policy allows.
//! **Never run them outside a sandbox.**

/// Makes a system call by its number: its result, or its error number below zero.
#[expect(unsafe_code, reason = "system calls by number are what is tested")]
fn make(number: i64, arguments: [i64; 6]) -> i64 {
    let [a, b, c, d, e, f] = arguments;
    // SAFETY: whatever becomes of this process, it is in a sandbox of its own.
    let result = unsafe { libc::syscall(number, a, b, c, d, e, f) };
    if result == -1 { -i64::from(std::io::Error::last_os_error().raw_os_error().unwrap_or(0)) } else { result }
}

/// Makes a system call under the policy of a function that asks for nothing.
#[bulkhead::function]
pub fn plain(number: i64, arguments: [i64; 6]) -> i64 {
    make(number, arguments)
}

/// Makes a system call on another thread than the function's own.
#[bulkhead::function]
pub fn on_a_thread(number: i64, arguments: [i64; 6]) -> i64 {
    std::thread::spawn(move || make(number, arguments)).join().unwrap_or(0)
}

/// Makes a refused system call on many threads at once, over and over.
#[bulkhead::function]
pub fn floods_with_refused_calls(number: i64, threads: usize) -> i64 {
    let begin = move || std::thread::spawn(move || while make(number, [0; 6]) < 0 {});
    let threads: Vec<_> = (0..threads).map(|_| begin()).collect();
    threads.into_iter().map(|thread| i64::from(thread.join().is_ok())).sum()
}

/// Makes a system call in a warm process.
#[bulkhead::function(isolation = "reuse")]
pub fn warm(number: i64, arguments: [i64; 6]) -> i64 {
    make(number, arguments)
}

/// Makes a system call by the way of 32-bit programs.
#[cfg(target_arch = "x86_64")]
#[bulkhead::function]
#[expect(unsafe_code, reason = "there is no other way to an old interrupt")]
pub fn int80(number: i32) -> i32 {
    let result: i32;
    // SAFETY: the interrupt changes eax alone, and whatever else becomes of this process, it is in a
    // sandbox of its own.
    unsafe { core::arch::asm!("int 0x80", inlateout("eax") number => result, options(nostack)) };
    result
}
