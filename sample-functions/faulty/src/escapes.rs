//! Attempts on the world outside.

use std::{
    collections::BTreeSet,
    fs, io,
    net::{SocketAddr, TcpStream},
    process::Command,
    time::Duration,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::{Pid, getppid},
};

use crate::Attempt;

/// How long a connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// Starts a shell.
///
/// Expected: errno inside, or `PolicyViolation`.
///
/// ```json
/// {}
/// ```
#[bulkhead::function]
pub fn exec_shell() -> Attempt {
    let output = Command::new("/bin/sh").args(["-c", "id"]).output();
    Attempt::new("/bin/sh -c id", output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()))
}

/// Connects to `address` (127.0.0.1:8000 unless given, where a server of Bulkhead listens).
///
/// Expected: errno inside, or `PolicyViolation`.
///
/// ```json
/// {"address": "127.0.0.1:8000"}
/// ```
#[bulkhead::function]
pub fn tcp_connect(address: Option<SocketAddr>) -> Attempt {
    let address = address.unwrap_or(SocketAddr::from(([127, 0, 0, 1], 8000)));
    let stream = TcpStream::connect_timeout(&address, CONNECT_TIMEOUT);
    Attempt::new(
        format!("connect to {address}"),
        stream.and_then(|stream| stream.local_addr().map(|local| format!("from {local}"))),
    )
}

/// Reads files that say something about other processes and the machine; `paths` replaces the usual ones.
///
/// Expected: errno inside for all that is not the function's own.
///
/// ```json
/// {"paths": ["/etc/shadow"]}
/// ```
#[bulkhead::function]
pub fn reads_proc(paths: Option<Vec<String>>) -> Vec<Attempt> {
    const USUAL: [&str; 8] = [
        "/proc/1/environ",
        "/proc/1/mem",
        "/proc/1/maps",
        "/proc/self/environ",
        "/proc/self/cmdline",
        "/proc/kcore",
        "/etc/shadow",
        "/root/.ssh/id_rsa",
    ];
    let paths = paths.unwrap_or_else(|| USUAL.map(str::to_owned).to_vec());
    paths
        .into_iter()
        .map(|path| {
            let length = read_start(&path).map(|length| format!("{length} bytes"));
            Attempt::new(path, length)
        })
        .collect()
}

/// Reads a little: some of these files never end.
fn read_start(path: &str) -> io::Result<usize> {
    let mut start = [0; 256];
    io::Read::read(&mut fs::File::open(path)?, &mut start)
}

/// Kills the first process and its parent.
///
/// Expected: errno inside (EPERM or ESRCH), or `PolicyViolation`; the runner goes on serving other calls.
///
/// ```json
/// {}
/// ```
#[bulkhead::function]
pub fn kill_parent() -> Vec<Attempt> {
    [("kill the first process", Pid::from_raw(1)), ("kill the parent", getppid())]
        .into_iter()
        .map(|(what, pid)| {
            let killed = kill(pid, Signal::SIGKILL).map(|()| format!("killed {pid}")).map_err(io::Error::from);
            Attempt::new(what, killed)
        })
        .collect()
}

/// Looks at the files that it was born with: stdin is a device, stdout and stderr are pipes, and there is no
/// other that it did not open itself.
///
/// Expected: exactly `["0 character device", "1 pipe", "2 pipe"]`. A file among them is the memory of some
/// other call.
///
/// ```json
/// {}
/// ```
#[bulkhead::function]
pub fn inherited_files() -> Vec<String> {
    use nix::sys::stat::{FileStat, SFlag};
    use std::os::fd::{AsRawFd as _, BorrowedFd};
    let kind = |stat: FileStat| match SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT {
        SFlag::S_IFCHR => "character device",
        SFlag::S_IFIFO => "pipe",
        SFlag::S_IFREG => "file",
        SFlag::S_IFSOCK => "socket",
        _ => "something else",
    };
    let described = |number: i32| {
        #[expect(unsafe_code, reason = "descriptors that nobody handed over are known by number only")]
        // SAFETY: only asked for its kind; a number that is not open is refused.
        let file = unsafe { BorrowedFd::borrow_raw(number) };
        let stat = nix::sys::stat::fstat(file).ok()?;
        Some(format!("{} {}", file.as_raw_fd(), kind(stat)))
    };
    (0..64).filter_map(described).collect()
}

/// Has the kernel kill the parent and the zygote on its behalf, with the signal of a pipe that is ready.
///
/// Expected: errno inside (EPERM); the runner goes on serving other calls.
///
/// ```json
/// {}
/// ```
#[bulkhead::function]
#[expect(unsafe_code, reason = "nix has no command for the owner of a file")]
pub fn signals_by_pipe() -> Vec<Attempt> {
    use std::os::fd::AsRawFd as _;
    [("become the owner of a pipe's signals for process 1", 1), ("for process 2", 2)]
        .into_iter()
        .map(|(what, pid)| {
            // SAFETY: the command takes a number and touches no memory.
            let result = unsafe { nix::libc::fcntl(io::stdout().as_raw_fd(), nix::libc::F_SETOWN, pid) };
            let owned = nix::errno::Errno::result(result).map(|_| format!("owner {pid}")).map_err(io::Error::from);
            Attempt::new(what, owned)
        })
        .collect()
}

/// Kills everybody that it may kill: all processes, its process group, and one by one those with low numbers.
///
/// Expected: errno inside (EPERM) for all of them; the runner goes on serving other calls.
///
/// ```json
/// {}
/// ```
#[bulkhead::function]
pub fn kill_minus_one() -> Vec<Attempt> {
    [("kill everybody", -1), ("kill its own process group", 0), ("kill the first process group", -2)]
        .into_iter()
        .map(|(what, pid)| {
            let killed = kill(Pid::from_raw(pid), Signal::SIGKILL).map(|()| format!("killed {pid}"));
            Attempt::new(what, killed.map_err(io::Error::from))
        })
        .collect()
}

/// Kills `most` processes (64 unless given) that may be its elders and siblings: those with the sixteen lowest numbers
/// and those with numbers next to its own. Goes on for `stay_ms` milliseconds, for others to kill.
///
/// Expected: errno inside (EPERM) for each; calls beside it go on.
///
/// ```json
/// {"most": 64, "stay_ms": 100}
/// ```
#[bulkhead::function]
pub fn kill_sibling(most: Option<usize>, stay_ms: Option<u64>) -> Vec<Attempt> {
    let half = Duration::from_millis(stay_ms.unwrap_or(0) / 2);
    std::thread::sleep(half);
    let own = Pid::this().as_raw();
    let near = (1..).flat_map(|distance| [own - distance, own + distance]);
    let mut tried = BTreeSet::from([own]);
    let others = (1..=16).chain(near).filter(|pid| *pid > 0 && tried.insert(*pid));
    let attempts = others
        .take(most.unwrap_or(64))
        .map(Pid::from_raw)
        .map(|pid| {
            let killed = kill(pid, Signal::SIGKILL).map(|()| format!("killed {pid}")).map_err(io::Error::from);
            Attempt::new(format!("kill {pid}"), killed)
        })
        .collect();
    std::thread::sleep(half);
    attempts
}

/// Makes sockets of all families, and one with a name that needs no file.
///
/// Expected: errno inside (EAFNOSUPPORT).
///
/// ```json
/// {}
/// ```
#[bulkhead::function]
pub fn abstract_socket() -> Attempt {
    use std::os::{linux::net::SocketAddrExt as _, unix::net};
    let bound = net::SocketAddr::from_abstract_name("bulkhead-faulty").and_then(|name| {
        let listener = net::UnixListener::bind_addr(&name)?;
        net::UnixStream::connect_addr(&name)?;
        listener.local_addr()
    });
    Attempt::new("meet at an abstract name", bound.map(|address| format!("{address:?}")))
}

/// Makes a socket to the hypervisor, and one of every other family.
///
/// Expected: errno inside (EAFNOSUPPORT) for each.
///
/// ```json
/// {}
/// ```
#[bulkhead::function]
#[expect(unsafe_code, reason = "nix has no wrapper that takes any family")]
pub fn vsock() -> Vec<Attempt> {
    use nix::libc;
    // AF_VSOCK first; the last one that Linux 6 knows is AF_MCTP, 45.
    std::iter::once(libc::AF_VSOCK)
        .chain(0..=46)
        .map(|family| {
            // SAFETY: takes numbers and touches no memory.
            let made = nix::errno::Errno::result(unsafe { libc::socket(family, libc::SOCK_STREAM, 0) });
            let made = made.map(|socket| format!("socket {socket}")).map_err(io::Error::from);
            Attempt::new(format!("a socket of family {family}"), made)
        })
        .collect()
}

/// Raises each of its own resource limits, and those of its parent.
///
/// Expected: errno inside (EPERM) for each.
///
/// ```json
/// {}
/// ```
#[bulkhead::function]
#[expect(unsafe_code, reason = "nix has no prlimit")]
pub fn raises_prlimit() -> Vec<Attempt> {
    use nix::libc;
    let unlimited = libc::rlimit { rlim_cur: libc::RLIM_INFINITY, rlim_max: libc::RLIM_INFINITY };
    // All that Linux has, getrlimit(2).
    let own = (0..16).map(|resource| (0, resource));
    own.chain([(1, libc::RLIMIT_NOFILE)])
        .map(|(pid, resource)| {
            // SAFETY: the structure lives through the call; the old value is not asked for.
            let set = unsafe { libc::prlimit(pid, resource, &raw const unlimited, std::ptr::null_mut()) };
            let set = nix::errno::Errno::result(set).map(|_| "unlimited".to_owned()).map_err(io::Error::from);
            Attempt::new(format!("raise limit {resource} of process {pid}"), set)
        })
        .collect()
}

/// Makes a ring through which the kernel carries out calls that no filter sees.
///
/// Expected: errno inside (ENOSYS), so that libraries fall back.
///
/// ```json
/// {}
/// ```
#[bulkhead::function]
#[expect(unsafe_code, reason = "nix has no io_uring")]
pub fn io_uring() -> Attempt {
    use nix::libc;
    // More than `struct io_uring_params` has.
    let mut parameters = [0u64; 32];
    // SAFETY: the kernel writes its structure, which is shorter, to memory that lives through the call.
    let made = unsafe { libc::syscall(libc::SYS_io_uring_setup, 8, parameters.as_mut_ptr()) };
    let made = nix::errno::Errno::result(made).map(|ring| format!("ring {ring}")).map_err(io::Error::from);
    Attempt::new("make a ring", made)
}

/// Executes a program from memory, where no file system can refuse it.
///
/// Expected: errno inside (ENOSYS for the memory, EPERM for the execution).
///
/// ```json
/// {}
/// ```
#[bulkhead::function]
#[expect(unsafe_code, reason = "nix has no wrapper with these flags")]
pub fn memfd_exec() -> Vec<Attempt> {
    use nix::libc;
    // SAFETY: the name is NUL-terminated and lives through the call.
    let made = nix::errno::Errno::result(unsafe { libc::memfd_create(c"program".as_ptr(), 0) });
    let program = made.unwrap_or(0);
    let made = made.map(|file| format!("file {file}")).map_err(io::Error::from);
    let nothing = [std::ptr::null::<libc::c_char>()];
    let (path, empty) = (c"".as_ptr(), nothing.as_ptr());
    // SAFETY: path and lists end as the call wants them to and live through it.
    let executed = unsafe { libc::syscall(libc::SYS_execveat, program, path, empty, empty, libc::AT_EMPTY_PATH) };
    let executed = nix::errno::Errno::result(executed).map(|_| String::new()).map_err(io::Error::from);
    vec![Attempt::new("make a file in memory", made), Attempt::new("execute a file without a name", executed)]
}
