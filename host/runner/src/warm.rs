//! What makes children cheap, done once before any is forked. Neither step changes what a child may do or sees.

#![expect(unsafe_code, reason = "mappings are changed by address")]

use std::fs;
use std::num::NonZero;
use std::ptr::NonNull;

use nix::sys::mman::{ProtFlags, mprotect};

use crate::sandbox::limits::STACK_BYTES;
use crate::step::{Step, StepError};

/// Has the page tables of code and constants copied at a fork. As a rule the kernel leaves those of unchanged files out, and
/// every child takes a page fault for each 64 KiB that it touches: half of all its faults. It copies them where a
/// mapping has a page of its own, so each gets one: its first, written with what it holds. Where that is not allowed the
/// mapping stays as it is.
///
/// # Errors
/// A mapping cannot be protected again: code that stays writable is no ground for a sandbox.
pub(crate) fn copy_page_tables() -> Result<(), StepError> {
    let Ok(maps) = fs::read_to_string("/proc/self/maps") else { return Ok(()) };
    for (start, bytes, protection) in maps.lines().filter_map(unchanged_file) {
        let (Some(address), Some(bytes)) = (NonNull::new(start as *mut u8), NonZero::new(bytes)) else { continue };
        // SAFETY: the mapping is one of this process's program and libraries, and keeps all rights that it has.
        if unsafe { mprotect(address.cast(), bytes.get(), protection | ProtFlags::PROT_WRITE) }.is_err() {
            continue;
        }
        // SAFETY: mapped and readable.
        let first = unsafe { address.read_volatile() };
        // SAFETY: writable since just now, and written with what is there.
        unsafe { address.write_volatile(first) };
        // SAFETY: as above, back to what it was.
        unsafe { mprotect(address.cast(), bytes.get(), protection) }.step("protect the runner's code again")?;
    }
    Ok(())
}

/// Start, length and protection of a private mapping of a file that cannot be written, from a line of `/proc/self/maps`,
/// proc(5).
fn unchanged_file(line: &str) -> Option<(usize, usize, ProtFlags)> {
    let mut fields = line.split_ascii_whitespace();
    let (start, end) = fields.next()?.split_once('-')?;
    let (start, end) = (usize::from_str_radix(start, 16).ok()?, usize::from_str_radix(end, 16).ok()?);
    let protection = match fields.next()? {
        "r--p" => ProtFlags::PROT_READ,
        "r-xp" => ProtFlags::PROT_READ | ProtFlags::PROT_EXEC,
        _ => return None,
    };
    // Offset and device; then the inode, 0 of what is no file.
    let is_file = fields.nth(2)? != "0";
    is_file.then_some((start, end.checked_sub(start)?, protection))
}

/// Starts and ends a thread like the one of a call, so that children find resolved what that needs of the C library, and a
/// stack and a heap that were made already. Afterwards this process has one thread again.
pub(crate) fn start_a_thread() {
    let builder = std::thread::Builder::new().name("function".to_owned()).stack_size(STACK_BYTES as usize);
    // Were it to fail, a child's own thread would, and says so.
    if let Ok(thread) = builder.spawn(|| drop(std::hint::black_box(vec![0u8; 64]))) {
        let _ = thread.join();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_unchanged_files_are_taken() {
        let text = "55e65ffde000-55e660084000 r-xp 00042000 fe:00 10043492                   /a runner";
        let protection = ProtFlags::PROT_READ | ProtFlags::PROT_EXEC;
        assert_eq!(unchanged_file(text), Some((0x55e6_5ffd_e000, 0xa_6000, protection)));
        for other in [
            "55e660096000-55e660097000 rw-p 000f8000 fe:00 10043492                   /runner",
            "7fcc57bd0000-7fcc57bd2000 r-xp 00000000 00:00 0                          [vdso]",
            "7fcc4f8e1000-7fcc57912000 rw-s 00000000 00:01 295901                     /memfd:bulkhead-slot (deleted)",
            "ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0                  [vsyscall]",
            "nonsense",
            "",
        ] {
            assert_eq!(unchanged_file(other), None, "{other}");
        }
    }

    #[test]
    fn all_goes_on_afterwards() {
        assert!(copy_page_tables().is_ok());
        start_a_thread();
        let maps = fs::read_to_string("/proc/self/maps").unwrap();
        assert!(!maps.lines().any(|line| line.contains(" rwxp ")), "{maps}");
    }
}
