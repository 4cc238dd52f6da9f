//! What every function may do: at most 90 system calls, eight of which x86_64 has in two forms. glibc makes the
//! older and rustix the newer, so both are here.

use super::super::arch::{Call, sys};
use super::super::filter::{Action, Entry, Rule};
use super::{ALLOW, INT};

/// The flags with which glibc's pthread_create calls clone, and nothing else.
pub(super) const THREAD: u64 = (libc::CLONE_VM
    | libc::CLONE_FS
    | libc::CLONE_FILES
    | libc::CLONE_SYSVSEM
    | libc::CLONE_SIGHAND
    | libc::CLONE_THREAD
    | libc::CLONE_SETTLS
    | libc::CLONE_PARENT_SETTID
    | libc::CLONE_CHILD_CLEARTID) as u64;
/// linux/prctl.h; names anonymous mappings for `/proc/PID/maps`.
const PR_SET_VMA: u64 = 0x5356_4d41;
/// `SOCK_TYPE_MASK`, linux/net.h: without `SOCK_NONBLOCK` and `SOCK_CLOEXEC`.
pub(super) const SOCKET_TYPE: u64 = 0xF;

/// Commands of fcntl(2). Not among them: `F_SETOWN` and `F_SETSIG`, with which the kernel signals others
/// on a process's behalf, and `F_SETPIPE_SZ`, which an earlier call of a slot would leave to the next and
/// whose pages count towards all pipes of the host's user.
const FCNTL: &[u64] = &[
    libc::F_DUPFD as u64,
    libc::F_DUPFD_CLOEXEC as u64,
    libc::F_GETFD as u64,
    libc::F_SETFD as u64,
    libc::F_GETFL as u64,
    libc::F_SETFL as u64,
    libc::F_GETLK as u64,
    libc::F_SETLK as u64,
    libc::F_SETLKW as u64,
    libc::F_OFD_GETLK as u64,
    libc::F_OFD_SETLK as u64,
    libc::F_OFD_SETLKW as u64,
    libc::F_GETPIPE_SZ as u64,
    libc::F_GET_SEALS as u64,
];
/// Options of socket(7) to ask for. Not among them: `SO_PEERPIDFD`, which gives a hold of the host.
const GETSOCKOPT: &[u64] = &[
    libc::SO_TYPE as u64,
    libc::SO_ERROR as u64,
    libc::SO_DOMAIN as u64,
    libc::SO_PROTOCOL as u64,
    libc::SO_ACCEPTCONN as u64,
    libc::SO_PEERCRED as u64,
    libc::SO_SNDBUF as u64,
    libc::SO_RCVBUF as u64,
    libc::SO_SNDTIMEO as u64,
    libc::SO_RCVTIMEO as u64,
];
/// Options of socket(7) to set. Not among them: `SO_PASSCRED`, which gives a socket a name that others
/// can send to, unix(7), and `SO_ATTACH_FILTER`, which brings a program into the kernel.
const SETSOCKOPT: &[u64] =
    &[libc::SO_SNDBUF as u64, libc::SO_RCVBUF as u64, libc::SO_SNDTIMEO as u64, libc::SO_RCVTIMEO as u64];
/// Mappings that are shared and of no file.
const SHARED_ANONYMOUS: u64 = (libc::MAP_SHARED | libc::MAP_ANONYMOUS) as u64;

/// Stands first where no cgroup counts memory: shared anonymous memory is no data of the process, so
/// `RLIMIT_DATA` does not hold it.
#[rustfmt::skip]
pub(super) const WITHOUT_MEMORY_CGROUP: &[Entry<'static>] = &[
    (sys!(mmap), Rule::OneOf { argument: 3, mask: SHARED_ANONYMOUS, values: &[0, libc::MAP_SHARED as u64, libc::MAP_ANONYMOUS as u64], otherwise: Action::Errno(libc::ENOMEM) }), // one or the other
];

/// What every function may do. Where an architecture has an older and a newer call for one thing, the one
/// that glibc makes is here.
#[rustfmt::skip]
pub(super) const PLAIN: &[Entry<'static>] = &[
    // Memory.
    (sys!(mmap), ALLOW), // map memory and files
    (sys!(munmap), ALLOW), // unmap
    (sys!(mprotect), ALLOW), // change protection; new executable memory is refused in children
    (sys!(mremap), ALLOW), // realloc of large blocks
    (sys!(brk), ALLOW), // malloc's heap
    (sys!(madvise), ALLOW), // give memory back; advice cannot harm
    (sys!(msync), ALLOW), // flush a mapped file
    // Waiting and waking.
    (sys!(futex), ALLOW), // every lock
    (sys!(x86_64 poll), ALLOW), // wait for descriptors
    (sys!(ppoll), ALLOW), // wait for descriptors
    (sys!(epoll_create1), ALLOW), // event loops
    (sys!(epoll_ctl), ALLOW), // event loops
    (sys!(x86_64 epoll_wait), ALLOW), // event loops
    (sys!(epoll_pwait), ALLOW), // event loops
    (sys!(eventfd2), ALLOW), // wakers of event loops
    // Files that are open, and files in the slot's own folder.
    (sys!(read), ALLOW), // read
    (sys!(write), ALLOW), // write
    (sys!(readv), ALLOW), // read
    (sys!(writev), ALLOW), // write
    (sys!(pread64), ALLOW), // read
    (sys!(pwrite64), ALLOW), // write
    (sys!(lseek), ALLOW), // seek
    (sys!(openat), ALLOW), // open; the tree holds nothing of the host
    (sys!(close), ALLOW), // close
    (sys!(fstat), ALLOW), // look up
    (sys!(x86_64 newfstatat), ALLOW), // look up
    (sys!(aarch64 fstatat), ALLOW), // look up
    (sys!(statx), ALLOW), // look up
    (sys!(x86_64 access), ALLOW), // look up
    (sys!(faccessat), ALLOW), // look up
    (sys!(x86_64 readlink), ALLOW), // look up
    (sys!(readlinkat), ALLOW), // look up
    (sys!(getdents64), ALLOW), // list a folder
    (sys!(getcwd), ALLOW), // where it is
    (sys!(chdir), ALLOW), // move within the tree
    (sys!(x86_64 mkdir), ALLOW), // make a folder
    (sys!(mkdirat), ALLOW), // make a folder
    (sys!(x86_64 rmdir), ALLOW), // remove
    (sys!(x86_64 unlink), ALLOW), // remove
    (sys!(unlinkat), ALLOW), // remove
    (sys!(x86_64 rename), ALLOW), // rename
    (sys!(renameat), ALLOW), // rename
    (sys!(linkat), ALLOW), // hard link within the folder
    (sys!(x86_64 symlink), ALLOW), // symbolic link within the tree
    (sys!(symlinkat), ALLOW), // symbolic link within the tree
    (sys!(ftruncate), ALLOW), // change a size
    (sys!(fallocate), ALLOW), // reserve room; the tmpfs bounds it
    (sys!(fsync), ALLOW), // flush
    (sys!(fdatasync), ALLOW), // flush
    (sys!(flock), ALLOW), // lock
    (sys!(dup), ALLOW), // duplicate
    (sys!(x86_64 dup2), ALLOW), // duplicate
    (sys!(dup3), ALLOW), // duplicate
    (sys!(pipe2), ALLOW), // pipe within the process
    (sys!(x86_64 chmod), ALLOW), // mode of its own files
    (sys!(fchmodat), ALLOW), // mode of its own files
    (sys!(fchmod), ALLOW), // mode of its own files
    (sys!(utimensat), ALLOW), // times of its own files
    (sys!(copy_file_range), ALLOW), // copy
    (sys!(sendfile), ALLOW), // copy
    // Signals. Whom they may reach is said by the child filter.
    (sys!(rt_sigaction), ALLOW), // handlers
    (sys!(rt_sigprocmask), ALLOW), // masks
    (sys!(rt_sigreturn), ALLOW), // return from a handler
    (sys!(sigaltstack), ALLOW), // std's overflow detection
    (sys!(kill), ALLOW), // raise
    (sys!(tgkill), ALLOW), // abort and pthread_kill
    (sys!(setitimer), ALLOW), // timer signals to itself, as profilers do
    (sys!(restart_syscall), ALLOW), // the kernel's own, after a stop
    // Threads and the process itself.
    (sys!(clone), Rule::OneOf { argument: 0, mask: u64::MAX, values: &[THREAD], otherwise: Action::Errno(libc::EPERM) }), // threads
    (sys!(set_robust_list), ALLOW), // new thread
    (sys!(rseq), ALLOW), // new thread
    (sys!(gettid), ALLOW), // who it is
    (sys!(getpid), ALLOW), // who it is
    (sys!(getppid), ALLOW), // who it is
    (sys!(getuid), ALLOW), // who it is
    (sys!(geteuid), ALLOW), // who it is
    (sys!(getgid), ALLOW), // who it is
    (sys!(getegid), ALLOW), // who it is
    (sys!(exit), ALLOW), // end of a thread
    (sys!(exit_group), ALLOW), // end of the process
    (sys!(sched_yield), ALLOW), // give way
    (sys!(sched_getaffinity), ALLOW), // available_parallelism
    (sys!(uname), ALLOW), // which kernel
    (sys!(sysinfo), ALLOW), // how much memory; glibc's qsort asks
    (sys!(prlimit64), ALLOW), // ask; setting is taken from children
    (sys!(getrusage), ALLOW), // what was used
    (sys!(getrandom), ALLOW), // randomness
    // Clocks.
    (sys!(clock_gettime), ALLOW), // time, where the vDSO does not tell
    (sys!(clock_nanosleep), ALLOW), // sleep
    (sys!(gettimeofday), ALLOW), // time, where the vDSO does not tell
    // Socket pairs; what is made by socketpair cannot reach anybody else. A datagram could be sent on to
    // any name.
    (sys!(socketpair), Rule::Pairs { arguments: [0, 1], masks: [INT, SOCKET_TYPE], pairs: &[[libc::AF_UNIX as u64, libc::SOCK_STREAM as u64]], otherwise: Action::Errno(libc::EAFNOSUPPORT) }), // pipes both ways
    (sys!(sendto), ALLOW), // send
    (sys!(recvfrom), ALLOW), // receive
    (sys!(getsockopt), Rule::OneOf { argument: 2, mask: INT, values: GETSOCKOPT, otherwise: Action::Errno(libc::ENOPROTOOPT) }), // ask
    (sys!(setsockopt), Rule::OneOf { argument: 2, mask: INT, values: SETSOCKOPT, otherwise: Action::Errno(libc::ENOPROTOOPT) }), // buffers and timeouts
    // By argument.
    (sys!(prctl), Rule::OneOf { argument: 0, mask: INT, values: &[libc::PR_SET_NAME as u64, libc::PR_GET_NAME as u64, PR_SET_VMA], otherwise: Action::Errno(libc::EPERM) }), // names of threads and mappings
    (sys!(ioctl), Rule::OneOf { argument: 1, mask: INT, values: &[libc::TCGETS, libc::FIONREAD, libc::FIONBIO, libc::FIOCLEX, libc::FIONCLEX], otherwise: Action::Errno(libc::ENOTTY) }), // isatty, bytes ready, non-blocking
    (sys!(fcntl), Rule::OneOf { argument: 1, mask: INT, values: FCNTL, otherwise: Action::Errno(libc::EPERM) }), // flags, locks, duplicates
];

/// Holds in a child that was not granted `jit`.
#[rustfmt::skip]
pub(super) const NO_NEW_CODE: &[Entry<'static>] = &[
    (sys!(mmap), Rule::OneOf { argument: 2, mask: libc::PROT_EXEC as u64, values: &[0], otherwise: Action::Errno(libc::EPERM) }), // no new code
    (sys!(mprotect), Rule::OneOf { argument: 2, mask: libc::PROT_EXEC as u64, values: &[0], otherwise: Action::Errno(libc::EPERM) }), // no new code
];

/// Signals to the process with this pid and no other.
pub(super) fn signals_to_only(pid: &[u64; 1]) -> [Entry<'_>; 2] {
    let rule = Rule::OneOf { argument: 0, mask: INT, values: pid, otherwise: Action::Errno(libc::EPERM) };
    [(sys!(kill), rule), (sys!(tgkill), rule)]
}
