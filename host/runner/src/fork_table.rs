//! A page that zygote, keepers and init share, in which the kernel itself notes the pid of each keeper and child before
//! it runs (`CLONE_PARENT_SETTID`), so that init can tell whose end it has just reaped
//! without a message. A zygote that lies here harms only the calls of its own function.

#![expect(unsafe_code, reason = "shared memory is reached through a raw pointer")]

use std::num::NonZero;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicI32, AtomicU32, Ordering};

use nix::sys::mman::{MapFlags, MmapAdvise, ProtFlags, madvise, mmap_anonymous};

/// One slot's line.
#[repr(C)]
#[derive(Default)]
struct Entry {
    /// The child's pid in the sandbox's own pid namespace; 0: none.
    pid: AtomicI32,
    /// The number that the host gave to this child.
    generation: AtomicU32,
    /// The pid of the slot's keeper; 0: none.
    keeper: AtomicI32,
}

/// The table; lives as long as the process.
#[derive(Clone, Copy)]
pub(crate) struct ForkTable {
    entries: &'static [Entry],
}

impl ForkTable {
    /// Maps a table that children of this process will share.
    pub(crate) fn map(slots: u32) -> nix::Result<Self> {
        let bytes = NonZero::new(slots as usize * size_of::<Entry>()).ok_or(nix::errno::Errno::EINVAL)?;
        // SAFETY: a new anonymous mapping overlaps nothing.
        let address =
            unsafe { mmap_anonymous(None, bytes, ProtFlags::PROT_READ | ProtFlags::PROT_WRITE, MapFlags::MAP_SHARED) }?;
        // SAFETY: the mapping is zeroed, page-aligned, large enough for `slots` entries, never
        // unmapped, and only ever reached through the entries' atomics.
        let entries = unsafe { std::slice::from_raw_parts(address.cast::<Entry>().as_ptr(), slots as usize) };
        Ok(Self { entries })
    }

    /// Keeps the table out of this process's children.
    pub(crate) fn hide_from_children(self) -> nix::Result<()> {
        let address = NonNull::from(self.entries).cast();
        // SAFETY: DONTFORK changes nothing for this process, and children never touch the table.
        unsafe { madvise(address, std::mem::size_of_val(self.entries), MmapAdvise::MADV_DONTFORK) }
    }

    /// Notes which child is about to be forked, and gives the place for its pid.
    pub(crate) fn announce(self, slot: u32, generation: u32) -> Option<*mut i32> {
        let entry = self.entries.get(slot as usize)?;
        entry.generation.store(generation, Ordering::Release);
        Some(entry.pid.as_ptr())
    }

    /// Gives the place for the pid of a slot's keeper.
    pub(crate) fn announce_keeper(self, slot: u32) -> Option<*mut i32> {
        Some(self.entries.get(slot as usize)?.keeper.as_ptr())
    }

    /// Takes the keeper with this pid out of the table: its slot, and the generation of the child that it leaves there.
    pub(crate) fn remove_keeper(self, pid: i32) -> Option<(u32, Option<u32>)> {
        let slot = self.entries.iter().position(|entry| entry.keeper.load(Ordering::Acquire) == pid)?;
        let entry = &self.entries[slot];
        entry.keeper.store(0, Ordering::Release);
        let has_child = entry.pid.load(Ordering::Acquire) != 0;
        Some((u32::try_from(slot).ok()?, has_child.then(|| entry.generation.load(Ordering::Acquire))))
    }

    /// The pid of a slot's child, if that is the one of this generation.
    pub(crate) fn pid(self, slot: u32, generation: u32) -> Option<i32> {
        let entry = self.entries.get(slot as usize)?;
        let pid = entry.pid.load(Ordering::Acquire);
        (pid > 0 && entry.generation.load(Ordering::Acquire) == generation).then_some(pid)
    }

    /// The slot and generation of the child with this pid.
    pub(crate) fn child(self, pid: i32) -> Option<(u32, u32)> {
        let slot = self.entries.iter().position(|entry| entry.pid.load(Ordering::Acquire) == pid)?;
        Some((u32::try_from(slot).ok()?, self.entries[slot].generation.load(Ordering::Acquire)))
    }

    /// Takes the child with this pid out of the table: its slot and generation.
    pub(crate) fn remove(self, pid: i32) -> Option<(u32, u32)> {
        let (slot, generation) = self.child(pid)?;
        self.entries[slot as usize].pid.store(0, Ordering::Release);
        Some((slot, generation))
    }
}
