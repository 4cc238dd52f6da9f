//! Version 2's way of giving controllers: a group hands them down to the groups in it, and may have no
//! processes itself then, cgroups(7). In a group that was delegated to this process alone it steps
//! aside into a group below, and comes back when it is done.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::detect::{PREFIX, make, names, refused, set};
use super::hierarchy::{Missing, Place};

/// What stands in the number's place in the name of the group that this process steps aside to.
const HOST: &str = "host";

/// What a group did not hand down before, to be taken back.
#[derive(Debug, Default)]
pub(super) struct HandedDown {
    /// The group.
    own: PathBuf,
    /// The controllers.
    names: Vec<String>,
}

/// Where this process steps aside to.
fn refuge(own: &Path) -> PathBuf {
    own.join(format!("{PREFIX}{}-{HOST}", std::process::id()))
}

/// The group that was this process's before it stepped aside.
pub(super) fn home(place: Place) -> Place {
    match place.own.parent() {
        Some(parent) if place.own == refuge(parent) => Place { own: parent.to_owned(), ..place },
        _ => place,
    }
}

impl HandedDown {
    /// Has a group give a controller to the groups in it. Where that is refused because of the processes in
    /// it, this process steps aside: that is enough in a group that was delegated to it alone, as systemd
    /// does with `Delegate=yes`.
    pub(super) fn add(&mut self, name: &str, own: &Path) -> Result<(), Missing> {
        if names(&own.join("cgroup.subtree_control"), name) {
            return Ok(());
        }
        let to_missing = |error: io::Error| match error.raw_os_error() {
            Some(libc::EBUSY) => Missing::Occupied { own: own.to_owned() },
            _ => refused("enable a controller in", own, &error),
        };
        match enable(name, own) {
            Err(error) if error.raw_os_error() == Some(libc::EBUSY) => {
                make(&refuge(own))?;
                let moved = enter(&refuge(own)).map_err(to_missing);
                if let Err(missing) = moved.and_then(|()| enable(name, own).map_err(to_missing)) {
                    come_back(own);
                    return Err(missing);
                }
            }
            other => other.map_err(to_missing)?,
        }
        self.own = own.to_owned();
        self.names.push(name.to_owned());
        Ok(())
    }

    /// Takes everything back, so that whatever is started in the group next finds it as this process did.
    /// Not where others have made groups in it: limits of theirs would be lost.
    pub(super) fn take_back(&mut self) {
        let Self { own, names } = std::mem::take(self);
        let is_other =
            |entry: &fs::DirEntry| entry.file_type().is_ok_and(|kind| kind.is_dir()) && entry.path() != refuge(&own);
        if names.is_empty() || fs::read_dir(&own).into_iter().flatten().flatten().any(|entry| is_other(&entry)) {
            return;
        }
        for name in names {
            if let Err(error) = set(&own.join("cgroup.subtree_control"), &format!("-{name}")) {
                tracing::debug!(group = %own.display(), name, %error, "failed to take back a controller");
            }
        }
        come_back(&own);
    }
}

/// Makes a group give a controller to the groups in it.
pub(super) fn enable(name: &str, group: &Path) -> io::Result<()> {
    set(&group.join("cgroup.subtree_control"), &format!("+{name}"))
}

/// Moves this process to a group.
fn enter(group: &Path) -> io::Result<()> {
    set(&group.join("cgroup.procs"), &std::process::id().to_string())
}

/// Back to where this process was. If that fails it is where it may be as well.
fn come_back(own: &Path) {
    if refuge(own).exists() {
        let _ = enter(own);
        let _ = fs::remove_dir(refuge(own));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::executor::cgroup::hierarchy::Version;

    #[test]
    fn a_process_that_stepped_aside_still_knows_its_group() {
        let place = |own: &Path| Place { version: Version::V2, own: own.to_owned() };
        let own = Path::new("/cg/app.scope");
        assert_eq!(home(place(&refuge(own))), place(own));
        for other in ["/cg/app.scope", "/cg/bulkhead-1-host", "/"] {
            assert_eq!(home(place(Path::new(other))), place(Path::new(other)));
        }
    }
}
