//! Work of known size, in both ways to keep calls apart: what the evaluation loads a cluster with.

use std::{fs, io, path::Path, process, thread, time::Duration};

use bulkhead::Error;

/// The most rounds of one call: about half a minute of one core.
const MAX_ROUNDS: u64 = 20_000_000_000;

/// The most kibibytes that one call writes.
const MAX_KIBIBYTES: u32 = 32 * 1024;

/// Keeps one core busy for `rounds` steps of a generator, in a process of its own; gives its last state.
///
/// ```json
/// {"rounds": 1000000}
/// ```
///
/// # Errors
///
/// `too_many_rounds` beyond 20,000,000,000.
#[bulkhead::function]
pub fn compute(rounds: u64) -> Result<u64, Error> {
    spin(rounds)
}

/// The same, in a warm process.
///
/// ```json
/// {"rounds": 1000000}
/// ```
///
/// # Errors
///
/// `too_many_rounds` beyond 20,000,000,000.
#[bulkhead::function(isolation = "reuse")]
pub fn compute_reuse(rounds: u64) -> Result<u64, Error> {
    spin(rounds)
}

/// Writes a file to `/tmp`, reads it back, and waits as for a slow service, in a process of its own;
/// gives the sum of the bytes.
///
/// ```json
/// {"kibibytes": 64, "wait_ms": 5}
/// ```
///
/// # Errors
///
/// `too_large` beyond 32 MiB; any failure of the disk.
#[bulkhead::function(tmp = "64MiB")]
pub fn exchange(kibibytes: u32, wait_ms: u64) -> Result<u64, Error> {
    write_read_wait(kibibytes, wait_ms)
}

/// The same, in a warm process.
///
/// ```json
/// {"kibibytes": 64, "wait_ms": 5}
/// ```
///
/// # Errors
///
/// `too_large` beyond 32 MiB; any failure of the disk.
#[bulkhead::function(isolation = "reuse", tmp = "64MiB")]
pub fn exchange_reuse(kibibytes: u32, wait_ms: u64) -> Result<u64, Error> {
    write_read_wait(kibibytes, wait_ms)
}

/// The generator of Steele, Lea and Flood (SplitMix64): a chain of dependent steps that no compiler
/// shortens.
fn spin(rounds: u64) -> Result<u64, Error> {
    if rounds > MAX_ROUNDS {
        let message = format!("expected at most {MAX_ROUNDS} rounds, found {rounds}");
        return Err(Error::new(message).with_code("too_many_rounds"));
    }
    let mut state = 0_u64;
    for _ in 0..rounds {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        state ^= (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    }
    Ok(state)
}

fn write_read_wait(kibibytes: u32, wait_ms: u64) -> Result<u64, Error> {
    if kibibytes > MAX_KIBIBYTES {
        let message = format!("expected at most {MAX_KIBIBYTES} KiB, found {kibibytes}");
        return Err(Error::new(message).with_code("too_large"));
    }
    let thread = format!("{:?}", thread::current().id());
    let path = std::env::temp_dir().join(format!("exchange-{}-{thread}", process::id()));
    let sum = write_and_read(&path, kibibytes)?;
    thread::sleep(Duration::from_millis(wait_ms));
    Ok(sum)
}

fn write_and_read(path: &Path, kibibytes: u32) -> io::Result<u64> {
    let block: Vec<u8> = (0..1024_u32).map(|index| (index % 251) as u8).collect();
    fs::write(path, block.repeat(kibibytes as usize))?;
    let read = fs::read(path)?;
    fs::remove_file(path)?;
    Ok(read.into_iter().map(u64::from).sum())
}

#[cfg(test)]
mod tests {
    use bulkhead::{json, testing::Call};

    #[test]
    fn the_same_work_gives_the_same_number() {
        let of = |name: &str, rounds: u64| Call::new(name).args(json!({ "rounds": rounds })).run().expect_ok::<u64>();
        assert_eq!(of("compute", 0), 0);
        assert_eq!(of("compute", 1000), of("compute_reuse", 1000));
        assert_ne!(of("compute", 1000), of("compute", 1001));
    }

    #[test]
    fn what_was_written_is_read_back() {
        let sum: u64 = (0..1024_u64).map(|index| index % 251).sum();
        for name in ["exchange", "exchange_reuse"] {
            let outcome = Call::new(name).args(json!({"kibibytes": 3, "wait_ms": 0})).run();
            assert_eq!(outcome.expect_ok::<u64>(), 3 * sum);
        }
    }

    #[test]
    fn what_would_not_end_or_fit_is_refused() {
        let outcome = Call::new("compute").args(json!({"rounds": 20_000_000_001_u64})).run();
        assert_eq!(outcome.expect_error_code(), "too_many_rounds");
        let outcome = Call::new("exchange").args(json!({"kibibytes": 32 * 1024 + 1, "wait_ms": 0})).run();
        assert_eq!(outcome.expect_error_code(), "too_large");
    }
}
