//! Functions that never end.

#![expect(unsafe_code, reason = "handlers, timers and futexes have no safe wrappers")]

use std::{
    hint,
    sync::{Mutex, atomic::AtomicU32},
    thread,
    time::Duration,
};

use nix::{
    libc,
    sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, raise, sigaction},
};

/// Spins.
///
/// Expected: `TimedOut`, after the wall time or the processor time, whichever is shorter.
///
/// ```json
/// {}
/// ```
#[bulkhead::function]
pub fn spins() {
    loop {
        hint::spin_loop();
    }
}

/// Blocks every signal that can be blocked, and spins.
///
/// Expected: `TimedOut`, for SIGKILL cannot be blocked.
///
/// ```json
/// {}
/// ```
#[bulkhead::function]
pub fn spins_blocking_all_signals() {
    let _ = SigSet::all().thread_block();
    loop {
        hint::spin_loop();
    }
}

/// Sleeps and never wakes up.
///
/// Expected: `TimedOut` after the wall time.
///
/// ```json
/// {}
/// ```
#[bulkhead::function]
pub fn sleeps_forever() {
    loop {
        thread::sleep(Duration::from_secs(3600));
    }
}

/// Waits on a futex that nobody wakes, in the kernel and without a time limit.
///
/// Expected: `TimedOut` after the wall time.
///
/// ```json
/// {}
/// ```
#[bulkhead::function]
pub fn futex_forever() {
    let word = AtomicU32::new(0);
    loop {
        let forever = std::ptr::null::<libc::timespec>();
        // SAFETY: the word lives through the call, which reads it and nothing else.
        unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), libc::FUTEX_WAIT, 0, forever) };
    }
}

/// Waits for a lock that it holds itself.
///
/// Expected: `TimedOut` after the wall time.
///
/// ```json
/// {}
/// ```
#[bulkhead::function]
pub fn deadlocks() {
    static LOCK: Mutex<()> = Mutex::new(());
    let _first = LOCK.lock();
    // In a thread, for the standard library may notice within one.
    let second = thread::spawn(|| drop(LOCK.lock()));
    let _ = second.join();
}

/// Stops itself, as Ctrl-Z on a terminal does.
///
/// Expected: `TimedOut` after the wall time, for a stopped process can be killed.
///
/// ```json
/// {}
/// ```
#[bulkhead::function]
pub fn stops_itself() {
    loop {
        let _ = raise(Signal::SIGSTOP);
    }
}

extern "C" fn ignore(_signal: libc::c_int) {}

fn handle(signal: Signal) {
    let action = SigAction::new(SigHandler::Handler(ignore), SaFlags::SA_RESTART, SigSet::empty());
    // SAFETY: the handler does nothing, which is safe at any point.
    let _ = unsafe { sigaction(signal, &action) };
}

/// Has timers interrupt it as often as the kernel will, with as many as it may have.
///
/// Expected: `TimedOut` after the wall time.
///
/// ```json
/// {}
/// ```
#[bulkhead::function]
pub fn timer_signal_storm() {
    for signal in [Signal::SIGALRM, Signal::SIGVTALRM, Signal::SIGPROF] {
        handle(signal);
    }
    let microsecond = libc::timeval { tv_sec: 0, tv_usec: 1 };
    let interval = libc::itimerval { it_interval: microsecond, it_value: microsecond };
    for timer in [libc::ITIMER_REAL, libc::ITIMER_VIRTUAL, libc::ITIMER_PROF] {
        // SAFETY: the structure lives through the call; the old value is not asked for.
        unsafe { libc::syscall(libc::SYS_setitimer, timer, &raw const interval, 0) };
    }
    let nanosecond = libc::timespec { tv_sec: 0, tv_nsec: 1 };
    let interval = libc::itimerspec { it_interval: nanosecond, it_value: nanosecond };
    loop {
        let mut timer: i32 = 0;
        // SAFETY: without an event the timer sends SIGALRM; its number is written to `timer`.
        let made = unsafe { libc::syscall(libc::SYS_timer_create, libc::CLOCK_MONOTONIC, 0, &raw mut timer) };
        if made == 0 {
            // SAFETY: the structure lives through the call; the old value is not asked for.
            unsafe { libc::syscall(libc::SYS_timer_settime, timer, 0, &raw const interval, 0) };
        } else {
            hint::spin_loop();
        }
    }
}

/// Takes no notice of the signal that says that its processor time is used up.
///
/// Expected: `TimedOut` when the wall time ends before the kernel's second and last word, a second later.
///
/// ```json
/// {}
/// ```
#[bulkhead::function(cpu = "1s")]
pub fn ignores_sigxcpu() {
    handle(Signal::SIGXCPU);
    loop {
        hint::spin_loop();
    }
}

/// Uses more processor time than it may.
///
/// Expected: `LimitExceeded` for the processor time.
///
/// ```json
/// {}
/// ```
#[bulkhead::function(cpu = "1s")]
pub fn too_much_cpu() {
    loop {
        hint::spin_loop();
    }
}
