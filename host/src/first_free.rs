//! Places that several processes of a machine share by number: each takes the first that nobody has
//! locked, and holds it by its lock until it ends, however it ends.

use std::fs::{File, TryLockError};
use std::io;
use std::path::PathBuf;

/// A lock file that cannot be used, and what the system said.
pub(crate) type Unusable = (PathBuf, io::Error);

/// Locks the first lock file of `numbers` that nobody holds; none when all are held.
///
/// # Errors
/// [`Unusable`].
pub(crate) fn take(
    numbers: impl IntoIterator<Item = usize>,
    lock_file: impl Fn(usize) -> PathBuf,
) -> Result<Option<(usize, File)>, Unusable> {
    for number in numbers {
        let path = lock_file(number);
        let file = match File::options().create(true).truncate(false).write(true).open(&path) {
            Ok(file) => file,
            Err(source) => return Err((path, source)),
        };
        match file.try_lock() {
            Ok(()) => return Ok(Some((number, file))),
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(source)) => return Err((path, source)),
        }
    }
    Ok(None)
}
