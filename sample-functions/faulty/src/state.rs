//! State that one call leaves for the next, or must not.

use std::{
    env, fs,
    hash::{BuildHasher as _, RandomState},
    io, mem,
    os::fd::IntoRawFd as _,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use bulkhead::Context;
use rand::{SeedableRng as _, rngs::StdRng};

use crate::slot::Slot;

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

/// Random values of all kinds that a library may have: keys of a map, the generator of the thread, and one of
/// the whole process that was seeded as the SDK advises.
///
/// Expected: other numbers in every call.
///
/// ```json
/// {}
/// ```
#[bulkhead::function]
pub fn rand_values() -> [String; 3] {
    let [keys, thread] = [RandomState::new().hash_one(42u64), rand::random()];
    let process = lock(&GENERATOR).as_mut().map_or(0, rand::Rng::next_u64);
    // As text, for readers of JSON that keep 53 bits.
    [keys, thread, process].map(|value| format!("{value:016x}"))
}

/// A generator of the whole process, made when the library is loaded: every child starts with a copy.
static GENERATOR: Mutex<Option<StdRng>> = Mutex::new(None);

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs inside `dlopen`.
extern "C" fn prepare() {
    *lock(&GENERATOR) = Some(StdRng::seed_from_u64(42));
    bulkhead::random::on_fork(|seed| *lock(&GENERATOR) = Some(StdRng::from_seed(seed)));
}

#[used]
#[expect(unsafe_code, reason = "constructors are placed by section name")]
// SAFETY: the section takes pointers to functions of this type (System V ABI, "Initialization and Termination").
#[unsafe(link_section = ".init_array")]
static PREPARE: extern "C" fn() = prepare;

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

/// Opens files without closing them, and tells the number of the first.
///
/// Expected: 3, in every call of a `fresh` function: 0 to 2 are what it was given.
///
/// ```json
/// {}
/// ```
#[bulkhead::function]
pub fn fd_leak() -> io::Result<i32> {
    let first = fs::File::open("/dev/null")?.into_raw_fd();
    for _ in 0..16 {
        mem::forget(fs::File::create(env::temp_dir().join("leaked"))?);
    }
    Ok(first)
}

/// Fills all of the memory that it shares with the host with a secret, and tells how many bytes of one it
/// found there.
///
/// Expected: 0, in every call of a `fresh` function.
///
/// ```json
/// {}
/// ```
#[bulkhead::function]
pub fn secret_left_in_shared_memory(context: &Context) -> io::Result<usize> {
    const SECRET: u8 = 0xA5;
    let memory = Slot::find(context)?.everything();
    // As much as its own memory allows: what is touched counts.
    let length = memory.len().min(96 << 20);
    let (start, end) = (length / 2, memory.len() - length / 2);
    let found = memory.iter().filter(|byte| **byte == SECRET).count();
    memory[..start].fill(SECRET);
    memory[end..].fill(SECRET);
    Ok(found)
}

/// Leaves a thread behind that writes files for as long as it lives, and tells which it found.
///
/// Expected: 0, in every call of a `fresh` function.
///
/// ```json
/// {}
/// ```
#[bulkhead::function]
pub fn thread_left_behind() -> io::Result<usize> {
    let folder = env::temp_dir();
    let found = fs::read_dir(&folder)?.count();
    thread::spawn(move || {
        loop {
            let _ = fs::write(folder.join("of a thread"), "still here");
            print!(".");
            thread::sleep(Duration::from_millis(1));
        }
    });
    Ok(found)
}
