//! The groups of a runner: one for init and zygote, one for each slot, with their limits, what the kernel
//! counts in them, and how all that is in one is killed.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::detect::{Base, Cgroups, Controller, set};
use super::hierarchy::{Missing, Version};

/// Threads in a slot beside the function's own: the keeper, and the child's main thread, which waits.
const THREADS_ROOM: u32 = 2;
/// Processes of a runner outside its slots: init, zygote, and room to spare. A keeper on its way to
/// its slot comes on top: all slots may be filled at once.
const RUNNER_PROCESSES: u32 = 64;
/// Memory for init and for loading the plugin beyond the function's own limit.
const RUNNER_MEMORY_ROOM: u64 = 32 << 20;
/// Memory that a keeper is charged for before it joins its slot's group, and which stays charged
/// here: page tables and stacks, 150 KiB as measured with a small plugin.
const KEEPER_MEMORY_ROOM: u64 = 512 << 10;
/// How often the processes of a version 1 group are listed and killed: one that forks on may be a step ahead.
const KILL_ROUNDS: u32 = 16;

/// The groups of one runner. Dropped once everything in them is reaped: removes them.
#[derive(Debug)]
pub(in crate::executor) struct RunnerCgroup {
    /// In each hierarchy that is used, once.
    folders: Vec<Folder>,
    /// The leaves' folders, to be removed before their parents.
    leaves: Mutex<Vec<PathBuf>>,
}

/// A runner's folder in one hierarchy.
#[derive(Debug)]
struct Folder {
    path: PathBuf,
    version: Version,
    /// Whether its groups count memory.
    memory: bool,
    /// Whether they count processes.
    pids: bool,
    /// Whether they can be killed by a file.
    kill: bool,
    /// What it is in; removed after it.
    _base: Arc<Base>,
}

/// A leaf group.
#[derive(Debug)]
pub(in crate::executor) struct Leaf {
    /// Of each folder that counts something, or of the only one, open for writing: whoever writes "0" joins.
    counting: Vec<File>,
    /// What counts nothing, is there to be killed, and is not the only one.
    killing: Option<Killing>,
    /// Where the kernel counts kills for lack of memory.
    oom_counter: Option<PathBuf>,
    /// `cgroup.kill`, where there is one.
    kill: Option<PathBuf>,
    /// Any of the folders; one that counts something, if there is one.
    folder: Option<PathBuf>,
}

/// A group that only kills.
#[derive(Debug)]
struct Killing {
    folder: PathBuf,
    /// Its `cgroup.procs`, open for writing: whoever writes "0" joins.
    procs: File,
}

impl Cgroups {
    /// Makes the groups of a runner.
    pub(in crate::executor) fn runner(&self, name: &str) -> io::Result<RunnerCgroup> {
        // Removes what was made when a later step fails.
        let mut group = RunnerCgroup { folders: Vec::new(), leaves: Mutex::default() };
        group.use_for(&self.memory, name, |folder| folder.memory = true)?;
        group.use_for(&self.pids, name, |folder| folder.pids = true)?;
        group.use_for(&self.kill, name, |folder| folder.kill = true)?;
        Ok(group)
    }
}

impl RunnerCgroup {
    /// Makes the folder for a controller, if it is usable and the folder is not there yet.
    fn use_for(
        &mut self,
        controller: &Result<Controller, Missing>,
        name: &str,
        note: impl FnOnce(&mut Folder),
    ) -> io::Result<()> {
        let Ok(controller) = controller else { return Ok(()) };
        let path = controller.base.path.join(name);
        let position = self.folders.iter().position(|folder| folder.path == path);
        if position.is_none() {
            fs::create_dir(&path)?;
            let (version, base) = (controller.version, Arc::clone(&controller.base));
            self.folders.push(Folder { path, version, memory: false, pids: false, kill: false, _base: base });
        }
        let position = position.unwrap_or(self.folders.len() - 1);
        let folder = &mut self.folders[position];
        let before = (folder.memory, folder.pids);
        note(folder);
        if folder.version == Version::V2 && before != (folder.memory, folder.pids) {
            let name = if folder.memory == before.0 { "pids" } else { "memory" };
            set(&folder.path.join("cgroup.subtree_control"), &format!("+{name}"))?;
        }
        Ok(())
    }

    /// The group of init and zygote, and of each keeper until it joins its slot's.
    pub(in crate::executor) fn base(&self, memory_bytes: u64, slots: u32) -> io::Result<Leaf> {
        let memory_bytes = memory_bytes + RUNNER_MEMORY_ROOM + u64::from(slots) * KEEPER_MEMORY_ROOM;
        self.leaf("base", memory_bytes, RUNNER_PROCESSES + slots)
    }

    /// The group of a slot's keeper and children.
    pub(in crate::executor) fn slot(&self, slot: u32, memory_bytes: u64, threads: u32) -> io::Result<Leaf> {
        self.leaf(&format!("slot{slot}"), memory_bytes, threads + THREADS_ROOM)
    }

    fn leaf(&self, name: &str, memory_bytes: u64, processes: u32) -> io::Result<Leaf> {
        let mut leaf = Leaf { counting: Vec::new(), killing: None, oom_counter: None, kill: None, folder: None };
        for folder in &self.folders {
            let path = folder.path.join(name);
            fs::create_dir(&path)?;
            self.leaves.lock().unwrap_or_else(PoisonError::into_inner).push(path.clone());
            if folder.memory {
                limit_memory(&path, folder.version, memory_bytes)?;
                leaf.oom_counter = Some(path.join(match folder.version {
                    Version::V1 => "memory.oom_control",
                    Version::V2 => "memory.events",
                }));
            }
            if folder.pids {
                set(&path.join("pids.max"), &processes.to_string())?;
            }
            if folder.kill {
                leaf.kill = Some(path.join("cgroup.kill"));
            }
            if folder.memory || folder.pids || leaf.counting.is_empty() {
                // A thread that moves itself alone waits for nobody; what moves a whole process waits until all
                // processors have noticed (7 ms here). Version 2 lets only parts of one group be moved as threads.
                let file = if folder.version == Version::V1 { "tasks" } else { "cgroup.procs" };
                leaf.counting.push(OpenOptions::new().write(true).open(path.join(file))?);
            } else {
                let procs = OpenOptions::new().write(true).open(path.join("cgroup.procs"))?;
                leaf.killing = Some(Killing { folder: path.clone(), procs });
            }
            leaf.folder.get_or_insert(path);
        }
        Ok(leaf)
    }
}

impl Drop for RunnerCgroup {
    fn drop(&mut self) {
        for leaf in self.leaves.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            remove(leaf);
        }
        for folder in &self.folders {
            remove(&folder.path);
        }
    }
}

impl Leaf {
    /// Files that a process with one thread writes "0" to, to be counted in the group.
    pub(in crate::executor) fn counting(&self) -> &[File] {
        &self.counting
    }

    /// The file to write "0" to, to join a group that counts nothing and is there to be killed.
    pub(in crate::executor) fn killing(&self) -> Option<&File> {
        self.killing.as_ref().map(|killing| &killing.procs)
    }

    /// The folder of that group, for a process to be made in it.
    pub(in crate::executor) fn killing_folder(&self) -> io::Result<Option<File>> {
        self.killing.as_ref().map(|killing| File::open(&killing.folder)).transpose()
    }

    /// How many processes of the group the kernel has killed for lack of memory.
    pub(in crate::executor) fn oom_kills(&self) -> u64 {
        let Some(text) = self.oom_counter.as_ref().and_then(|path| fs::read_to_string(path).ok()) else { return 0 };
        let line = text.lines().find_map(|line| line.strip_prefix("oom_kill "));
        line.and_then(|count| count.trim().parse().ok()).unwrap_or(0)
    }

    /// Kills all that is in the group: by `cgroup.kill` where there is one, then one by one what is left, as a keeper
    /// joins a group that only kills after its first fork.
    pub(in crate::executor) fn kill(&self) {
        let killed = self.kill.as_ref().is_some_and(|file| set(file, "1").is_ok());
        let Some(folder) = self.folder.as_ref().filter(|_| !killed || self.killing.is_some()) else { return };
        for _ in 0..KILL_ROUNDS {
            let Ok(pids) = fs::read_to_string(folder.join("cgroup.procs")) else { return };
            // 0 stands for a process of another pid namespace.
            let pids: Vec<i32> = pids.lines().filter_map(|pid| pid.parse().ok()).filter(|pid| *pid > 0).collect();
            if pids.is_empty() {
                return;
            }
            for pid in pids {
                // It may have ended since.
                let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
            }
        }
    }
}

fn limit_memory(folder: &Path, version: Version, bytes: u64) -> io::Result<()> {
    match version {
        Version::V1 => {
            set(&folder.join("memory.limit_in_bytes"), &bytes.to_string())?;
            // Memory and swap together, where the kernel counts swap: else a bomb swaps the host.
            let _ = set(&folder.join("memory.memsw.limit_in_bytes"), &bytes.to_string());
        }
        Version::V2 => {
            set(&folder.join("memory.max"), &bytes.to_string())?;
            let _ = set(&folder.join("memory.swap.max"), "0");
            set(&folder.join("memory.oom.group"), "1")?;
        }
    }
    Ok(())
}

fn remove(folder: &Path) {
    if let Err(error) = fs::remove_dir(folder) {
        tracing::debug!(folder = %folder.display(), %error, "failed to remove a cgroup");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::process::ExitStatusExt;
    use std::process::{Command, Stdio};

    /// A process that joins a leaf and then waits for a line.
    fn join(leaf: &Leaf) -> std::process::Child {
        let folders: Vec<_> = leaf
            .counting()
            .iter()
            .chain(leaf.killing())
            .map(|file| {
                use std::os::fd::AsRawFd;
                fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd())).unwrap()
            })
            .collect();
        let mut child = Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        for procs in folders {
            fs::write(procs, child.id().to_string()).unwrap();
        }
        // Still there: it waits for its stdin, which this process holds.
        assert!(child.try_wait().unwrap().is_none());
        child
    }

    #[test]
    fn a_group_is_killed_by_its_file_or_one_by_one() {
        let cgroups = Cgroups::detect();
        if !cgroups.has_any() {
            println!("skipped: there are no usable cgroups: {:?}", cgroups.findings());
            assert!(std::env::var("BULKHEAD_TEST_REQUIRE_ALL").as_deref() != Ok("1"));
            return;
        }
        let runner = cgroups.runner("killed").unwrap();
        let mut leaf = runner.slot(0, 64 << 20, 8).unwrap();
        let file = leaf.kill.take();
        for file in [file, None] {
            leaf.kill = file;
            let mut child = join(&leaf);
            leaf.kill();
            assert_eq!(child.wait().unwrap().signal(), Some(libc::SIGKILL), "{:?}", leaf.kill);
        }
        // Nothing is left in it, so nothing keeps it from being removed.
        let folder = leaf.folder.clone().unwrap();
        drop((leaf, runner));
        assert!(!folder.exists(), "{}", folder.display());
    }
}
