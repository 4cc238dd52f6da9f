//! What a function gets that was granted more than others. Each list stands before the others' rules.

use super::super::arch::{Call, sys};
use super::super::filter::{Action, Entry, Rule};
use super::plain::{SOCKET_TYPE, THREAD};
use super::set_up::CHILD_FORK;
use super::{ALLOW, EPERM, INT};

/// fork(2) of the system, of glibc, and vfork as posix_spawn makes it. Without `CLONE_PARENT`: what a
/// function starts must not be taken for one of the zygote's children.
const FORK: u64 = libc::SIGCHLD as u64;
const GLIBC_FORK: u64 = (libc::CLONE_CHILD_SETTID | libc::CLONE_CHILD_CLEARTID | libc::SIGCHLD) as u64;
const VFORK: u64 = (libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD) as u64;

/// Domains and types of socket(2). Raw and packet sockets, Unix sockets (whose abstract names are the
/// host's where its network is), netlink and the rest are not among them.
const SOCKETS: &[[u64; 2]] = &[
    [libc::AF_INET as u64, libc::SOCK_STREAM as u64],
    [libc::AF_INET as u64, libc::SOCK_DGRAM as u64],
    [libc::AF_INET6 as u64, libc::SOCK_STREAM as u64],
    [libc::AF_INET6 as u64, libc::SOCK_DGRAM as u64],
];
/// Levels and options of setsockopt(2), by what clients of TCP and UDP set.
const SETSOCKOPT: &[[u64; 2]] = &[
    [libc::SOL_SOCKET as u64, libc::SO_SNDBUF as u64],
    [libc::SOL_SOCKET as u64, libc::SO_RCVBUF as u64],
    [libc::SOL_SOCKET as u64, libc::SO_SNDTIMEO as u64],
    [libc::SOL_SOCKET as u64, libc::SO_RCVTIMEO as u64],
    [libc::SOL_SOCKET as u64, libc::SO_REUSEADDR as u64],
    [libc::SOL_SOCKET as u64, libc::SO_KEEPALIVE as u64],
    [libc::SOL_SOCKET as u64, libc::SO_LINGER as u64],
    [libc::IPPROTO_TCP as u64, libc::TCP_NODELAY as u64],
    [libc::IPPROTO_TCP as u64, libc::TCP_KEEPIDLE as u64],
    [libc::IPPROTO_TCP as u64, libc::TCP_KEEPINTVL as u64],
    [libc::IPPROTO_TCP as u64, libc::TCP_KEEPCNT as u64],
    [libc::IPPROTO_TCP as u64, libc::TCP_USER_TIMEOUT as u64],
    [libc::IPPROTO_IP as u64, libc::IP_TTL as u64],
    [libc::IPPROTO_IP as u64, libc::IP_RECVERR as u64],
    [libc::IPPROTO_IPV6 as u64, libc::IPV6_V6ONLY as u64],
    [libc::IPPROTO_IPV6 as u64, libc::IPV6_RECVERR as u64],
];

/// `network`: connections to others over TCP and UDP.
#[rustfmt::skip]
pub(super) const NETWORK: &[Entry<'static>] = &[
    (sys!(socket), Rule::Pairs { arguments: [0, 1], masks: [INT, SOCKET_TYPE], pairs: SOCKETS, otherwise: Action::Errno(libc::EAFNOSUPPORT) }), // TCP and UDP
    (sys!(connect), ALLOW), // connect
    (sys!(bind), ALLOW), // UDP needs it; nobody can connect without listen
    (sys!(listen), EPERM), // functions offer no services
    (sys!(accept), EPERM), // functions offer no services
    (sys!(accept4), EPERM), // functions offer no services
    (sys!(getsockname), ALLOW), // ask
    (sys!(getpeername), ALLOW), // ask
    (sys!(shutdown), ALLOW), // close half
    (sys!(sendmsg), ALLOW), // send
    (sys!(sendmmsg), ALLOW), // glibc's resolver sends both questions at once
    (sys!(recvmsg), ALLOW), // receive
    (sys!(x86_64 ppoll), ALLOW), // wait for descriptors
    (sys!(setsockopt), Rule::Pairs { arguments: [1, 2], masks: [INT, INT], pairs: SETSOCKOPT, otherwise: Action::Errno(libc::ENOPROTOOPT) }), // buffers, timeouts, keep-alive
];

/// Of [`NETWORK`], what the child filter would take from a child without it.
#[rustfmt::skip]
pub(super) const NETWORK_IN_CHILD: &[Entry<'static>] = &[
    (sys!(sendmsg), ALLOW), // send
    (sys!(recvmsg), ALLOW), // receive
];

/// `processes`: copies of the function's own process. There is nothing to execute in a sandbox.
#[rustfmt::skip]
pub(super) const PROCESSES_IN_PACKAGE: &[Entry<'static>] = &[
    (sys!(clone), Rule::OneOf { argument: 0, mask: u64::MAX, values: &[THREAD, CHILD_FORK, FORK, GLIBC_FORK, VFORK], otherwise: Action::Errno(libc::EPERM) }), // threads and processes
    (sys!(x86_64 fork), ALLOW), // a copy
    (sys!(x86_64 vfork), ALLOW), // a copy
    (sys!(wait4), ALLOW), // how a copy ended
    (sys!(waitid), ALLOW), // how a copy ended
];

/// The same in a child: without the zygote's way.
#[rustfmt::skip]
pub(super) const PROCESSES_IN_CHILD: &[Entry<'static>] = &[
    (sys!(clone), Rule::OneOf { argument: 0, mask: u64::MAX, values: &[THREAD, FORK, GLIBC_FORK, VFORK], otherwise: Action::Errno(libc::EPERM) }), // threads and processes
];
