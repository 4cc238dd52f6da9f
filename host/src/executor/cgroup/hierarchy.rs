//! What the kernel says of hierarchies: where each is mounted, and where in it this process stands.
//! Pure, over the texts of `/proc/self/mountinfo`, proc_pid_mountinfo(5), and `/proc/self/cgroup`, cgroups(7).

use std::path::{Path, PathBuf};

use nix::errno::Errno;

/// Which interface a hierarchy's files have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::executor) enum Version {
    /// A hierarchy for each controller or a few.
    V1,
    /// One hierarchy, in which controllers are handed down from group to group.
    V2,
}

/// Where this process stands in a hierarchy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// Which interface.
    pub(super) version: Version,
    /// The folder of this process's own group.
    pub(super) own: PathBuf,
}

/// Why a controller is not to be had.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(in crate::executor) enum Missing {
    /// There is no hierarchy with it.
    #[error("no cgroup hierarchy with it is mounted")]
    NotMounted,
    /// The hierarchy is mounted, but not the part with this process's own group.
    #[error("this process's group {group} is not below {root}, which is all that {mount} shows")]
    OutOfSight {
        /// Where the hierarchy is mounted.
        mount: PathBuf,
        /// Which of its groups is mounted there.
        root: String,
        /// This process's group.
        group: String,
    },
    /// The mount can only be read.
    #[error("{mount} is mounted read-only")]
    ReadOnly {
        /// The mount point.
        mount: PathBuf,
    },
    /// Something else is mounted over it.
    #[error("{own} is hidden under another mount")]
    Hidden {
        /// Where this process's own group would be.
        own: PathBuf,
    },
    /// A version 2 group is not given the controller by its parent.
    #[error("{own} is not given it: {own}/cgroup.controllers does not name it")]
    NotOffered {
        /// This process's own group.
        own: PathBuf,
    },
    /// Other processes in the group keep it from handing the controller down: cgroups(7), "no internal processes".
    #[error("{own} cannot hand it down while other processes are in it")]
    Occupied {
        /// This process's own group.
        own: PathBuf,
    },
    /// A step was refused.
    #[error("failed to {action} {path}: {}", errno.desc())]
    Refused {
        /// What was tried, to follow "failed to".
        action: &'static str,
        /// With which file or folder.
        path: PathBuf,
        /// What the system said.
        errno: Errno,
    },
}

/// One mounted hierarchy.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Mount {
    version: Version,
    /// The group that is seen at the mount point.
    root: String,
    /// The mount point.
    at: PathBuf,
    /// Whether it can only be read.
    read_only: bool,
    /// The file system's options, with the controllers of version 1 among them.
    options: Vec<String>,
}

/// Where this process stands in the hierarchy of a version 1 controller, or else in version 2's, which
/// may offer it.
///
/// # Errors
/// Why there is no such place.
pub(super) fn locate(controller: &str, membership: &str, mountinfo: &str) -> Result<Place, Missing> {
    let mounts = mounts(mountinfo);
    let of_controller =
        |mount: &&Mount| mount.version == Version::V1 && mount.options.iter().any(|option| option == controller);
    let group = group_of(membership, |names| names.split(',').any(|name| name == controller));
    match group {
        Some(group) if mounts.iter().any(|mount| of_controller(&mount)) => {
            place(group, mounts.iter().filter(of_controller))
        }
        _ => locate_v2(membership, mountinfo),
    }
}

/// Where this process stands in the hierarchy of version 2.
///
/// # Errors
/// Why there is no such place.
pub(super) fn locate_v2(membership: &str, mountinfo: &str) -> Result<Place, Missing> {
    let mounts = mounts(mountinfo);
    // Version 2's line has no names of controllers, cgroups(7).
    let group = group_of(membership, str::is_empty).ok_or(Missing::NotMounted)?;
    place(group, mounts.iter().filter(|mount| mount.version == Version::V2))
}

/// This process's group in the hierarchy whose controllers are the right ones.
fn group_of(membership: &str, is_right: impl Fn(&str) -> bool) -> Option<&str> {
    membership.lines().find_map(|line| {
        let mut fields = line.splitn(3, ':');
        let (_, names, group) = (fields.next()?, fields.next()?, fields.next()?);
        is_right(names).then_some(group)
    })
}

/// The folder of a group by the first of the mounts that shows it and can be written to.
fn place<'a>(group: &str, mounts: impl Iterator<Item = &'a Mount>) -> Result<Place, Missing> {
    let mut missing = Missing::NotMounted;
    for mount in mounts {
        let Some(below) = below(group, &mount.root) else {
            let (root, group) = (mount.root.clone(), group.to_owned());
            missing = Missing::OutOfSight { mount: mount.at.clone(), root, group };
            continue;
        };
        if mount.read_only {
            missing = Missing::ReadOnly { mount: mount.at.clone() };
            continue;
        }
        let own = if below.is_empty() { mount.at.clone() } else { mount.at.join(below) };
        return Ok(Place { version: mount.version, own });
    }
    Err(missing)
}

/// The path of a group relative to another; `None` when it is not below it.
fn below<'a>(group: &'a str, root: &str) -> Option<&'a str> {
    // A group outside of the process's cgroup namespace begins with "/..", cgroup_namespaces(7).
    if group.split('/').any(|part| part == "..") {
        return None;
    }
    let rest = group.strip_prefix(root.trim_end_matches('/'))?;
    if rest.is_empty() { Some(rest) } else { rest.strip_prefix('/') }
}

/// The mounted hierarchies. Lines that are none of them, or cannot be read, are left out.
fn mounts(mountinfo: &str) -> Vec<Mount> {
    mountinfo.lines().filter_map(read_mount).collect()
}

fn read_mount(line: &str) -> Option<Mount> {
    // id parent major:minor root mount-point options [tags…] - type source super-options
    let (before, after) = line.split_once(" - ")?;
    let mut before = before.split(' ').skip(3);
    let (root, at, options) = (before.next()?, before.next()?, before.next()?);
    let mut after = after.split(' ');
    let (kind, _source, super_options) = (after.next()?, after.next()?, after.next()?);
    let version = match kind {
        "cgroup" => Version::V1,
        "cgroup2" => Version::V2,
        _ => return None,
    };
    let has_ro = |options: &str| options.split(',').any(|option| option == "ro");
    Some(Mount {
        version,
        root: unescape(root),
        at: Path::new(&unescape(at)).to_owned(),
        read_only: has_ro(options) || has_ro(super_options),
        options: super_options.split(',').map(str::to_owned).collect(),
    })
}

/// Undoes what mountinfo does to spaces, tabs, line feeds and backslashes: a backslash and three octal digits.
fn unescape(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        plain.push_str(&rest[..at]);
        let code = rest.get(at + 1..at + 4).and_then(|digits| u8::from_str_radix(digits, 8).ok());
        match code.filter(u8::is_ascii) {
            Some(code) => {
                plain.push(char::from(code));
                rest = &rest[at + 4..];
            }
            None => {
                plain.push('\\');
                rest = &rest[at + 1..];
            }
        }
    }
    plain + rest
}

#[cfg(test)]
mod tests;
