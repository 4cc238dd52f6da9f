//! The built-in probe: a plugin that tries what no function may do, for `bulkhead doctor` and for the
//! server's start. It is called in a child of a sandbox like every other, so what it meets is the sandbox
//! itself. Each act is a function; its result is the system's error number.

#![expect(unsafe_code, reason = "what is tried has no safe wrappers, as no safe program does it")]

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::time::Duration;

use bulkhead_abi::{Plugin, PluginRef, RVec, Request, Response, Seed, response_kind};
use bulkhead_protocol::codec;
use bulkhead_protocol::probe::{ANSWER_BYTES, Act, ROOT_NAMES, Surroundings};
use nix::errno::Errno;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::kill;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};
use nix::sys::stat::{Mode, SFlag, mknod};
use nix::unistd::{Pid, Uid};

use crate::init::exit;

/// Highest descriptor that is looked for.
const MOST_FILES: i32 = 1024;
/// More files than the host lets the probe open.
const MANY_FILES: usize = 4096;
/// More threads than the host lets the probe start.
const MANY_THREADS: usize = 1024;
/// More bytes than the host lets the probe hold, of memory or in its folder.
const MANY_BYTES: usize = 1 << 30;
/// Memory that is taken at once.
const BLOCK_BYTES: usize = 1 << 20;

/// The entries of the probe.
pub(crate) fn plugin() -> PluginRef {
    Plugin { describe, call, after_fork }.leak()
}

extern "C" fn describe() -> RVec<u8> {
    codec::encode(&look_around()).unwrap_or_default().into()
}

extern "C" fn after_fork(_: Seed) {}

extern "C" fn call<'a>(function: u32, mut request: Request<'a>) -> Response {
    let Some(act) = Act::of_index(function) else {
        return Response { kind: response_kind::NO_SUCH_FUNCTION, length: 0 };
    };
    let errno = match attempt(act) {
        Ok(()) => 0,
        Err(errno) => errno as i32,
    };
    match request.output.as_mut_slice().first_chunk_mut::<ANSWER_BYTES>() {
        Some(output) => *output = errno.to_le_bytes(),
        None => return Response { kind: response_kind::RESULT_TOO_LARGE, length: 0 },
    }
    Response { kind: response_kind::SUCCEEDED, length: ANSWER_BYTES as u64 }
}

fn look_around() -> Surroundings {
    // The fence lets nobody list the root; what is there can still be looked up by name.
    let is_there = |name: &&str| fs::symlink_metadata(format!("/{name}")).is_ok();
    let root = ROOT_NAMES.iter().copied().filter(is_there).map(str::to_owned).collect();
    let open = (libc::STDERR_FILENO + 1..MOST_FILES).filter(|fd| is_open(*fd)).count();
    Surroundings {
        pid: nix::unistd::getpid().as_raw(),
        parent: nix::unistd::getppid().as_raw(),
        user: nix::unistd::getuid().as_raw(),
        host_name: nix::sys::utsname::uname()
            .map(|names| names.nodename().to_string_lossy().into_owned())
            .unwrap_or_default(),
        root,
        open_files: u32::try_from(open).unwrap_or(u32::MAX),
        core_files: getrlimit(Resource::RLIMIT_CORE).map_or(true, |(soft, hard)| soft > 0 || hard > 0),
    }
}

fn is_open(fd: i32) -> bool {
    // SAFETY: asks for a descriptor's flags, which touches no memory; it may be closed.
    unsafe { libc::fcntl(fd, libc::F_GETFD) != -1 }
}

/// Does it, and says how that went.
fn attempt(act: Act) -> nix::Result<()> {
    match act {
        Act::BecomeRoot => nix::unistd::setuid(Uid::from_raw(0)),
        Act::ReadProc => done(File::open("/proc/self/status")),
        Act::ReadHostFile => done(File::open("/etc/passwd")),
        Act::WriteRoot => done(fs::create_dir("/probe")),
        Act::MakeDevice => mknod("probe", SFlag::S_IFCHR, Mode::S_IRUSR, libc::makedev(1, 3)),
        Act::FillFolder => done(fs::write("probe", vec![1; MANY_BYTES / 64])),
        Act::OpenSibling => done(fs::read_dir("/tmp/slot0")),
        Act::WriteZero => done(OpenOptions::new().write(true).open("/dev/zero")),
        Act::SignalAll => kill(Pid::from_raw(-1), None),
        Act::SignalInit => kill(Pid::from_raw(1), None),
        Act::NewCode => map_code(),
        Act::RaiseLimit => raise_limit(),
        Act::Fork => fork(),
        Act::Execute => nix::unistd::execv(c"/plugin.so", &[c"/plugin.so"]).map(drop),
        Act::IoUring => system_call(libc::SYS_io_uring_setup, [0, 0]),
        Act::Trace => system_call(libc::SYS_ptrace, [libc::PTRACE_TRACEME.into(), 0]),
        Act::Unshare => system_call(libc::SYS_unshare, [libc::CLONE_NEWUSER.into(), 0]),
        Act::SocketInet => connect(AddressFamily::Inet),
        Act::SocketUnix => connect(AddressFamily::Unix),
        Act::SocketVsock => connect(AddressFamily::Vsock),
        Act::SocketNetlink => connect(AddressFamily::Netlink),
        Act::ManyFiles => open_many_files(),
        Act::ManyThreads => start_many_threads(),
        Act::MuchMemory => take_much_memory(),
        Act::SleepForever => loop {
            std::thread::sleep(Duration::from_secs(1));
        },
    }
}

fn done<T>(result: io::Result<T>) -> nix::Result<()> {
    match result {
        Ok(_) => Ok(()),
        Err(error) => Err(Errno::from_raw(error.raw_os_error().unwrap_or(0))),
    }
}

fn connect(family: AddressFamily) -> nix::Result<()> {
    let kind = if family == AddressFamily::Netlink { SockType::Raw } else { SockType::Stream };
    socket(family, kind, SockFlag::empty(), None).map(drop)
}

fn map_code() -> nix::Result<()> {
    let protection = libc::PROT_READ | libc::PROT_WRITE | libc::PROT_EXEC;
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    // SAFETY: a new mapping at no fixed place overlaps nothing, and is never used.
    let mapped = unsafe { libc::mmap(std::ptr::null_mut(), BLOCK_BYTES, protection, flags, -1, 0) };
    if mapped == libc::MAP_FAILED { Err(Errno::last()) } else { Ok(()) }
}

fn raise_limit() -> nix::Result<()> {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, hard + 1, hard + 1)
}

fn fork() -> nix::Result<()> {
    // SAFETY: should it come to be, the new process does nothing but end.
    let pid = unsafe { libc::syscall(libc::SYS_clone, libc::SIGCHLD, 0, 0, 0, 0) };
    if Errno::result(pid)? == 0 {
        exit(0);
    }
    Ok(())
}

/// A system call whose arguments are numbers.
fn system_call(number: libc::c_long, arguments: [libc::c_long; 2]) -> nix::Result<()> {
    // SAFETY: only called with calls that take no pointer in these places, or a null one.
    let result = unsafe { libc::syscall(number, arguments[0], arguments[1], 0, 0, 0) };
    Errno::result(result).map(drop)
}

fn open_many_files() -> nix::Result<()> {
    let mut held: Vec<OwnedFd> = Vec::new();
    for _ in 0..MANY_FILES {
        let file = io::stderr().as_fd().try_clone_to_owned();
        held.push(file.map_err(|error| Errno::from_raw(error.raw_os_error().unwrap_or(0)))?);
    }
    Ok(())
}

fn start_many_threads() -> nix::Result<()> {
    for _ in 0..MANY_THREADS {
        // They stay until the process ends, which is soon.
        let thread = std::thread::Builder::new().stack_size(16 * 1024).spawn(|| {
            loop {
                std::thread::park();
            }
        });
        done(thread)?;
    }
    Ok(())
}

fn take_much_memory() -> nix::Result<()> {
    let mut held = Vec::new();
    for _ in 0..MANY_BYTES / BLOCK_BYTES {
        let mut block: Vec<u8> = Vec::new();
        block.try_reserve_exact(BLOCK_BYTES).map_err(|_| Errno::ENOMEM)?;
        // Ones, for zeroes would come from the kernel untouched.
        block.resize(BLOCK_BYTES, 1);
        held.push(std::hint::black_box(block));
    }
    Ok(())
}
