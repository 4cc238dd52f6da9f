//! State that one call leaves for the next, or must not.

use std::{
    env, fs,
    hash::{BuildHasher as _, RandomState},
    io,
    sync::atomic::{AtomicU64, Ordering},
};

/// Writes a file to the folder for temporary files and tells which were there before.
///
/// Expected: an empty list, in every call of a `fresh` function.
///
/// ```json
/// {}
/// ```
#[bulkhead::function]
pub fn tmp_leftover() -> io::Result<Vec<String>> {
    let folder = env::temp_dir();
    let mut before = Vec::new();
    for entry in fs::read_dir(&folder)? {
        before.push(entry?.file_name().to_string_lossy().into_owned());
    }
    fs::write(folder.join(format!("leftover-{}", before.len())), "left over")?;
    Ok(before)
}

/// The hash of a fixed value by a hasher with new keys.
///
/// Expected: another number in every call: each has keys of its own.
///
/// ```json
/// {}
/// ```
#[bulkhead::function]
pub fn hashmap_keys() -> u64 {
    // Half of it, so that every reader of JSON keeps all digits.
    RandomState::new().hash_one(42u64) >> 32
}

/// Counts its calls in a global variable.
///
/// Expected: 1 in every call of a `fresh` function.
///
/// ```json
/// {}
/// ```
#[bulkhead::function]
pub fn global_mutated() -> u64 {
    static CALLS: AtomicU64 = AtomicU64::new(0);
    CALLS.fetch_add(1, Ordering::Relaxed) + 1
}

/// Sets an environment variable and tells its value before.
///
/// Expected: null, in every call of a `fresh` function.
///
/// ```json
/// {}
/// ```
#[bulkhead::function]
#[expect(unsafe_code, reason = "changing the environment is unsafe")]
pub fn env_mutated() -> Option<String> {
    const NAME: &str = "BULKHEAD_FAULTY";
    let before = env::var(NAME).ok();
    // SAFETY: the call's thread is the only one of its process that touches the environment.
    unsafe { env::set_var(NAME, "was here") };
    before
}

/// Leaves a tree in the folder for temporary files that is deeper than a path may be long, closes the
/// folder itself, and tells the mode that the folder had before.
///
/// Expected: 0o700 as a number, 448, in every call of a `fresh` function.
///
/// ```json
/// {}
/// ```
#[bulkhead::function]
pub fn tmp_made_hard_to_clean() -> io::Result<u32> {
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
    const DEPTH: usize = 200;
    let folder = env::temp_dir();
    let before = fs::metadata(&folder)?.mode() & 0o7777;
    let name = "d".repeat(200);
    for _ in 0..DEPTH {
        fs::create_dir(&name)?;
        // The name is relative, as the whole path soon is too long for any call.
        env::set_current_dir(&name)?;
    }
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o000))?;
    Ok(before)
}

/// Makes stdout fail where it would wait, and tells whether it did so before.
///
/// Expected: false, in every call of a `fresh` function.
///
/// ```json
/// {}
/// ```
#[bulkhead::function]
pub fn stdout_made_nonblocking() -> io::Result<bool> {
    use nix::fcntl::{FcntlArg, OFlag, fcntl};
    let before = OFlag::from_bits_retain(fcntl(io::stdout(), FcntlArg::F_GETFL)?);
    fcntl(io::stdout(), FcntlArg::F_SETFL(before | OFlag::O_NONBLOCK))?;
    Ok(before.contains(OFlag::O_NONBLOCK))
}
