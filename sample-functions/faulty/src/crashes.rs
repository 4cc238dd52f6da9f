//! Deaths by signal, and ends without a word.

#![expect(unsafe_code, reason = "crashing takes what safe Rust prevents")]

use std::{hint::black_box, process, ptr};

use nix::sys::signal::{Signal, raise};

/// Writes to an address where nothing is.
///
/// Expected: `Crashed` by SIGSEGV.
///
/// ```json
/// {}
/// ```
#[bulkhead::function]
pub fn segv() {
    // Not null, for which Rust has a check that panics.
    let nowhere = ptr::without_provenance_mut::<u8>(black_box(8));
    // SAFETY: there is none; the kernel does not map the first page (`vm.mmap_min_addr`), so this faults.
    unsafe { nowhere.write_volatile(1) };
}

/// Ends the process as a failed assertion in C does.
///
/// Expected: `Crashed` by SIGABRT.
///
/// ```json
/// {}
/// ```
#[bulkhead::function]
pub fn abort() {
    process::abort();
}

/// Runs an instruction that is defined to be undefined.
///
/// Expected: `Crashed` by SIGILL.
///
/// ```json
/// {}
/// ```
#[bulkhead::function]
pub fn illegal_instruction() {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: the instruction traps and does nothing else.
    unsafe {
        std::arch::asm!("ud2");
    }
    #[cfg(target_arch = "aarch64")]
    // SAFETY: the instruction traps and does nothing else.
    unsafe {
        std::arch::asm!("udf #0");
    }
}

/// Divides by zero as the processor does it; Rust's own division would panic.
///
/// Expected: `Crashed` by SIGFPE.
///
/// ```json
/// {}
/// ```
#[bulkhead::function]
pub fn divide_by_zero() {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: the instruction faults; it would change the two registers that are named, and flags.
    unsafe {
        std::arch::asm!("div {0:e}", in(reg) 0, inout("eax") 1 => _, inout("edx") 0 => _);
    }
    // Other processors answer 0, so the signal is raised as C programs there get it.
    #[cfg(not(target_arch = "x86_64"))]
    let _ = raise(Signal::SIGFPE);
}

/// Recurses until the stack ends.
///
/// Expected: `Crashed` by SIGSEGV, or by SIGABRT where Rust's own handler sees it first.
///
/// ```json
/// {}
/// ```
#[bulkhead::function]
pub fn stack_overflow() -> u64 {
    deeper(1)
}

#[expect(unconditional_recursion, reason = "the end of the stack is what it is for")]
fn deeper(depth: u64) -> u64 {
    // Neither the frame nor the call can be optimised away.
    let frame = black_box([depth; 64]);
    deeper(black_box(depth + 1)) + frame[0]
}

/// Kills itself as the kernel's out-of-memory killer would.
///
/// Expected: `Crashed` by SIGKILL, and not `OutOfMemory`.
///
/// ```json
/// {}
/// ```
#[bulkhead::function]
pub fn raises_sigkill() {
    let _ = raise(Signal::SIGKILL);
}

/// Exits as if all were well, without a result.
///
/// Expected: `Exited` with 0, which is no success.
///
/// ```json
/// {}
/// ```
#[bulkhead::function]
pub fn exit_zero_without_result() {
    process::exit(0);
}

/// Exits with a code of its own.
///
/// Expected: `Exited` with 42.
///
/// ```json
/// {}
/// ```
#[bulkhead::function]
pub fn exit_42() {
    process::exit(42);
}
