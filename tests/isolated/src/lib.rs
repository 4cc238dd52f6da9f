//! One function that fails in many ways, in each isolation, for the tests of what a call leaves to the
//! next. **Never run it outside a sandbox.**

use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering};
use std::{env, fs, process};

use bulkhead::Error;

/// Calls that this process has taken, and files that it found in its folder for temporary files.
fn act(what: &str) -> Result<(u64, usize), Error> {
    static CALLS: AtomicU64 = AtomicU64::new(0);
    let calls = CALLS.fetch_add(1, Ordering::Relaxed) + 1;
    let found = fs::read_dir(env::temp_dir())?.count();
    fs::write(env::temp_dir().join(format!("left-by-{calls}")), what)?;
    match what {
        "count" => Ok((calls, found)),
        "fail" => Err(Error::new("as asked").with_code("asked")),
        "panic" => panic!("as asked"),
        "abort" => process::abort(),
        "exit" => process::exit(7),
        "spin" => loop {
            std::hint::spin_loop();
        },
        "allocate" => Ok((black_box(vec![1u8; 1 << 40]).len() as u64, found)),
        other => Err(Error::new(format!("there is no act {other}")).with_code("unknown")),
    }
}

/// Acts in a process of its own.
#[bulkhead::function(isolation = "fresh")]
pub fn act_fresh(what: String) -> Result<(u64, usize), Error> {
    act(&what)
}

/// Acts in a warm process.
#[bulkhead::function(isolation = "reuse")]
pub fn act_reuse(what: String) -> Result<(u64, usize), Error> {
    act(&what)
}

/// Acts in a sandbox of its own.
#[bulkhead::function(isolation = "exec")]
pub fn act_exec(what: String) -> Result<(u64, usize), Error> {
    act(&what)
}
