//! Attempts on the world outside.

use std::{
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
