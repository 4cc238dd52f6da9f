//! Starting a runner: executes the launcher, takes init over from it, and waits until the plugin is
//! loaded. What goes wrong on the way is told apart as the platform's doing or the package's.

use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use bulkhead_protocol::limits::Limits;
use bulkhead_protocol::outcome::Outcome;
use bulkhead_protocol::packet;
use bulkhead_protocol::runner_message::{ExitStatus, InitReport, ProcessEnd, Setup, ZygoteReport};
use nix::errno::Errno;
use nix::sys::signal::Signal;
use nix::sys::wait::{Id, WaitPidFlag, waitid};
use nix::unistd::Pid;
use tokio::io::unix::AsyncFd;

use super::attest::{check_zygote, zygote_status};
use super::cgroup::{Cgroups, Leaf, RunnerCgroup};
use super::host_ids::{HostIdPool, LeasedIds};
use super::library_cache::Library;
use super::open_files;
use super::packet_socket::PacketSocket;
use super::reactor::watch;
use super::syscall_name;

/// How long a package may take to load: its load-time code runs then.
const LOAD_TIMEOUT: Duration = Duration::from_secs(10);

/// What is the same for every runner of an executor.
pub(super) struct Launcher {
    /// The runner's executable.
    pub(super) runner: PathBuf,
    /// Where groups are made.
    pub(super) cgroups: Cgroups,
    /// Whom sandboxes run as.
    pub(super) ids: HostIdPool,
}

/// What a runner is started for.
pub(super) struct Purpose<'a> {
    /// What to load.
    pub(super) library: &'a Library,
    /// What one call may use.
    pub(super) limits: &'a Limits,
    /// Whether children serve many calls.
    pub(super) reuse: bool,
    /// Slots that may be attached.
    pub(super) slots: u32,
    /// A name that no other living runner of this process has.
    pub(super) name: &'a str,
}

/// A runner whose plugin is loaded.
pub(super) struct Started {
    /// To init.
    pub(super) control: PacketSocket,
    /// To the zygote.
    pub(super) zygote: PacketSocket,
    /// What there is to end.
    pub(super) sandbox: Sandbox,
    /// Whether refused system calls are told to init.
    pub(super) supervised: bool,
}

/// A living sandbox and what it holds of the host, until [`Sandbox::end`].
pub(super) struct Sandbox {
    init: InitProcess,
    cgroup: Option<RunnerCgroup>,
    ids: LeasedIds,
}

/// Init, a child of this process.
struct InitProcess {
    pidfd: AsyncFd<OwnedFd>,
}

fn platform(step: &str, errno: Errno) -> Outcome {
    Outcome::SetupFailed { step: step.to_owned(), errno: errno as i32 }
}

fn platform_io(step: &str, error: &std::io::Error) -> Outcome {
    Outcome::SetupFailed { step: step.to_owned(), errno: error.raw_os_error().unwrap_or(0) }
}

impl Launcher {
    /// Starts a runner and waits until its plugin is loaded.
    ///
    /// # Errors
    /// `SetupFailed` where the platform is to blame, `LoadFailed` where the package is.
    pub(super) async fn start(&self, purpose: Purpose<'_>) -> Result<Started, Outcome> {
        let mut started = self.begin(purpose).await?;
        let loaded = tokio::time::timeout(LOAD_TIMEOUT, wait_until_loaded(&mut started)).await;
        let failure = match loaded {
            Ok(Ok(())) => match check_zygote(started.sandbox.init.pidfd.as_raw_fd()) {
                Ok(()) => return Ok(started),
                Err((step, errno)) => platform(step, errno),
            },
            Ok(Err(outcome)) => outcome,
            Err(_) => {
                let reason = format!("the library was not loaded within {} s", LOAD_TIMEOUT.as_secs());
                Outcome::LoadFailed { reason }
            }
        };
        started.sandbox.end().await;
        Err(failure)
    }

    /// Executes the runner and takes init over.
    async fn begin(&self, purpose: Purpose<'_>) -> Result<Started, Outcome> {
        open_files::check(purpose.slots, purpose.limits.open_files)
            .map_err(|shortage| platform(&format!("allow a sandbox its open files: {shortage}"), Errno::EMFILE))?;
        let ids = self.ids.lease().ok_or_else(|| platform("find free ids for a sandbox", Errno::EAGAIN))?;
        let group = |error: std::io::Error| platform_io("make a cgroup", &error);
        let wanted = self.cgroups.has_any();
        let cgroup = wanted.then(|| self.cgroups.runner(purpose.name)).transpose().map_err(group)?;
        let base = cgroup.as_ref().map(|cgroup| cgroup.base(purpose.limits.memory_bytes, purpose.slots));
        let base = base.transpose().map_err(group)?;
        let killing = base.as_ref().map_or(Ok(None), Leaf::killing_folder).map_err(group)?;
        let setup = Setup {
            library: purpose.library.path.to_string_lossy().into_owned(),
            probe: purpose.library.probe,
            preload: purpose.library.preload.clone(),
            reuse: purpose.reuse,
            slots: purpose.slots,
            limits: purpose.limits.clone(),
            memory_cgroup: self.cgroups.has_memory(),
            pids_cgroup: self.cgroups.has_pids(),
            killing_group: killing.is_some(),
            ids: ids.ids(),
        };
        let (control, zygote, group) = self.execute(&setup, base.as_ref(), killing).await?;
        let init = match receive_init(&control).await {
            Ok(init) => init,
            Err(outcome) => {
                // An init that is there all the same ends once its sockets are closed.
                drop((control, zygote));
                reap_group(group).await;
                return Err(outcome);
            }
        };
        Ok(Started { control, zygote, sandbox: Sandbox { init, cgroup, ids }, supervised: false })
    }

    /// Executes the launcher and waits for its end, by when init is a child of this process, in the
    /// process group that is returned.
    async fn execute(
        &self,
        setup: &Setup,
        base: Option<&Leaf>,
        killing: Option<File>,
    ) -> Result<(PacketSocket, PacketSocket, Pid), Outcome> {
        let pair = || PacketSocket::pair().map_err(|errno| platform("make a socket", errno));
        let ((control, runner_control), (zygote, runner_zygote)) = (pair()?, pair()?);
        let mut fds = vec![runner_zygote.as_raw_fd()];
        fds.extend(base.into_iter().flat_map(Leaf::counting).chain(&killing).map(AsRawFd::as_raw_fd));
        // The packet waits in the socket until the launcher reads it.
        packet::send(&control, setup, &fds).map_err(|errno| platform("send the set-up", errno))?;
        let runner = self.runner.clone();
        let launched = tokio::task::spawn_blocking(move || launch(&runner, runner_control)).await;
        match launched {
            Ok(Ok(group)) => Ok((control, zygote, group)),
            Ok(Err(error)) => Err(platform_io("execute the runner", &error)),
            Err(_) => Err(platform("execute the runner", Errno::EIO)),
        }
    }
}

/// Returns the process group of the launcher and of init.
fn launch(runner: &Path, control: OwnedFd) -> std::io::Result<Pid> {
    use std::os::unix::process::CommandExt;
    let mut launcher = Command::new(runner)
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::from(control))
        .stdout(Stdio::null())
        .stderr(Stdio::inherit())
        // A Ctrl-C on the terminal is for the server, which then decides what becomes of calls.
        .process_group(0)
        .spawn()?;
    // Its exit code says nothing that its report on the socket does not say better.
    launcher.wait()?;
    Ok(Pid::from_raw(launcher.id().cast_signed()))
}

/// Reaps the init of a launch that came to nothing, if it came to be: nobody has a pidfd of it.
async fn reap_group(group: Pid) {
    let reaped = tokio::task::spawn_blocking(move || waitid(Id::PGid(group), WaitPidFlag::WEXITED));
    // There is none as a rule, ECHILD.
    let _ = reaped.await;
}

/// The launcher's only packet: init's pidfd, or why there is none.
async fn receive_init(control: &PacketSocket) -> Result<InitProcess, Outcome> {
    match control.receive::<InitReport>().await {
        Ok(Some((InitReport::Started, mut fds))) if fds.len() == 1 => {
            let pidfd = watch(fds.remove(0)).map_err(|errno| platform("watch init", errno))?;
            Ok(InitProcess { pidfd })
        }
        Ok(Some((InitReport::SetupFailed { step, errno }, _))) => Err(Outcome::SetupFailed { step, errno }),
        Ok(_) => Err(platform("start init", Errno::ECHILD)),
        Err(errno) => Err(platform("start init", errno)),
    }
}

/// Init's first packet: the sandbox stands.
async fn wait_until_listening(started: &mut Started) -> Result<(), Outcome> {
    match started.control.receive::<InitReport>().await {
        Ok(Some((InitReport::Listening { supervised }, _))) => {
            started.supervised = supervised;
            Ok(())
        }
        Ok(Some((InitReport::SetupFailed { step, errno }, _))) => Err(Outcome::SetupFailed { step, errno }),
        Ok(_) => Err(platform("build the sandbox", Errno::ECHILD)),
        Err(errno) => Err(platform("build the sandbox", errno)),
    }
}

async fn wait_until_loaded(started: &mut Started) -> Result<(), Outcome> {
    wait_until_listening(started).await?;
    match started.zygote.receive::<ZygoteReport>().await {
        Ok(Some((ZygoteReport::Loaded, _))) => Ok(()),
        Ok(Some((ZygoteReport::LoadFailed { reason }, _))) => Err(Outcome::LoadFailed { reason }),
        Ok(Some((ZygoteReport::SetupFailed { step, errno }, _))) => Err(Outcome::SetupFailed { step, errno }),
        Err(Errno::EBADMSG) => {
            Err(Outcome::LoadFailed { reason: "load-time code spoke in the runner's name".to_owned() })
        }
        // The zygote is gone, or never came to be; init knows why.
        Ok(None) | Err(_) => Err(match started.control.receive::<InitReport>().await {
            Ok(Some((InitReport::ZygoteEnded { end }, _))) => Outcome::LoadFailed { reason: describe_load_end(end) },
            Ok(_) => platform("build the sandbox", Errno::ECHILD),
            Err(errno) => platform("build the sandbox", errno),
        }),
    }
}

fn describe_load_end(end: ProcessEnd) -> String {
    if let Some(call) = end.denied {
        let name = syscall_name::of(call.number);
        return format!("the library's load-time code made the forbidden system call {name}");
    }
    match end.status {
        ExitStatus::Code(code) => format!("the library's load-time code exited with code {code}"),
        // Of a child alone.
        ExitStatus::NotSetUp => "the library's load-time code ended its process".to_owned(),
        ExitStatus::Signal(libc::SIGSYS) => "the library's load-time code made a forbidden system call".to_owned(),
        ExitStatus::Signal(number) => {
            let name = Signal::try_from(number).map_or("a signal", Signal::as_str);
            format!("the library's load-time code crashed with {name}")
        }
    }
}

impl Sandbox {
    /// The groups in which slots get theirs.
    pub(super) fn cgroup(&self) -> Option<&RunnerCgroup> {
        self.cgroup.as_ref()
    }

    /// What the kernel says of the zygote, from outside.
    pub(super) fn zygote_status(&self) -> Option<String> {
        zygote_status(self.init.pidfd.as_raw_fd()).ok()
    }

    /// Kills everything in the sandbox, reaps it, and gives back what it held.
    pub(super) async fn end(self) {
        self.init.kill_and_reap().await;
        // Only now are the groups empty and the ids nobody's. Where there are many groups, the kernel
        // takes its time to remove them.
        let _ = tokio::task::spawn_blocking(move || drop(self.cgroup)).await;
        drop(self.ids);
    }
}

impl InitProcess {
    /// Kills init, and with it everything in its pid namespace, and reaps it.
    async fn kill_and_reap(&self) {
        kill(self.pidfd.get_ref());
        // A pidfd is readable once its process has ended, pidfd_open(2).
        let _ = self.pidfd.readable().await;
        let _ = waitid(Id::PIDFd(self.pidfd.get_ref().as_fd()), WaitPidFlag::WEXITED);
    }
}

#[expect(unsafe_code, reason = "pidfd_send_signal has no safe wrapper")]
fn kill(pidfd: &OwnedFd) {
    let no_info = std::ptr::null::<libc::siginfo_t>();
    // SAFETY: the descriptor is open; a null siginfo stands for a plain kill(2).
    unsafe { libc::syscall(libc::SYS_pidfd_send_signal, pidfd.as_raw_fd(), libc::SIGKILL, no_info, 0) };
}
