//! Control groups: memory and process counts, by version 1 or 2, whichever of them a controller is
//! usable in, found out by doing. Where there is none, rlimits in the runner take their place.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Threads of a child beside the function's own: the main thread, which waits.
const THREADS_ROOM: u32 = 1;
/// Processes of a runner outside its slots: init, zygote, and room to spare. A child on its way to
/// its slot comes on top: all slots may be filled at once.
const RUNNER_PROCESSES: u32 = 64;
/// Memory for init and for loading the plugin beyond the function's own limit.
const RUNNER_MEMORY_ROOM: u64 = 32 << 20;
/// Memory that a child is charged for before it joins its slot's group, and which stays charged
/// here: page tables and stacks, 150 KiB as measured with a small plugin.
const CHILD_MEMORY_ROOM: u64 = 512 << 10;

/// How the folders of executors begin; then come pid, `-` and a number.
const PREFIX: &str = "bulkhead-";

/// Which interface a controller's files have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    V1,
    V2,
}

/// A controller that this process may use.
#[derive(Clone, Debug)]
struct Controller {
    version: Version,
    /// The folder in which this executor makes its groups.
    base: Arc<Base>,
}

/// An executor's folder for a controller. It outlives the last runner in it, which may be reaped after
/// the executor is gone; removed when dropped.
#[derive(Debug)]
struct Base(PathBuf);

/// The controllers that this process may use.
#[derive(Debug)]
pub(super) struct Cgroups {
    memory: Option<Controller>,
    pids: Option<Controller>,
}

/// The groups of one runner. Dropped once everything in them is reaped: removes them.
#[derive(Debug)]
pub(super) struct RunnerCgroup {
    /// Of memory, then of pids; one where both are in one hierarchy.
    folders: Vec<PathBuf>,
    /// What they are in; dropped after the folders are removed.
    bases: Vec<Arc<Base>>,
    /// The leaves' folders, to be removed before their parents.
    leaves: Mutex<Vec<PathBuf>>,
    memory: Option<Version>,
    pids: Option<Version>,
}

/// A leaf group.
#[derive(Debug)]
pub(super) struct Leaf {
    /// `cgroup.procs` of each folder, open for writing: whoever writes "0" joins.
    procs: Vec<File>,
    /// Where the kernel counts kills for lack of memory.
    oom_counter: Option<PathBuf>,
}

impl Cgroups {
    /// Finds the usable controllers by making a group in each and setting a limit.
    pub(super) fn detect() -> Self {
        let membership = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        // One process may hold several executors, one after the other or at once.
        static EXECUTORS: AtomicU64 = AtomicU64::new(0);
        let number = EXECUTORS.fetch_add(1, Ordering::Relaxed);
        let folder = format!("{PREFIX}{}-{number}", std::process::id());
        let find = |name, file: fn(Version) -> &'static str, limit| {
            let (version, own) = locate(name, &membership, &mounts)?;
            usable(name, version, &own, &folder, file(version), limit)
        };
        let memory_file = |version| if version == Version::V1 { "memory.limit_in_bytes" } else { "memory.max" };
        let memory = find("memory", memory_file, "1073741824");
        let pids = find("pids", |_| "pids.max", "100");
        Self { memory, pids }
    }

    pub(super) fn has_memory(&self) -> bool {
        self.memory.is_some()
    }

    pub(super) fn has_pids(&self) -> bool {
        self.pids.is_some()
    }

    /// Makes the groups of a runner.
    pub(super) fn runner(&self, name: &str) -> io::Result<RunnerCgroup> {
        let version = |controller: &Option<Controller>| controller.as_ref().map(|c| c.version);
        let (memory, pids) = (version(&self.memory), version(&self.pids));
        // Removes what was made when a later step fails.
        let mut group = RunnerCgroup { folders: Vec::new(), bases: Vec::new(), leaves: Mutex::default(), memory, pids };
        for controller in [&self.memory, &self.pids].into_iter().flatten() {
            let folder = controller.base.0.join(name);
            if group.folders.contains(&folder) {
                continue;
            }
            fs::create_dir(&folder)?;
            group.folders.push(folder.clone());
            group.bases.push(Arc::clone(&controller.base));
            if controller.version == Version::V2 {
                let both = [("memory", &self.memory), ("pids", &self.pids)];
                for (name, _) in both.iter().filter(|(_, c)| c.as_ref().is_some_and(|c| c.version == Version::V2)) {
                    fs::write(folder.join("cgroup.subtree_control"), format!("+{name}"))?;
                }
            }
        }
        Ok(group)
    }
}

impl Drop for Base {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.0);
    }
}

impl RunnerCgroup {
    /// The group of init and zygote, and of each child until it joins its slot's.
    pub(super) fn base(&self, memory_bytes: u64, slots: u32) -> io::Result<Leaf> {
        let memory_bytes = memory_bytes + RUNNER_MEMORY_ROOM + u64::from(slots) * CHILD_MEMORY_ROOM;
        self.leaf("base", memory_bytes, RUNNER_PROCESSES + slots)
    }

    /// The group of a slot's children.
    pub(super) fn slot(&self, slot: u32, memory_bytes: u64, threads: u32) -> io::Result<Leaf> {
        self.leaf(&format!("slot{slot}"), memory_bytes, threads + THREADS_ROOM)
    }

    fn leaf(&self, name: &str, memory_bytes: u64, processes: u32) -> io::Result<Leaf> {
        let folders: Vec<PathBuf> = self.folders.iter().map(|folder| folder.join(name)).collect();
        for folder in &folders {
            fs::create_dir(folder)?;
            self.leaves.lock().unwrap_or_else(PoisonError::into_inner).push(folder.clone());
        }
        // Memory is first where both controllers have a folder of their own.
        let memory_folder = self.memory.and(folders.first());
        let pids_folder = self.pids.and(folders.last());
        if let (Some(folder), Some(version)) = (memory_folder, self.memory) {
            limit_memory(folder, version, memory_bytes)?;
        }
        if let Some(folder) = pids_folder {
            fs::write(folder.join("pids.max"), processes.to_string())?;
        }
        let oom_counter = memory_folder.zip(self.memory).map(|(folder, version)| {
            folder.join(if version == Version::V1 { "memory.oom_control" } else { "memory.events" })
        });
        let procs = folders
            .iter()
            .map(|folder| OpenOptions::new().write(true).open(folder.join("cgroup.procs")))
            .collect::<io::Result<_>>()?;
        Ok(Leaf { procs, oom_counter })
    }
}

impl Drop for RunnerCgroup {
    fn drop(&mut self) {
        remove(&self.leaves.lock().unwrap_or_else(PoisonError::into_inner));
        remove(&self.folders);
    }
}

impl Leaf {
    pub(super) fn procs(&self) -> &[File] {
        &self.procs
    }

    /// How many processes of the group the kernel has killed for lack of memory.
    pub(super) fn oom_kills(&self) -> u64 {
        let Some(text) = self.oom_counter.as_ref().and_then(|path| fs::read_to_string(path).ok()) else { return 0 };
        let line = text.lines().find_map(|line| line.strip_prefix("oom_kill "));
        line.and_then(|count| count.trim().parse().ok()).unwrap_or(0)
    }
}

fn limit_memory(folder: &Path, version: Version, bytes: u64) -> io::Result<()> {
    match version {
        Version::V1 => {
            fs::write(folder.join("memory.limit_in_bytes"), bytes.to_string())?;
            // Memory and swap together, where the kernel counts swap: else a bomb swaps the host.
            let _ = fs::write(folder.join("memory.memsw.limit_in_bytes"), bytes.to_string());
        }
        Version::V2 => {
            fs::write(folder.join("memory.max"), bytes.to_string())?;
            let _ = fs::write(folder.join("memory.swap.max"), "0");
            fs::write(folder.join("memory.oom.group"), "1")?;
        }
    }
    Ok(())
}

fn remove(folders: &[PathBuf]) {
    for folder in folders {
        if let Err(error) = fs::remove_dir(folder) {
            tracing::debug!(folder = %folder.display(), %error, "failed to remove a cgroup");
        }
    }
}

/// Makes this executor's folder for a controller and tries a limit in it.
fn usable(name: &str, version: Version, own: &Path, folder: &str, file: &str, limit: &str) -> Option<Controller> {
    remove_leftovers(own);
    let base = own.join(folder);
    fs::create_dir_all(&base).ok()?;
    if version == Version::V2 {
        fs::write(base.join("cgroup.subtree_control"), format!("+{name}")).ok()?;
    }
    let probe = base.join("probe");
    fs::create_dir_all(&probe).ok()?;
    let limited = fs::write(probe.join(file), limit).is_ok();
    let _ = fs::remove_dir(&probe);
    limited.then_some(Controller { version, base: Arc::new(Base(base)) })
}

/// Removes what a server left that was killed: with its processes gone, its groups are empty.
fn remove_leftovers(own: &Path) {
    for entry in fs::read_dir(own).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let pid = name.to_str().and_then(|name| name.strip_prefix(PREFIX)?.split('-').next()?.parse::<u32>().ok());
        // A pid of another pid namespace may look dead here; its groups are not empty, so they stay.
        if pid.is_some_and(|pid| !Path::new(&format!("/proc/{pid}")).exists()) {
            remove_tree(&entry.path());
        }
    }
}

/// Removes a group with the groups in it, as far as they are empty.
fn remove_tree(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_tree(&entry.path());
        }
    }
    let _ = fs::remove_dir(folder);
}

/// Where this process stands in the hierarchy that has a controller: cgroups(7), "/proc files".
fn locate(controller: &str, membership: &str, mounts: &str) -> Option<(Version, PathBuf)> {
    for line in membership.lines() {
        let mut fields = line.splitn(3, ':');
        let (Some(number), Some(names), Some(path)) = (fields.next(), fields.next(), fields.next()) else { continue };
        let path = path.trim_start_matches('/');
        if number == "0" && names.is_empty() {
            let Some(mount) = mount_point(mounts, "cgroup2", None) else { continue };
            let own = mount.join(path);
            let offered = fs::read_to_string(own.join("cgroup.controllers")).unwrap_or_default();
            if offered.split_whitespace().any(|name| name == controller) {
                return Some((Version::V2, own));
            }
        } else if names.split(',').any(|name| name == controller)
            && let Some(mount) = mount_point(mounts, "cgroup", Some(controller))
        {
            return Some((Version::V1, mount.join(path)));
        }
    }
    None
}

/// The mount point of a hierarchy in the format of `/proc/self/mountinfo`, proc(5).
fn mount_point(mounts: &str, kind: &str, controller: Option<&str>) -> Option<PathBuf> {
    mounts.lines().find_map(|line| {
        let (before, after) = line.split_once(" - ")?;
        let mut after = after.split(' ');
        let (found, options) = (after.next()?, after.nth(1)?);
        let matches = found == kind && controller.is_none_or(|name| options.split(',').any(|option| option == name));
        matches.then(|| before.split(' ').nth(4).map(PathBuf::from))?
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mount_points_are_read_as_proc_5_has_them() {
        let mounts = "\
36 35 0:29 / /sys/fs/cgroup/memory rw,relatime shared:9 - cgroup cgroup rw,memory
37 35 0:30 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct
38 35 0:31 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw";
        assert_eq!(mount_point(mounts, "cgroup", Some("memory")).unwrap(), Path::new("/sys/fs/cgroup/memory"));
        assert_eq!(mount_point(mounts, "cgroup", Some("cpuacct")).unwrap(), Path::new("/sys/fs/cgroup/cpu,cpuacct"));
        assert_eq!(mount_point(mounts, "cgroup2", None).unwrap(), Path::new("/sys/fs/cgroup/unified"));
        assert_eq!(mount_point(mounts, "cgroup", Some("pids")), None);
        let membership = "4:memory:/a/b\n0::/";
        let (version, own) = locate("memory", membership, mounts).unwrap();
        assert_eq!((version, own), (Version::V1, PathBuf::from("/sys/fs/cgroup/memory/a/b")));
    }
}
