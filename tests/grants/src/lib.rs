//! Functions that were granted what others are refused, and try what stays refused to them.
//! **Never run them outside a sandbox.**

#![expect(unsafe_code, reason = "processes and machine code are made by hand")]

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::time::Duration;

/// Longest wait for another's answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// The error number of what failed, or zero.
fn errno<T>(result: io::Result<T>) -> i32 {
    result.err().and_then(|error| error.raw_os_error()).unwrap_or(0)
}

/// Sends a word to an address and gives what comes back.
#[bulkhead::function(network = true)]
pub fn asks(address: SocketAddr, word: String) -> io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(word.as_bytes())?;
    stream.shutdown(std::net::Shutdown::Write)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

/// Error numbers of what a network gives nobody: to listen, a raw socket, a Unix socket, a packet socket, a
/// netlink socket; and of what it does give, a socket for datagrams.
#[bulkhead::function(network = true)]
pub fn goes_beyond_the_network() -> Vec<i32> {
    let socket = |domain, kind| {
        // SAFETY: takes numbers and touches no memory.
        let fd = unsafe { libc::socket(domain, kind, 0) };
        if fd < 0 { errno::<()>(Err(io::Error::last_os_error())) } else { 0 }
    };
    vec![
        errno(TcpListener::bind("127.0.0.1:0")),
        socket(libc::AF_INET, libc::SOCK_RAW),
        socket(libc::AF_UNIX, libc::SOCK_STREAM),
        socket(libc::AF_PACKET, libc::SOCK_RAW),
        socket(libc::AF_NETLINK, libc::SOCK_RAW),
        errno(UdpSocket::bind("127.0.0.1:0")),
    ]
}

/// Forks a copy that exits with a code, and gives the code.
#[bulkhead::function(processes = true)]
pub fn forks(code: i32) -> i32 {
    // SAFETY: the copy does nothing but exit.
    match unsafe { libc::fork() } {
        -1 => -errno::<()>(Err(io::Error::last_os_error())),
        // SAFETY: takes a number and does not return.
        0 => unsafe { libc::_exit(code) },
        pid => {
            let mut status = 0;
            // SAFETY: the status is live and writable.
            unsafe { libc::waitpid(pid, &raw mut status, 0) };
            libc::WEXITSTATUS(status)
        }
    }
}

/// Leaves copies behind that go on for ever, each with a copy of its own, and gives how many it could make.
#[bulkhead::function(processes = true, threads = 16)]
pub fn leaves_processes(count: u32) -> u32 {
    let mut made = 0;
    for _ in 0..count {
        // SAFETY: the copies do nothing but fork, pause and spin.
        match unsafe { libc::fork() } {
            -1 => break,
            0 => {
                // SAFETY: as above. What the copy of a copy leaves has init as its parent.
                unsafe { libc::fork() };
                loop {
                    std::hint::spin_loop();
                }
            }
            _ => made += 1,
        }
    }
    made
}

/// Has a copy make a refused call.
#[bulkhead::function(processes = true)]
pub fn copy_is_refused_a_call() -> i32 {
    // SAFETY: the copy makes one call and exits; ptrace with 0 takes numbers alone.
    match unsafe { libc::fork() } {
        0 => {
            // SAFETY: as above.
            unsafe { libc::syscall(libc::SYS_ptrace, 0, 0, 0, 0) };
            // SAFETY: takes a number and does not return.
            unsafe { libc::_exit(1) }
        }
        pid => {
            let mut status = 0;
            // SAFETY: the status is live and writable.
            unsafe { libc::waitpid(pid, &raw mut status, 0) };
            status
        }
    }
}

/// Error numbers of ways out of the reach of whoever ends the call: a group or session of its own, a copy
/// with another parent, another program; and of a signal to everybody.
#[bulkhead::function(processes = true)]
pub fn tries_to_get_away() -> Vec<i32> {
    let clone_parent = i64::from(libc::CLONE_PARENT | libc::SIGCHLD);
    let program = c"/plugin.so".as_ptr();
    let nothing = [std::ptr::null::<libc::c_char>()];
    let failed = |result: i64| if result < 0 { errno::<()>(Err(io::Error::last_os_error())) } else { 0 };
    // SAFETY: takes numbers and touches no memory.
    let group = failed(i64::from(unsafe { libc::setpgid(0, 0) }));
    // SAFETY: as above.
    let session = failed(i64::from(unsafe { libc::setsid() }));
    // SAFETY: as above; a copy, if there were one, would go on as the function does.
    let parent = failed(unsafe { libc::syscall(libc::SYS_clone, clone_parent, 0, 0, 0, 0) });
    // SAFETY: all pointers are to terminated strings and lists.
    let exec = failed(i64::from(unsafe { libc::execve(program, nothing.as_ptr(), nothing.as_ptr()) }));
    // SAFETY: takes numbers and touches no memory.
    let init = failed(i64::from(unsafe { libc::kill(1, libc::SIGKILL) }));
    vec![group, session, parent, exec, init]
}

/// Writes a function of machine code to memory and runs it.
#[cfg(target_arch = "x86_64")]
#[bulkhead::function(jit = true)]
pub fn compiles() -> Result<i32, io::Error> {
    compile()
}

/// The same where it was not granted.
#[cfg(target_arch = "x86_64")]
#[bulkhead::function]
pub fn compiles_without_leave() -> i32 {
    errno(compile())
}

#[cfg(target_arch = "x86_64")]
fn compile() -> io::Result<i32> {
    // mov eax, 42; ret
    const CODE: [u8; 6] = [0xB8, 42, 0, 0, 0, 0xC3];
    let (writable, executable) = (libc::PROT_READ | libc::PROT_WRITE, libc::PROT_READ | libc::PROT_EXEC);
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    // SAFETY: a new anonymous mapping overlaps nothing.
    let memory = unsafe { libc::mmap(std::ptr::null_mut(), 4096, writable, flags, -1, 0) };
    if memory == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the mapping is writable and longer than the code.
    unsafe { std::ptr::copy_nonoverlapping(CODE.as_ptr(), memory.cast(), CODE.len()) };
    // SAFETY: the mapping is ours and whole.
    if unsafe { libc::mprotect(memory, 4096, executable) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the code above is a function that takes nothing and returns an int.
    let function: extern "C" fn() -> i32 = unsafe { std::mem::transmute(memory) };
    Ok(function())
}
