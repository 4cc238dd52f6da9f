//! Sorts numbers through files in `/tmp`, as data that exceeds memory is sorted.

use std::{
    cmp::Reverse,
    collections::BinaryHeap,
    env,
    fs::{self, File},
    io::{self, BufRead as _, BufReader, BufWriter, Write as _},
    path::{Path, PathBuf},
    process,
    sync::atomic::{AtomicU64, Ordering},
};

use bulkhead::Error;
use schemars::JsonSchema;
use serde::Serialize;

/// How many numbers are sorted in memory at a time, unless the caller says otherwise.
const DEFAULT_RUN_LENGTH: usize = 1000;

/// The most files that are open at once: below the limit of open files that functions have by default.
const MAX_RUNS: usize = 32;

/// Sorted numbers, and what it took.
#[derive(Serialize, JsonSchema)]
pub struct Sorted {
    /// In ascending order.
    numbers: Vec<i64>,
    /// How many files they went through.
    runs: usize,
    /// How many bytes those had together.
    bytes_written: u64,
}

/// Sorts `numbers` by an external merge sort that holds `run_length` of them in memory (1000 unless given).
///
/// ```json
/// {"numbers": [5, 3, 9, 1], "run_length": 2}
/// ```
///
/// # Errors
///
/// `bad_run_length` when it is zero or makes more than 32 files; any failure of the disk.
#[bulkhead::function(tmp = "64MiB")]
pub fn external_sort(numbers: Vec<i64>, run_length: Option<usize>) -> Result<Sorted, Error> {
    let run_length = run_length.unwrap_or(DEFAULT_RUN_LENGTH.max(numbers.len().div_ceil(MAX_RUNS)));
    if run_length == 0 || numbers.len().div_ceil(run_length) > MAX_RUNS {
        let message = format!("expected at most {MAX_RUNS} runs of at least one number");
        return Err(Error::new(message).with_code("bad_run_length"));
    }
    let folder = Scratch::new()?;
    let mut runs = Vec::new();
    let mut bytes_written = 0;
    for chunk in numbers.chunks(run_length) {
        let path = folder.0.join(runs.len().to_string());
        bytes_written += write_run(&path, chunk)?;
        runs.push(path);
    }
    Ok(Sorted { numbers: merge(&runs)?, runs: runs.len(), bytes_written })
}

/// Sorts `chunk` into a file of a number per line and returns the file's length.
fn write_run(path: &Path, chunk: &[i64]) -> io::Result<u64> {
    let mut chunk = chunk.to_vec();
    chunk.sort_unstable();
    let mut file = BufWriter::new(File::create(path)?);
    for number in chunk {
        writeln!(file, "{number}")?;
    }
    file.into_inner()?.metadata().map(|metadata| metadata.len())
}

/// Reads all files side by side, always taking the least of their next numbers.
fn merge(paths: &[PathBuf]) -> Result<Vec<i64>, Error> {
    let mut lines = Vec::new();
    for path in paths {
        lines.push(BufReader::new(File::open(path)?).lines());
    }
    let mut heads = BinaryHeap::new();
    for (index, lines) in lines.iter_mut().enumerate() {
        if let Some(line) = lines.next() {
            heads.push(Reverse((line?.parse::<i64>()?, index)));
        }
    }
    let mut merged = Vec::new();
    while let Some(Reverse((number, index))) = heads.pop() {
        merged.push(number);
        if let Some(line) = lines[index].next() {
            heads.push(Reverse((line?.parse()?, index)));
        }
    }
    Ok(merged)
}

/// A folder of this call's own, gone when the call is over.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> io::Result<Self> {
        // Tests run several calls in one process.
        static CALLS: AtomicU64 = AtomicU64::new(0);
        let call = CALLS.fetch_add(1, Ordering::Relaxed);
        let path = env::temp_dir().join(format!("external-sort-{}-{call}", process::id()));
        fs::create_dir(&path)?;
        Ok(Self(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What cannot be removed goes with the sandbox.
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use bulkhead::{json, testing::Call};
    use serde_json::Value;

    #[test]
    fn it_sorts_through_files() {
        let numbers: Vec<i64> = (0..500).map(|n| (n * 7919) % 1009 - 500).collect();
        let mut expected = numbers.clone();
        expected.sort_unstable();
        let args = json!({"numbers": numbers, "run_length": 64});
        let sorted = Call::new("external_sort").args(args).run().expect_ok::<Value>();
        assert_eq!(sorted["numbers"], json!(expected));
        assert_eq!(sorted["runs"], 8);
    }

    #[test]
    fn it_refuses_too_many_files() {
        let args = json!({"numbers": vec![1; 33], "run_length": 1});
        let outcome = Call::new("external_sort").args(args).run();
        assert_eq!(outcome.expect_error_code(), "bad_run_length");
        let outcome = Call::new("external_sort").args(json!({"numbers": []})).run();
        assert_eq!(outcome.expect_ok::<Value>()["runs"], 0);
    }
}
