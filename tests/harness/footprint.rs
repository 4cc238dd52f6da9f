//! What a server holds of the machine: processes, descriptors, control groups, mounts, files.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::hostile::DELEGATED;

/// A process, told apart from later ones with its number by when it started.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Process {
    /// Its number.
    pub pid: u32,
    /// Its state as proc(5) has it; `Z` is a zombie.
    pub state: char,
    /// Processor time that it has used, in clock ticks.
    pub cpu_ticks: u64,
    parent: u32,
    started: u64,
}

/// What a server holds of the machine, all its parts together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Footprint {
    /// Processes that it started, zombies included.
    pub processes: usize,
    /// Those of them that have ended and are not reaped.
    pub zombies: usize,
    /// Open file descriptors.
    pub descriptors: usize,
    /// Control groups in its folder, in all hierarchies.
    pub cgroups: BTreeSet<PathBuf>,
    /// Mounts that only sandboxes have.
    pub mounts: BTreeSet<String>,
    /// Everything in its folder for temporary files.
    pub temporary: BTreeSet<PathBuf>,
    /// Everything in its caches and among its packages.
    pub kept: BTreeSet<PathBuf>,
}

impl Footprint {
    /// Looks at the server that consists of the processes `pids` and whose folder is `folder`.
    #[track_caller]
    pub fn of(pids: &[u32], folder: &Path) -> Self {
        let descriptors = |pid: &u32| fs::read_dir(format!("/proc/{pid}/fd")).expect("the server runs").count();
        let data = fs::read_dir(folder.join("data")).into_iter().flatten().flatten().map(|entry| entry.path());
        let processes: Vec<Process> = pids.iter().flat_map(|pid| processes_below(*pid)).collect();
        Self {
            processes: processes.len(),
            zombies: processes.iter().filter(|process| process.state == 'Z').count(),
            descriptors: pids.iter().map(descriptors).sum(),
            cgroups: pids.iter().flat_map(|pid| cgroups_of(*pid)).collect(),
            mounts: pids.iter().flat_map(|pid| mounts_of(*pid, folder)).collect(),
            temporary: below(&folder.join("tmp")),
            kept: data
                .flat_map(|data| [data.join("cache"), data.join("packages")])
                .flat_map(|kept| below(&kept))
                .collect(),
        }
    }
}

impl Process {
    fn read(pid: u32) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The name may hold anything, also parentheses: proc_pid_stat(5).
        let mut fields = stat.rsplit_once(") ")?.1.split(' ');
        let (state, parent) = (fields.next()?.chars().next()?, fields.next()?.parse().ok()?);
        let (user, system): (u64, u64) = (fields.nth(9)?.parse().ok()?, fields.next()?.parse().ok()?);
        let started = fields.nth(6)?.parse().ok()?;
        Some(Self { pid, state, cpu_ticks: user + system, parent, started })
    }

    /// Whether it has ended and was reaped; a complaint when not.
    pub fn is_gone(&self) -> Result<(), String> {
        match Self::read(self.pid) {
            Some(found) if found.started == self.started => Err(format!("{found:?} is still there")),
            _ => Ok(()),
        }
    }
}

/// The processes below `ancestor`, whatever pid namespace they think they are in.
pub fn processes_below(ancestor: u32) -> Vec<Process> {
    let entries = fs::read_dir("/proc").expect("/proc is mounted").flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let all: Vec<Process> = pids.filter_map(Process::read).collect();
    let mut below: Vec<Process> = Vec::new();
    let mut parents = vec![ancestor];
    while let Some(parent) = parents.pop() {
        for child in all.iter().filter(|process| process.parent == parent) {
            parents.push(child.pid);
            below.push(child.clone());
        }
    }
    below.sort();
    below
}

/// The control groups of a server, also after its end. Executors begin the names of their folders with the
/// process that they are in.
pub fn cgroups_of(pid: u32) -> BTreeSet<PathBuf> {
    let is_its = |path: &Path| {
        let name = path.file_name().and_then(|name| name.to_str()?.strip_prefix("bulkhead-"));
        name.and_then(|name| name.split('-').next()).is_some_and(|owner| owner == pid.to_string())
    };
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let groups: BTreeSet<&str> = own.lines().filter_map(|line| line.splitn(3, ':').nth(2)).collect();
    let mut found = BTreeSet::new();
    for mount in mounts.lines().filter(|line| line.contains(" - cgroup")) {
        let Some(point) = mount.split(' ').nth(4) else { continue };
        for group in &groups {
            let folder = Path::new(point).join(group.trim_start_matches('/'));
            let entries = |folder| fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
            let is_delegated =
                |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(DELEGATED));
            let delegated: Vec<PathBuf> = entries(folder.clone()).filter(is_delegated).collect();
            let all = entries(folder).chain(delegated.into_iter().flat_map(entries));
            for base in all.filter(|path| is_its(path)) {
                found.extend(below(&base).into_iter().filter(|path| path.is_dir()));
                found.insert(base);
            }
        }
    }
    found
}

/// Mounts in the server's view that have to do with it: a sandbox that leaks one shows up here.
fn mounts_of(pid: u32, folder: &Path) -> BTreeSet<String> {
    let mounts = fs::read_to_string(format!("/proc/{pid}/mountinfo")).unwrap_or_default();
    let folder = folder.to_string_lossy().into_owned();
    mounts.lines().filter(|line| line.contains(&folder) || line.contains("bulkhead")).map(str::to_owned).collect()
}

/// Every file and folder below `folder`; nothing where it is missing or vanishes meanwhile.
fn below(folder: &Path) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                folders.push(entry.path());
            }
            found.insert(entry.path());
        }
    }
    found
}
