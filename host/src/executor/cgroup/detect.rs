//! Finds the usable controllers by making a group in each and setting a limit.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use nix::errno::Errno;
use nix::sys::statfs::{CGROUP_SUPER_MAGIC, CGROUP2_SUPER_MAGIC, statfs};

use super::delegation::{HandedDown, enable, home};
use super::hierarchy::{Missing, Place, Version, locate, locate_v2};

/// How the folders of executors begin; then come pid, `-` and a number.
pub(super) const PREFIX: &str = "bulkhead-";

/// A controller that this process may use.
#[derive(Clone, Debug)]
pub(super) struct Controller {
    /// Which interface.
    pub(super) version: Version,
    /// The folder in which this executor makes its groups.
    pub(super) base: Arc<Base>,
}

/// An executor's folder for a controller. It outlives the last runner in it, which may be reaped after
/// the executor is gone; removed when dropped.
#[derive(Debug)]
pub(super) struct Base {
    /// The folder.
    pub(super) path: PathBuf,
    /// What the group around it had to hand down for it.
    handed_down: Mutex<HandedDown>,
}

/// The controllers that this process may use, each with why not.
#[derive(Debug)]
pub(in crate::executor) struct Cgroups {
    /// Counts memory.
    pub(super) memory: Result<Controller, Missing>,
    /// Counts processes and threads.
    pub(super) pids: Result<Controller, Missing>,
    /// Kills all that is in a group; of version 2, with or without controllers.
    pub(super) kill: Result<Controller, Missing>,
}

/// The folders of one executor, while controllers are looked for. Controllers that share a hierarchy share
/// a folder, which is removed with the last of them.
struct Bases {
    /// What each is called.
    folder: String,
    /// Those that were made.
    made: Vec<Arc<Base>>,
}

impl Bases {
    /// The folder in a group; made where it is the first.
    fn below(&mut self, own: &Path) -> Result<Arc<Base>, Missing> {
        let path = own.join(&self.folder);
        if let Some(base) = self.made.iter().find(|base| base.path == path) {
            return Ok(Arc::clone(base));
        }
        make(&path)?;
        let base = Arc::new(Base { path, handed_down: Mutex::default() });
        self.made.push(Arc::clone(&base));
        Ok(base)
    }
}

/// What was found of a controller.
#[derive(Clone, Debug)]
pub(in crate::executor) struct Finding {
    /// Its name, or the file that is its like.
    pub(in crate::executor) name: &'static str,
    /// Its version and where groups are made, or why not.
    pub(in crate::executor) found: Result<(Version, PathBuf), Missing>,
}

impl Cgroups {
    /// Tries each controller.
    pub(in crate::executor) fn detect() -> Self {
        let membership = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        let mountinfo = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        // One process may hold several executors, one after the other or at once.
        static EXECUTORS: AtomicU64 = AtomicU64::new(0);
        let number = EXECUTORS.fetch_add(1, Ordering::Relaxed);
        let folder = format!("{PREFIX}{}-{number}", std::process::id());
        let mut bases = Bases { folder, made: Vec::new() };
        let mut find = |name, file: fn(Version) -> &'static str, limit| {
            let place = home(locate(name, &membership, &mountinfo)?);
            usable(name, &place, &mut bases, file(place.version), limit)
        };
        let memory_file = |version| if version == Version::V1 { "memory.limit_in_bytes" } else { "memory.max" };
        let memory = find("memory", memory_file, "1073741824");
        let pids = find("pids", |_| "pids.max", "100");
        let kill = locate_v2(&membership, &mountinfo).and_then(|place| killable(&home(place), &mut bases));
        Self { memory, pids, kill }
    }

    pub(in crate::executor) fn has_memory(&self) -> bool {
        self.memory.is_ok()
    }

    pub(in crate::executor) fn has_pids(&self) -> bool {
        self.pids.is_ok()
    }

    /// Whether groups are of any use.
    pub(in crate::executor) fn has_any(&self) -> bool {
        self.has_memory() || self.has_pids() || self.kill.is_ok()
    }

    /// What was found of each, for people.
    pub(in crate::executor) fn findings(&self) -> [Finding; 3] {
        let found = |name, controller: &Result<Controller, Missing>| Finding {
            name,
            found: controller.as_ref().map(|c| (c.version, c.base.path.clone())).map_err(Clone::clone),
        };
        [found("memory", &self.memory), found("pids", &self.pids), found("cgroup.kill", &self.kill)]
    }
}

impl Cgroups {
    /// Removes this executor's folders, which must be empty by now. Whoever holds the executor may live as
    /// long as the process, which then ends without dropping it.
    pub(in crate::executor) fn close(&self) {
        for controller in [&self.memory, &self.pids, &self.kill].into_iter().flatten() {
            controller.base.remove();
        }
    }
}

impl Base {
    fn remove(&self) {
        // Gone already, or a runner is left in it: then it is removed with the last of them.
        if fs::remove_dir(&self.path).is_ok() {
            self.handed_down.lock().unwrap_or_else(PoisonError::into_inner).take_back();
        }
    }
}

impl Drop for Base {
    fn drop(&mut self) {
        self.remove();
    }
}

pub(super) fn refused(action: &'static str, path: &Path, error: &io::Error) -> Missing {
    Missing::Refused { action, path: path.to_owned(), errno: Errno::from_raw(error.raw_os_error().unwrap_or(0)) }
}

pub(super) fn make(folder: &Path) -> Result<(), Missing> {
    match fs::create_dir(folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(refused("make the group", folder, &error)),
        _ => Ok(()),
    }
}

/// Writes to a file of a group, which is there or not there, but never made.
pub(super) fn set(file: &Path, value: &str) -> io::Result<()> {
    fs::OpenOptions::new().write(true).open(file)?.write_all(value.as_bytes())
}

/// Checks that a folder is what mountinfo says it is: another mount may lie over it.
fn check_in_sight(place: &Place) -> Result<(), Missing> {
    let magic = match place.version {
        Version::V1 => CGROUP_SUPER_MAGIC,
        Version::V2 => CGROUP2_SUPER_MAGIC,
    };
    match statfs(&place.own) {
        Ok(found) if found.filesystem_type() == magic => Ok(()),
        Ok(_) | Err(Errno::ENOENT) => Err(Missing::Hidden { own: place.own.clone() }),
        Err(errno) => Err(Missing::Refused { action: "look at", path: place.own.clone(), errno }),
    }
}

/// Makes this executor's folder for a controller and tries a limit in it.
fn usable(name: &str, place: &Place, bases: &mut Bases, file: &str, limit: &str) -> Result<Controller, Missing> {
    check_in_sight(place)?;
    let own = &place.own;
    remove_leftovers(own);
    if place.version == Version::V2 && !names(&own.join("cgroup.controllers"), name) {
        return Err(Missing::NotOffered { own: own.clone() });
    }
    let base = bases.below(own)?;
    if place.version == Version::V2 {
        base.handed_down.lock().unwrap_or_else(PoisonError::into_inner).add(name, own)?;
        enable(name, &base.path).map_err(|error| refused("enable a controller in", &base.path, &error))?;
    }
    let probe = base.path.join("probe");
    make(&probe)?;
    let limited = set(&probe.join(file), limit).map_err(|error| refused("set a limit in", &probe, &error));
    let _ = fs::remove_dir(&probe);
    limited.map(|()| Controller { version: place.version, base })
}

/// Makes this executor's folder in the hierarchy of version 2, if its groups can be killed.
fn killable(place: &Place, bases: &mut Bases) -> Result<Controller, Missing> {
    check_in_sight(place)?;
    remove_leftovers(&place.own);
    let base = bases.below(&place.own)?;
    // Since Linux 5.14. Nothing is in the group, so nothing is killed.
    let file = base.path.join("cgroup.kill");
    set(&file, "1").map_err(|error| refused("kill by", &file, &error))?;
    Ok(Controller { version: Version::V2, base })
}

/// Whether a file is a list of names with this one among them.
pub(super) fn names(file: &Path, name: &str) -> bool {
    fs::read_to_string(file).unwrap_or_default().split_whitespace().any(|found| found == name)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_controller_says_where_it_is_or_why_it_is_not() {
        for Finding { name, found } in Cgroups::detect().findings() {
            match found {
                Ok((_, folder)) => assert!(folder.is_absolute(), "{name}: {}", folder.display()),
                Err(missing) => assert!(!missing.to_string().is_empty(), "{name}"),
            }
        }
    }
}
