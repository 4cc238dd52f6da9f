//! On what ground a server stands: who runs it, and which control groups it finds.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::command::run_within;
use crate::deadline::SHORT;
use crate::layers::{is_root, require_or_skip};
use crate::member::{Executables, User};
use crate::server::Options;

/// Which control groups a server finds.
#[derive(Clone, Debug, Default)]
pub enum Groups {
    /// Those that there are, as far as whoever runs it may use them.
    #[default]
    AsTheyAre,
    /// None: nothing is mounted where they would be, as in many containers.
    Hidden,
    /// Those that root has given to an ordinary user.
    Delegated(Arc<Delegation>),
}

/// Control groups of an ordinary user, which the administrator gave it. Removed when dropped.
#[derive(Debug)]
pub struct Delegation {
    /// A folder in each hierarchy.
    folders: Vec<PathBuf>,
}

/// How the folders of delegations begin.
pub(crate) const DELEGATED: &str = "delegated-for-tests-";

impl Groups {
    /// A command that finds these groups.
    pub(crate) fn command(&self, program: &Path) -> Command {
        let mut words = self.wrapper().into_iter().chain([program.into()]);
        let mut command = Command::new(words.next().unwrap_or_default());
        command.args(words);
        command
    }

    /// What stands before such a command. It becomes the command, so the process stays the same.
    fn wrapper(&self) -> Vec<OsString> {
        let shell = |script: String| ["sh", "-c", &script, "sh"].map(OsString::from);
        match self {
            Self::AsTheyAre => Vec::new(),
            Self::Hidden => {
                let hidden = ["unshare", "--mount", "--propagation", "private"].map(OsString::from);
                let unmount = "umount -R /sys/fs/cgroup && exec \"$@\"".to_owned();
                hidden.into_iter().chain(shell(unmount)).collect()
            }
            Self::Delegated(delegation) => {
                let join = |folder: &PathBuf| format!("echo 0 > '{}/cgroup.procs' && ", folder.display());
                let joins: String = delegation.folders.iter().map(join).collect();
                shell(format!("{joins}exec \"$@\"")).into()
            }
        }
    }
}

impl Delegation {
    /// Gives a group in each hierarchy that has memory or pids to a user; none where that cannot be done.
    fn to(user: User) -> Option<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("{DELEGATED}{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let mut delegation = Self { folders: Vec::new() };
        for controller in ["memory", "pids"] {
            let own = own_group(controller)?;
            // In the second version controllers have to be handed down, and in the first they are there.
            let _ = fs::write(own.join("cgroup.subtree_control"), format!("+{controller}"));
            let folder = own.join(&name);
            if delegation.folders.contains(&folder) {
                continue;
            }
            fs::create_dir(&folder).ok()?;
            delegation.folders.push(folder.clone());
            // cgroups(7), "Delegation": the folder and these files.
            for file in ["", "cgroup.procs", "tasks", "cgroup.subtree_control", "cgroup.threads"] {
                let path = folder.join(file);
                if path.exists() {
                    chown(path, Some(user.id), Some(user.id)).ok()?;
                }
            }
        }
        Some(delegation)
    }
}

impl Drop for Delegation {
    fn drop(&mut self) {
        for folder in &self.folders {
            // What the server left in it is found by other checks.
            let _ = fs::remove_dir(folder);
        }
    }
}

/// This process's group in the hierarchy of a controller.
fn own_group(controller: &str) -> Option<PathBuf> {
    let membership = fs::read_to_string("/proc/self/cgroup").ok()?;
    let path = |wanted: &dyn Fn(&str, &str) -> bool| {
        membership.lines().find_map(|line| {
            let mut fields = line.splitn(3, ':');
            let (number, names) = (fields.next()?, fields.next()?);
            wanted(number, names).then(|| fields.next().map(|path| path.trim_start_matches('/').to_owned()))?
        })
    };
    let first = path(&|_, names| names.split(',').any(|name| name == controller));
    if let Some(path) = first {
        return Some(Path::new("/sys/fs/cgroup").join(controller).join(path)).filter(|folder| folder.is_dir());
    }
    let second = path(&|number, names| number == "0" && names.is_empty())?;
    let folder = Path::new("/sys/fs/cgroup").join(second);
    let offered = fs::read_to_string(folder.join("cgroup.controllers")).ok()?;
    offered.split_whitespace().any(|name| name == controller).then_some(folder)
}

/// Who runs a server and which control groups it finds: the four settings in which the hostile suite has
/// to hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ground {
    /// Whether root runs it; an ordinary user otherwise.
    pub root: bool,
    /// Whether it finds control groups for memory and pids.
    pub groups: bool,
}

impl Ground {
    /// All of them.
    pub const ALL: [Self; 4] = [
        Self { root: true, groups: true },
        Self { root: true, groups: false },
        Self { root: false, groups: true },
        Self { root: false, groups: false },
    ];

    /// What it is called.
    pub fn name(self) -> &'static str {
        match (self.root, self.groups) {
            (true, true) => "root, memory cgroup",
            (true, false) => "root, no cgroup",
            (false, true) => "ordinary user, memory cgroup",
            (false, false) => "ordinary user, no cgroup",
        }
    }

    /// Options of a server on this ground; none where the machine cannot have it, and why was printed.
    pub fn options(self, options: Options, executables: &Executables) -> Option<Options> {
        let as_root = is_root();
        if self == (Self { root: false, groups: false }) && !as_root {
            // Whatever groups there are, nobody has given them to us.
            return Some(options);
        }
        if !require_or_skip(as_root, "the tests do not run as root, so they cannot have a server run otherwise") {
            return None;
        }
        let user = if self.root { None } else { Some(unprivileged(executables)?) };
        let groups = match (self.groups, user) {
            (true, None) => {
                let there = own_group("memory").is_some() && own_group("pids").is_some();
                require_or_skip(there, "there are no control groups of memory and pids").then_some(Groups::AsTheyAre)?
            }
            (true, Some(user)) => {
                let delegation = Delegation::to(user);
                let why = "control groups cannot be given to an ordinary user here";
                require_or_skip(delegation.is_some(), why).then_some(Groups::Delegated(Arc::new(delegation?)))?
            }
            (false, None) => Groups::Hidden,
            (false, Some(_)) => Groups::AsTheyAre,
        };
        Some(Options { user, groups, ..options })
    }
}

/// A user that can start the executables; none where there cannot be one, and why was printed.
pub fn unprivileged(executables: &Executables) -> Option<User> {
    // Everybody else runs all other tests as an ordinary user already.
    if !require_or_skip(is_root(), "the tests do not run as root, so they cannot change the user") {
        return None;
    }
    let user = User::unused();
    let can_start = |program: &Path| {
        let id = user.id.to_string();
        let mut command = Command::new("setpriv");
        command.args(["--reuid", &id, "--regid", &id, "--clear-groups", "--", "test", "-x"]).arg(program);
        run_within(command, b"", SHORT).code == Some(0)
    };
    let reachable = can_start(&executables.bulkhead) && can_start(&executables.runner);
    require_or_skip(reachable, "an ordinary user cannot reach the executables").then_some(user)
}
