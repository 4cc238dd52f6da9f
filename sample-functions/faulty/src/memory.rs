//! Functions that take memory without end, in all ways that there are.

#![expect(unsafe_code, reason = "mappings have no safe wrappers")]

use std::{
    alloc::{Layout, handle_alloc_error},
    env,
    ffi::CStr,
    fs::File,
    hint::black_box,
    io::{self, Write as _},
    os::fd::{AsFd as _, AsRawFd as _, FromRawFd as _, OwnedFd},
    ptr,
};

use nix::{errno::Errno, libc};

use crate::Grabbed;

/// A mebibyte.
const MIB: usize = 1 << 20;
/// The size of a page of memory.
const PAGE: usize = 4096;

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

/// Takes memory that is no heap: of a memfd where one can be made, shared and of nobody otherwise.
///
/// Expected: `OutOfMemory`.
///
/// ```json
/// {}
/// ```
#[bulkhead::function]
pub fn memfd_bomb() -> usize {
    for count in 0..65536 {
        let block = match memfd(c"bomb") {
            Ok(file) => map(MIB, libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED, Some(&file)),
            Err(_) => map(MIB, libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED | libc::MAP_ANONYMOUS, None),
        };
        match block {
            // SAFETY: the mapping was just made with this length.
            Ok(block) => unsafe { ptr::write_bytes(block, 1, MIB) },
            Err(_) => out_of_memory(count * MIB),
        }
    }
    0
}

/// Fills the folder for temporary files, which is memory too, and more of it than this function may have.
///
/// Expected: `OutOfMemory` where a control group counts what is in files; errno inside (ENOSPC) elsewhere, after as
/// many mebibytes as the folder holds.
///
/// ```json
/// {}
/// ```
#[bulkhead::function(memory = "32MiB")]
pub fn tmpfs_bomb() -> io::Result<Grabbed> {
    let block = vec![1; MIB];
    for count in 0..65536 {
        // A file each, for the size of one is a limit of its own.
        let mut file = File::create(env::temp_dir().join(count.to_string()))?;
        if let Err(error) = file.write_all(&block) {
            return Ok(Grabbed { count, errno: error.raw_os_error() });
        }
    }
    Ok(Grabbed { count: 65536, errno: None })
}

/// Reads a byte here and there in a mapping without end: no page is its own, only the tables that find them.
///
/// Expected: `OutOfMemory`.
///
/// ```json
/// {}
/// ```
#[bulkhead::function(memory = "64MiB")]
pub fn sparse_page_tables() -> u8 {
    /// What one page of tables covers.
    const STEP: usize = 512 * PAGE;
    const BLOCK: usize = 1 << 30;
    for count in 0..65536 {
        let Ok(block) = map(BLOCK, libc::PROT_READ, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, None) else {
            out_of_memory(count * BLOCK);
        };
        for offset in (0..BLOCK).step_by(STEP) {
            // SAFETY: inside the mapping.
            let place = unsafe { block.add(offset) };
            // SAFETY: mapped to be read.
            black_box(unsafe { place.read_volatile() });
        }
    }
    0
}

/// Makes mappings of one page each until the kernel gives no more.
///
/// Expected: `OutOfMemory`, as the failed allocation that it is.
///
/// ```json
/// {}
/// ```
#[bulkhead::function]
pub fn many_small_mappings() -> usize {
    for count in 0..1 << 20 {
        // Neighbours with other rights do not become one mapping.
        let protection = if count % 2 == 0 { libc::PROT_READ } else { libc::PROT_NONE };
        if map(PAGE, protection, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, None).is_err() {
            out_of_memory(count * PAGE);
        }
    }
    0
}

/// Ends as an allocation of so much ends that fails.
fn out_of_memory(bytes: usize) -> ! {
    handle_alloc_error(Layout::from_size_align(bytes.max(1), 1).unwrap_or(Layout::new::<u8>()))
}

fn map(length: usize, protection: i32, flags: i32, file: Option<&OwnedFd>) -> nix::Result<*mut u8> {
    let file = file.map_or(-1, |file| file.as_fd().as_raw_fd());
    // SAFETY: a new mapping overlaps nothing.
    let address = unsafe { libc::mmap(ptr::null_mut(), length, protection, flags | libc::MAP_NORESERVE, file, 0) };
    if address == libc::MAP_FAILED { Err(Errno::last()) } else { Ok(address.cast()) }
}

fn memfd(name: &CStr) -> nix::Result<OwnedFd> {
    // SAFETY: the name is NUL-terminated and lives through the call.
    let fd = Errno::result(unsafe { libc::memfd_create(name.as_ptr(), 0) })?;
    // SAFETY: the kernel has just made this descriptor for us.
    let file = unsafe { OwnedFd::from_raw_fd(fd) };
    nix::unistd::ftruncate(&file, MIB as i64)?;
    Ok(file)
}
