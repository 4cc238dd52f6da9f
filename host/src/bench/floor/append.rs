//! The floor under the embedded store: records of the size of a task's, appended to a file in the groups
//! that 64 waiting writers make, each group followed by one fdatasync.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::AsFd as _;
use std::path::Path;
use std::time::{Duration, Instant};

/// Bytes of a record: about a small task with its result.
const RECORD_BYTES: usize = 300;
/// Writers that wait for the disk together.
const WRITERS: usize = 64;

/// Appends for a while to a new file in a folder; gives the records per second that were on disk.
pub(crate) fn per_second(folder: &Path, during: Duration) -> io::Result<f64> {
    let mut file: File = tempfile::tempfile_in(folder)?;
    // Not all the same, for file systems that compress.
    let group: Vec<u8> = (0..RECORD_BYTES * WRITERS).map(|place| (place * 31 % 251) as u8).collect();
    let began = Instant::now();
    let mut records = 0;
    while began.elapsed() < during {
        file.write_all(&group)?;
        nix::unistd::fdatasync(file.as_fd())?;
        records += WRITERS;
    }
    Ok(records as f64 / began.elapsed().as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_written_in_whole_groups() {
        let folder = tempfile::tempdir().unwrap();
        assert!(per_second(folder.path(), Duration::from_millis(5)).unwrap() > 0.0);
        assert!(std::fs::read_dir(folder.path()).unwrap().next().is_none(), "the file is gone with its owner");
        assert!(per_second(Path::new("/nowhere"), Duration::ZERO).is_err());
    }
}
