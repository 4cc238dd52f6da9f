//! Functions that take, or give, without end.

use std::{
    hint::black_box,
    io::{self, Write},
    os::fd::{AsFd as _, OwnedFd},
    sync::mpsc,
    thread,
};

use crate::Grabbed;

/// A mebibyte.
const MIB: usize = 1 << 20;

/// Takes memory and writes to every page of it, `mebibytes` altogether (65536 unless given).
///
/// Expected: `OutOfMemory`, or the count when the limit is above it.
///
/// ```json
/// {"mebibytes": 4096}
/// ```
#[bulkhead::function]
pub fn anonymous_bomb(mebibytes: Option<usize>) -> usize {
    let mut held = Vec::new();
    for _ in 0..mebibytes.unwrap_or(65536) {
        // Ones, for zeroes would come from the kernel untouched.
        held.push(black_box(vec![1u8; MIB]));
    }
    held.len()
}

/// Starts `threads` threads (10000 unless given) that stay until all are there.
///
/// Expected: errno inside (EAGAIN), with a count below the limit of threads.
///
/// ```json
/// {"threads": 1000}
/// ```
#[bulkhead::function]
pub fn thread_bomb(threads: Option<usize>) -> Grabbed {
    let mut held = Vec::new();
    let mut errno = None;
    for _ in 0..threads.unwrap_or(10_000) {
        let (release, wait) = mpsc::channel::<()>();
        let started = thread::Builder::new()
            // Small stacks, so that it is the number of threads that runs out.
            .stack_size(16 * 1024)
            .spawn(move || wait.recv());
        match started {
            Ok(thread) => held.push((release, thread)),
            Err(error) => {
                errno = error.raw_os_error();
                break;
            }
        }
    }
    let count = held.len();
    for (release, thread) in held {
        drop(release);
        let _ = thread.join();
    }
    Grabbed { count, errno }
}

/// Opens `files` descriptors (100000 unless given).
///
/// Expected: errno inside (EMFILE), with a count below the limit of open files.
///
/// ```json
/// {"files": 1000}
/// ```
#[bulkhead::function]
pub fn fd_bomb(files: Option<usize>) -> Grabbed {
    let mut held: Vec<OwnedFd> = Vec::new();
    let mut errno = None;
    for _ in 0..files.unwrap_or(100_000) {
        match io::stderr().as_fd().try_clone_to_owned() {
            Ok(descriptor) => held.push(descriptor),
            Err(error) => {
                errno = error.raw_os_error();
                break;
            }
        }
    }
    Grabbed { count: held.len(), errno }
}

/// Writes `bytes` to stdout (64 MiB unless given).
///
/// Expected: success, with a log that is cut at its limit and marked as cut.
///
/// ```json
/// {"bytes": 1000000}
/// ```
#[bulkhead::function]
pub fn stdout_flood(bytes: Option<usize>) -> io::Result<usize> {
    flood(io::stdout().lock(), bytes)
}

/// Writes `bytes` to stderr (64 MiB unless given).
///
/// Expected: success, with a log that is cut at its limit and marked as cut.
///
/// ```json
/// {"bytes": 1000000}
/// ```
#[bulkhead::function]
pub fn stderr_flood(bytes: Option<usize>) -> io::Result<usize> {
    flood(io::stderr().lock(), bytes)
}

fn flood(mut sink: impl Write, bytes: Option<usize>) -> io::Result<usize> {
    const LINE: &[u8; 64] = b"the flood is rising, and it rises, and it rises, and it rises...\n"
        .first_chunk()
        .expect("the line is longer than that");
    let mut left = bytes.unwrap_or(64 * MIB);
    let total = left;
    while left > 0 {
        let length = left.min(LINE.len());
        sink.write_all(&LINE[..length])?;
        left -= length;
    }
    sink.flush()?;
    Ok(total)
}

/// Returns a text of `bytes` (128 MiB unless given).
///
/// Expected: `LimitExceeded` for the result when it is longer than its limit, and success otherwise.
///
/// ```json
/// {"bytes": 100}
/// ```
#[bulkhead::function(memory = "1GiB")]
pub fn huge_result(bytes: Option<usize>) -> String {
    "x".repeat(bytes.unwrap_or(128 * MIB))
}

/// Forks up to `processes` times (64 unless given); the children sleep for a minute.
///
/// Expected: errno inside (EAGAIN or EPERM) after a count of 0, or `PolicyViolation`. No child outlives the call.
///
/// ```json
/// {"processes": 64}
/// ```
#[bulkhead::function]
#[expect(unsafe_code, reason = "fork is unsafe")]
pub fn fork_bomb(processes: Option<usize>) -> Grabbed {
    let mut count = 0;
    for _ in 0..processes.unwrap_or(64) {
        // SAFETY: the child calls nothing but sleep and _exit, which are safe after a fork (signal-safety(7)).
        match unsafe { nix::unistd::fork() } {
            Ok(nix::unistd::ForkResult::Child) => {
                nix::unistd::sleep(60);
                exit_now();
            }
            Ok(nix::unistd::ForkResult::Parent { .. }) => count += 1,
            Err(errno) => {
                return Grabbed { count, errno: Some(errno as i32) };
            }
        }
    }
    Grabbed { count, errno: None }
}

#[expect(unsafe_code, reason = "nix has no _exit")]
fn exit_now() -> ! {
    // SAFETY: always allowed.
    unsafe { nix::libc::_exit(0) }
}
