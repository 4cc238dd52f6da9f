//! What the reader of slots must stand: a child that wrote any bytes into the memory it shares with the host.

use bulkhead::executor::read_hostile_slot;

/// Reads a slot that holds `bytes`: its header first, then its output.
///
/// # Panics
/// When what is read has no bound.
pub(crate) fn read(bytes: &[u8]) {
    read_hostile_slot(bytes);
}
