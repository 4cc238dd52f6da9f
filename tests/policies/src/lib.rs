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

/// Counts the calls of its warm process, and leaves something behind: a thread that sleeps, or a timer whose
/// handler never returns.
#[bulkhead::function(isolation = "reuse")]
pub fn warm_count(leave: String) -> u64 {
    use std::sync::atomic::{AtomicU64, Ordering};
    static CALLS: AtomicU64 = AtomicU64::new(0);
    match leave.as_str() {
        "thread" => drop(std::thread::spawn(|| {
            loop {
                std::thread::park();
            }
        })),
        "joined thread" => drop(std::thread::spawn(|| ()).join()),
        "timer" => spin_later(),
        _ => {}
    }
    CALLS.fetch_add(1, Ordering::Relaxed) + 1
}

/// Has the process's first thread spin for ever, a moment from now.
#[expect(unsafe_code, reason = "handlers of signals and timers are C's")]
fn spin_later() {
    extern "C" fn spin(_: libc::c_int) {
        loop {
            std::hint::spin_loop();
        }
    }
    let handler = spin as extern "C" fn(libc::c_int);
    // SAFETY: the handler touches nothing.
    unsafe { libc::signal(libc::SIGALRM, handler as libc::sighandler_t) };
    let soon = libc::timeval { tv_sec: 0, tv_usec: 1000 };
    let timer = libc::itimerval { it_interval: libc::timeval { tv_sec: 0, tv_usec: 0 }, it_value: soon };
    // SAFETY: the value lives through the call, and nobody asks for the one before.
    unsafe { libc::setitimer(libc::ITIMER_REAL, &raw const timer, std::ptr::null_mut()) };
}
