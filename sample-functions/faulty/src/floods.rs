//! Functions that take, or give, without end. Those that take memory are in `memory`.

use std::{
    env, fs,
    io::{self, Write},
    os::{
        fd::{AsFd as _, OwnedFd},
        unix::fs::FileExt as _,
    },
    sync::mpsc,
    thread,
};

use crate::Grabbed;

/// A mebibyte.
const MIB: usize = 1 << 20;

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

/// Writes a single byte far beyond the room of the folder for temporary files.
///
/// Expected: `LimitExceeded` for the size of a file.
///
/// ```json
/// {}
/// ```
#[bulkhead::function]
pub fn file_too_large() -> io::Result<()> {
    let file = fs::File::create(env::temp_dir().join("large"))?;
    file.write_all_at(b"!", 1 << 40)
}

/// Makes `files` empty files (1000000 unless given).
///
/// Expected: errno inside (ENOSPC), with a count below the limit of files.
///
/// ```json
/// {"files": 100}
/// ```
#[bulkhead::function]
pub fn inode_bomb(files: Option<usize>) -> Grabbed {
    let folder = env::temp_dir();
    for count in 0..files.unwrap_or(1_000_000) {
        if let Err(error) = fs::File::create(folder.join(count.to_string())) {
            return Grabbed { count, errno: error.raw_os_error() };
        }
    }
    Grabbed { count: files.unwrap_or(1_000_000), errno: None }
}

/// Opens `pipes` pipes (100000 unless given) and fills each.
///
/// Expected: errno inside (EMFILE), with a count below half the limit of open files.
///
/// ```json
/// {"pipes": 10}
/// ```
#[bulkhead::function]
pub fn pipe_bomb(pipes: Option<usize>) -> Grabbed {
    let mut held = Vec::new();
    for _ in 0..pipes.unwrap_or(100_000) {
        match nix::unistd::pipe2(nix::fcntl::OFlag::O_NONBLOCK) {
            Ok((read, write)) => {
                while nix::unistd::write(&write, &[1; 4096]).is_ok() {}
                held.push((read, write));
            }
            Err(errno) => return Grabbed { count: held.len(), errno: Some(errno as i32) },
        }
    }
    Grabbed { count: held.len(), errno: None }
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

/// Forks a child that forks again, so that the grandchild is nobody's.
///
/// Expected: errno inside (EPERM) at the first of the two. No process outlives the call.
///
/// ```json
/// {}
/// ```
#[bulkhead::function]
#[expect(unsafe_code, reason = "fork is unsafe")]
pub fn double_fork() -> Grabbed {
    // SAFETY: the children call nothing but fork, sleep and _exit, which are safe after a fork (signal-safety(7)).
    match unsafe { nix::unistd::fork() } {
        Ok(nix::unistd::ForkResult::Child) => {
            // SAFETY: as above.
            if let Ok(nix::unistd::ForkResult::Child) = unsafe { nix::unistd::fork() } {
                nix::unistd::sleep(60);
            }
            exit_now();
        }
        Ok(nix::unistd::ForkResult::Parent { .. }) => Grabbed { count: 1, errno: None },
        Err(errno) => Grabbed { count: 0, errno: Some(errno as i32) },
    }
}
