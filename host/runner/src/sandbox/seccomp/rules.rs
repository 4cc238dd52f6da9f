//! The rules, as data: one line a system call, with what it is for.
//!
//! What stands in no list is told to init, which kills: it ends as `PolicyViolation`.

use super::filter::{Action, Entry, Rule};

const ALLOW: Rule<'static> = Rule::Always(Action::Allow);
const EPERM: Rule<'static> = Rule::Always(Action::Errno(libc::EPERM));
const ENOSYS: Rule<'static> = Rule::Always(Action::Errno(libc::ENOSYS));
const EAFNOSUPPORT: Rule<'static> = Rule::Always(Action::Errno(libc::EAFNOSUPPORT));

/// An argument that the kernel takes as an `int`: the upper half does not count.
const INT: u64 = u32::MAX as u64;
/// The flags with which glibc's pthread_create calls clone, and nothing else.
const THREAD: u64 = (libc::CLONE_VM
    | libc::CLONE_FS
    | libc::CLONE_FILES
    | libc::CLONE_SYSVSEM
    | libc::CLONE_SIGHAND
    | libc::CLONE_THREAD
    | libc::CLONE_SETTLS
    | libc::CLONE_PARENT_SETTID
    | libc::CLONE_CHILD_CLEARTID) as u64;
/// The flags with which the zygote forks a child.
pub(crate) const CHILD_FORK: u64 = (libc::CLONE_PARENT | libc::CLONE_PARENT_SETTID | libc::SIGCHLD) as u64;
/// linux/prctl.h; names anonymous mappings for `/proc/PID/maps`.
const PR_SET_VMA: u64 = 0x5356_4d41;

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

/// Stands before [`PACKAGE`] where no cgroup counts memory: shared anonymous memory is no data of the
/// process, so `RLIMIT_DATA` does not hold it.
#[rustfmt::skip]
pub(super) const WITHOUT_MEMORY_CGROUP: &[Entry<'static>] = &[
    (libc::SYS_mmap, Rule::OneOf { argument: 3, mask: SHARED_ANONYMOUS, values: &[0, libc::MAP_SHARED as u64, libc::MAP_ANONYMOUS as u64], otherwise: Action::Errno(libc::ENOMEM) }), // one or the other
];

/// Holds from before the plugin is loaded.
#[rustfmt::skip]
pub(super) const PACKAGE: &[Entry<'static>] = &[
    // Memory.
    (libc::SYS_mmap, ALLOW), // map memory and files
    (libc::SYS_munmap, ALLOW), // unmap
    (libc::SYS_mprotect, ALLOW), // change protection; new executable memory is refused in children
    (libc::SYS_mremap, ALLOW), // realloc of large blocks
    (libc::SYS_brk, ALLOW), // malloc's heap
    (libc::SYS_madvise, ALLOW), // give memory back; advice cannot harm
    (libc::SYS_mincore, ALLOW), // std's stack probing in some allocators
    (libc::SYS_msync, ALLOW), // flush a mapped file
    // Waiting and waking.
    (libc::SYS_futex, ALLOW), // every lock
    #[cfg(target_arch = "x86_64")] (libc::SYS_poll, ALLOW), // wait for descriptors
    (libc::SYS_ppoll, ALLOW), // wait for descriptors
    #[cfg(target_arch = "x86_64")] (libc::SYS_select, ALLOW), // wait for descriptors
    (libc::SYS_pselect6, ALLOW), // wait for descriptors
    (libc::SYS_epoll_create1, ALLOW), // event loops
    (libc::SYS_epoll_ctl, ALLOW), // event loops
    #[cfg(target_arch = "x86_64")] (libc::SYS_epoll_wait, ALLOW), // event loops
    (libc::SYS_epoll_pwait, ALLOW), // event loops
    (libc::SYS_epoll_pwait2, ALLOW), // event loops
    (libc::SYS_eventfd2, ALLOW), // wakers of event loops
    (libc::SYS_timerfd_create, ALLOW), // timers of event loops
    (libc::SYS_timerfd_settime, ALLOW), // timers of event loops
    (libc::SYS_timerfd_gettime, ALLOW), // timers of event loops
    (libc::SYS_signalfd4, ALLOW), // signals as events; only its own
    #[cfg(target_arch = "x86_64")] (libc::SYS_pause, ALLOW), // wait for a signal
    // Files that are open, and files in the slot's own folder.
    (libc::SYS_read, ALLOW), // read
    (libc::SYS_write, ALLOW), // write
    (libc::SYS_readv, ALLOW), // read
    (libc::SYS_writev, ALLOW), // write
    (libc::SYS_pread64, ALLOW), // read
    (libc::SYS_pwrite64, ALLOW), // write
    (libc::SYS_preadv, ALLOW), // read
    (libc::SYS_pwritev, ALLOW), // write
    (libc::SYS_preadv2, ALLOW), // read
    (libc::SYS_pwritev2, ALLOW), // write
    (libc::SYS_lseek, ALLOW), // seek
    #[cfg(target_arch = "x86_64")] (libc::SYS_open, ALLOW), // open; the tree holds nothing of the host
    (libc::SYS_openat, ALLOW), // open; the tree holds nothing of the host
    (libc::SYS_close, ALLOW), // close
    (libc::SYS_close_range, ALLOW), // close many
    #[cfg(target_arch = "x86_64")] (libc::SYS_stat, ALLOW), // look up
    #[cfg(target_arch = "x86_64")] (libc::SYS_lstat, ALLOW), // look up
    (libc::SYS_fstat, ALLOW), // look up
    (libc::SYS_newfstatat, ALLOW), // look up
    (libc::SYS_statx, ALLOW), // look up
    #[cfg(target_arch = "x86_64")] (libc::SYS_access, ALLOW), // look up
    (libc::SYS_faccessat, ALLOW), // look up
    (libc::SYS_faccessat2, ALLOW), // look up
    #[cfg(target_arch = "x86_64")] (libc::SYS_readlink, ALLOW), // look up
    (libc::SYS_readlinkat, ALLOW), // look up
    (libc::SYS_getdents64, ALLOW), // list a folder
    (libc::SYS_getcwd, ALLOW), // where it is
    (libc::SYS_chdir, ALLOW), // move within the tree
    (libc::SYS_fchdir, ALLOW), // move within the tree
    #[cfg(target_arch = "x86_64")] (libc::SYS_mkdir, ALLOW), // make a folder
    (libc::SYS_mkdirat, ALLOW), // make a folder
    #[cfg(target_arch = "x86_64")] (libc::SYS_rmdir, ALLOW), // remove
    #[cfg(target_arch = "x86_64")] (libc::SYS_unlink, ALLOW), // remove
    (libc::SYS_unlinkat, ALLOW), // remove
    #[cfg(target_arch = "x86_64")] (libc::SYS_rename, ALLOW), // rename
    (libc::SYS_renameat, ALLOW), // rename
    (libc::SYS_renameat2, ALLOW), // rename
    #[cfg(target_arch = "x86_64")] (libc::SYS_link, ALLOW), // hard link within the folder
    (libc::SYS_linkat, ALLOW), // hard link within the folder
    #[cfg(target_arch = "x86_64")] (libc::SYS_symlink, ALLOW), // symbolic link within the tree
    (libc::SYS_symlinkat, ALLOW), // symbolic link within the tree
    (libc::SYS_truncate, ALLOW), // change a size
    (libc::SYS_ftruncate, ALLOW), // change a size
    (libc::SYS_fallocate, ALLOW), // reserve room; the tmpfs bounds it
    (libc::SYS_fsync, ALLOW), // flush
    (libc::SYS_fdatasync, ALLOW), // flush
    (libc::SYS_sync_file_range, ALLOW), // flush
    (libc::SYS_flock, ALLOW), // lock
    (libc::SYS_dup, ALLOW), // duplicate
    #[cfg(target_arch = "x86_64")] (libc::SYS_dup2, ALLOW), // duplicate
    (libc::SYS_dup3, ALLOW), // duplicate
    #[cfg(target_arch = "x86_64")] (libc::SYS_pipe, ALLOW), // pipe within the process
    (libc::SYS_pipe2, ALLOW), // pipe within the process
    (libc::SYS_umask, ALLOW), // mode of new files
    #[cfg(target_arch = "x86_64")] (libc::SYS_chmod, ALLOW), // mode of its own files
    (libc::SYS_fchmod, ALLOW), // mode of its own files
    (libc::SYS_fchmodat, ALLOW), // mode of its own files
    (libc::SYS_utimensat, ALLOW), // times of its own files
    (libc::SYS_copy_file_range, ALLOW), // copy
    (libc::SYS_sendfile, ALLOW), // copy
    (libc::SYS_splice, ALLOW), // copy
    (libc::SYS_statfs, ALLOW), // room left
    (libc::SYS_fstatfs, ALLOW), // room left
    (libc::SYS_fadvise64, ALLOW), // advice
    (libc::SYS_readahead, ALLOW), // advice
    // Signals. Whom they may reach is said by the child filter.
    (libc::SYS_rt_sigaction, ALLOW), // handlers
    (libc::SYS_rt_sigprocmask, ALLOW), // masks
    (libc::SYS_rt_sigreturn, ALLOW), // return from a handler
    (libc::SYS_rt_sigpending, ALLOW), // ask
    (libc::SYS_rt_sigsuspend, ALLOW), // wait
    (libc::SYS_rt_sigtimedwait, ALLOW), // wait
    (libc::SYS_sigaltstack, ALLOW), // std's overflow detection
    (libc::SYS_kill, ALLOW), // raise
    (libc::SYS_tkill, ALLOW), // raise; its thread is named by number alone, so the child filter refuses it
    (libc::SYS_tgkill, ALLOW), // abort and pthread_kill
    #[cfg(target_arch = "x86_64")] (libc::SYS_alarm, ALLOW), // timer signals to itself
    (libc::SYS_setitimer, ALLOW), // timer signals to itself
    (libc::SYS_getitimer, ALLOW), // timer signals to itself
    (libc::SYS_timer_create, ALLOW), // timer signals to itself
    (libc::SYS_timer_settime, ALLOW), // timer signals to itself
    (libc::SYS_timer_gettime, ALLOW), // timer signals to itself
    (libc::SYS_timer_getoverrun, ALLOW), // timer signals to itself
    (libc::SYS_timer_delete, ALLOW), // timer signals to itself
    (libc::SYS_restart_syscall, ALLOW), // the kernel's own, after a stop
    // Threads and the process itself.
    (libc::SYS_set_robust_list, ALLOW), // new thread
    (libc::SYS_get_robust_list, ALLOW), // debuggers of locks
    (libc::SYS_rseq, ALLOW), // new thread
    (libc::SYS_set_tid_address, ALLOW), // new thread
    (libc::SYS_gettid, ALLOW), // who it is
    (libc::SYS_getpid, ALLOW), // who it is
    (libc::SYS_getppid, ALLOW), // who it is
    #[cfg(target_arch = "x86_64")] (libc::SYS_getpgrp, ALLOW), // who it is
    (libc::SYS_getpgid, ALLOW), // who it is
    (libc::SYS_getsid, ALLOW), // who it is
    (libc::SYS_getuid, ALLOW), // who it is
    (libc::SYS_geteuid, ALLOW), // who it is
    (libc::SYS_getgid, ALLOW), // who it is
    (libc::SYS_getegid, ALLOW), // who it is
    (libc::SYS_getresuid, ALLOW), // who it is
    (libc::SYS_getresgid, ALLOW), // who it is
    (libc::SYS_getgroups, ALLOW), // who it is
    (libc::SYS_exit, ALLOW), // end of a thread
    (libc::SYS_exit_group, ALLOW), // end of the process
    (libc::SYS_sched_yield, ALLOW), // give way
    (libc::SYS_sched_getaffinity, ALLOW), // available_parallelism
    (libc::SYS_sched_getparam, ALLOW), // pthread_getattr
    (libc::SYS_sched_getscheduler, ALLOW), // pthread_getattr
    (libc::SYS_sched_get_priority_min, ALLOW), // pthread_getattr
    (libc::SYS_sched_get_priority_max, ALLOW), // pthread_getattr
    (libc::SYS_getpriority, ALLOW), // ask
    (libc::SYS_getcpu, ALLOW), // which core
    (libc::SYS_membarrier, ALLOW), // fences of lock-free crates
    (libc::SYS_uname, ALLOW), // which kernel
    (libc::SYS_sysinfo, ALLOW), // how much memory
    (libc::SYS_getrlimit, ALLOW), // ask
    (libc::SYS_setrlimit, ALLOW), // the child's own set-up; refused afterwards
    (libc::SYS_prlimit64, ALLOW), // the child's own set-up; reading only afterwards
    (libc::SYS_getrusage, ALLOW), // what was used
    (libc::SYS_times, ALLOW), // what was used
    (libc::SYS_landlock_create_ruleset, ALLOW), // the zygote's set-up; refused afterwards
    (libc::SYS_landlock_add_rule, ALLOW), // the zygote's set-up; refused afterwards
    (libc::SYS_landlock_restrict_self, ALLOW), // the child's set-up; refused afterwards
    (libc::SYS_seccomp, ALLOW), // the child's set-up; refused afterwards
    (libc::SYS_setpgid, ALLOW), // the child's set-up; refused afterwards
    (libc::SYS_getrandom, ALLOW), // randomness
    // Clocks.
    (libc::SYS_clock_gettime, ALLOW), // time
    (libc::SYS_clock_getres, ALLOW), // time
    (libc::SYS_clock_nanosleep, ALLOW), // sleep
    (libc::SYS_nanosleep, ALLOW), // sleep
    (libc::SYS_gettimeofday, ALLOW), // time
    #[cfg(target_arch = "x86_64")] (libc::SYS_time, ALLOW), // time
    // Socket pairs; what is made by socketpair cannot reach anybody else.
    (libc::SYS_sendto, ALLOW), // send
    (libc::SYS_recvfrom, ALLOW), // receive
    (libc::SYS_sendmsg, ALLOW), // send
    (libc::SYS_recvmsg, ALLOW), // receive
    (libc::SYS_shutdown, ALLOW), // close half
    (libc::SYS_getsockname, ALLOW), // ask
    (libc::SYS_getpeername, ALLOW), // ask
    // By argument.
    (libc::SYS_clone, Rule::OneOf { argument: 0, mask: u64::MAX, values: &[THREAD, CHILD_FORK], otherwise: Action::Errno(libc::EPERM) }), // threads, and the zygote's children
    (libc::SYS_socketpair, Rule::OneOf { argument: 0, mask: INT, values: &[libc::AF_UNIX as u64], otherwise: Action::Errno(libc::EAFNOSUPPORT) }), // pipes both ways
    (libc::SYS_prctl, Rule::OneOf { argument: 0, mask: INT, values: &[libc::PR_SET_NAME as u64, libc::PR_GET_NAME as u64, PR_SET_VMA], otherwise: Action::Errno(libc::EPERM) }), // names of threads and mappings
    (libc::SYS_ioctl, Rule::OneOf { argument: 1, mask: INT, values: &[libc::TCGETS, libc::FIONREAD, libc::FIONBIO, libc::FIOCLEX, libc::FIONCLEX], otherwise: Action::Errno(libc::ENOTTY) }), // isatty, bytes ready, non-blocking
    (libc::SYS_fcntl, Rule::OneOf { argument: 1, mask: INT, values: FCNTL, otherwise: Action::Errno(libc::EPERM) }), // flags, locks, duplicates
    (libc::SYS_getsockopt, Rule::OneOf { argument: 2, mask: INT, values: GETSOCKOPT, otherwise: Action::Errno(libc::ENOPROTOOPT) }), // ask
    (libc::SYS_setsockopt, Rule::OneOf { argument: 2, mask: INT, values: SETSOCKOPT, otherwise: Action::Errno(libc::ENOPROTOOPT) }), // buffers and timeouts
    // Making processes.
    #[cfg(target_arch = "x86_64")] (libc::SYS_fork, EPERM),
    #[cfg(target_arch = "x86_64")] (libc::SYS_vfork, EPERM),
    (libc::SYS_execve, EPERM),
    (libc::SYS_execveat, EPERM),
    // Newer calls with an older way to the same end, so that callers fall back.
    (libc::SYS_clone3, ENOSYS),
    (libc::SYS_openat2, ENOSYS),
    (libc::SYS_pidfd_open, ENOSYS),
    (libc::SYS_pidfd_send_signal, ENOSYS),
    (libc::SYS_pidfd_getfd, ENOSYS),
    (libc::SYS_io_uring_setup, ENOSYS),
    (libc::SYS_io_uring_enter, ENOSYS),
    (libc::SYS_io_uring_register, ENOSYS),
    (libc::SYS_process_vm_readv, ENOSYS),
    (libc::SYS_memfd_create, ENOSYS),
    (libc::SYS_memfd_secret, ENOSYS),
    (libc::SYS_inotify_init1, ENOSYS),
    #[cfg(target_arch = "x86_64")] (libc::SYS_inotify_init, ENOSYS),
    (libc::SYS_fanotify_init, ENOSYS),
    (libc::SYS_process_madvise, ENOSYS),
    (libc::SYS_mseal, ENOSYS),
    (libc::SYS_futex_waitv, ENOSYS),
    // The network: there is none.
    (libc::SYS_socket, EAFNOSUPPORT),
    // What an ordinary user may not do either, so that callers expect the answer.
    (libc::SYS_mlock, EPERM),
    (libc::SYS_mlock2, EPERM),
    (libc::SYS_mlockall, EPERM),
    (libc::SYS_sched_setscheduler, EPERM),
    (libc::SYS_sched_setparam, EPERM),
    (libc::SYS_sched_setattr, EPERM),
    (libc::SYS_sched_setaffinity, EPERM),
    (libc::SYS_setpriority, EPERM),
    (libc::SYS_ioprio_set, EPERM),
    (libc::SYS_setuid, EPERM),
    (libc::SYS_setgid, EPERM),
    (libc::SYS_setreuid, EPERM),
    (libc::SYS_setregid, EPERM),
    (libc::SYS_setresuid, EPERM),
    (libc::SYS_setresgid, EPERM),
    (libc::SYS_setgroups, EPERM),
    (libc::SYS_setsid, EPERM),
    #[cfg(target_arch = "x86_64")] (libc::SYS_chown, EPERM),
    (libc::SYS_fchown, EPERM),
    #[cfg(target_arch = "x86_64")] (libc::SYS_lchown, EPERM),
    (libc::SYS_fchownat, EPERM),
    #[cfg(target_arch = "x86_64")] (libc::SYS_mknod, EPERM),
    (libc::SYS_mknodat, EPERM),
    (libc::SYS_chroot, EPERM),
    (libc::SYS_setxattr, EPERM),
    (libc::SYS_fsetxattr, EPERM),
    (libc::SYS_rt_sigqueueinfo, EPERM),
    (libc::SYS_rt_tgsigqueueinfo, EPERM),
];

/// Holds in a child, on top of [`PACKAGE`]: takes what only zygote and set-up need.
#[rustfmt::skip]
pub(super) const CHILD: &[Entry<'static>] = &[
    (libc::SYS_clone, Rule::OneOf { argument: 0, mask: u64::MAX, values: &[THREAD], otherwise: Action::Errno(libc::EPERM) }), // threads only
    (libc::SYS_mmap, Rule::OneOf { argument: 2, mask: libc::PROT_EXEC as u64, values: &[0], otherwise: Action::Errno(libc::EPERM) }), // no new code
    (libc::SYS_mprotect, Rule::OneOf { argument: 2, mask: libc::PROT_EXEC as u64, values: &[0], otherwise: Action::Errno(libc::EPERM) }), // no new code
    (libc::SYS_prlimit64, Rule::OneOf { argument: 2, mask: u64::MAX, values: &[0], otherwise: Action::Errno(libc::EPERM) }), // reading only
    (libc::SYS_setrlimit, EPERM),
    (libc::SYS_seccomp, EPERM),
    (libc::SYS_setpgid, EPERM),
    (libc::SYS_landlock_create_ruleset, EPERM),
    (libc::SYS_landlock_add_rule, EPERM),
    (libc::SYS_landlock_restrict_self, EPERM),
    (libc::SYS_tkill, EPERM),
];

/// Signals to the processes with these pids and no others.
pub(super) fn signals_to_only(pids: &[u64]) -> [Entry<'_>; 2] {
    let rule = Rule::OneOf { argument: 0, mask: INT, values: pids, otherwise: Action::Errno(libc::EPERM) };
    [(libc::SYS_kill, rule), (libc::SYS_tgkill, rule)]
}
