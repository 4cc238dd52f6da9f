//! The file system of the sandbox: a new tmpfs with the plugin, three devices and one private
//! folder per slot. No `/proc`, nothing of the host.

#![expect(unsafe_code, reason = "the mount calls of Linux 5.2 and 5.12 have no wrappers")]

use std::ffi::{CStr, CString};
use std::fs;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use bulkhead_protocol::runner_message::{PLUGIN_ID, Setup};
use nix::errno::Errno;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::unistd::{chdir, pivot_root};

use crate::step::{Step, StepError};

/// Where the plugin is in the sandbox.
pub(crate) const PLUGIN: &str = "/plugin.so";
/// What a Rust or C program may expect of `/dev`.
const DEVICES: [&CStr; 3] = [c"/dev/null", c"/dev/zero", c"/dev/urandom"];
/// What finds addresses by names, and trust in certificates, beside what was granted to use the network.
/// Hosts without one have it elsewhere.
const NETWORK_FILES: [&CStr; 4] =
    [c"/etc/resolv.conf", c"/etc/hosts", c"/etc/nsswitch.conf", c"/etc/ssl/certs/ca-certificates.crt"];
/// A folder that every host has; the new root is built on it, unseen from outside.
const STAGE: &str = "/tmp";
/// The root holds folders and mount points only.
const ROOT_OPTIONS: &str = "size=64k,nr_inodes=4k,mode=755";

/// The private folder of a slot.
pub(crate) fn slot_folder(slot: u32) -> String {
    format!("/tmp/slot{slot}")
}

/// Builds the new root and leaves the old one. `become_user` is called between what takes the host's
/// user, finding files of the host, and what takes one that is mapped, making files.
pub(crate) fn build(setup: &Setup, become_user: impl FnOnce() -> Result<(), StepError>) -> Result<(), StepError> {
    let none = None::<&str>;
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).step("make mounts private")?;
    // Taken by path now, while the old root is there; attached below without one.
    let library = CString::new(setup.library.as_str()).map_err(|_| Errno::EINVAL).step("open the plugin")?;
    let library = open_tree(&library).step("open the plugin")?;
    let devices = DEVICES.map(|device| open_tree(device).step("open a device"));
    let network_files: &[_] = if setup.limits.grants.network { &NETWORK_FILES } else { &[] };
    let network_files: Vec<_> =
        network_files.iter().filter_map(|path| Some((open_tree(path).ok()?, path.to_str().ok()?))).collect();

    become_user()?;

    let hardened = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    mount(Some("root"), STAGE, Some("tmpfs"), hardened, Some(ROOT_OPTIONS)).step("mount the new root")?;
    chdir(STAGE).step("enter the new root")?;
    for folder in ["dev", "tmp"] {
        fs::create_dir(folder).step("make a folder")?;
    }
    attach(&library, &PLUGIN[1..], libc::MOUNT_ATTR_RDONLY | libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NODEV)?;
    for (tree, device) in devices.into_iter().zip(DEVICES) {
        let path = device.to_str().map_err(|_| Errno::EINVAL).step("name a device")?;
        attach(&tree?, &path[1..], libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NOEXEC)?;
    }
    if setup.limits.grants.network {
        // There whatever is in it: the fence of a child names it.
        fs::create_dir("etc").step("make a folder")?;
    }
    for (tree, path) in &network_files {
        let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
        fs::create_dir_all(&folder[1..]).step("make a folder")?;
        let attributes = libc::MOUNT_ATTR_RDONLY | libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NODEV;
        attach(tree, &path[1..], attributes | libc::MOUNT_ATTR_NOEXEC)?;
    }
    mount_slot_folders(setup)?;
    let read_only = MsFlags::MS_REMOUNT | MsFlags::MS_BIND | MsFlags::MS_RDONLY | hardened;
    mount(none, ".", none, read_only, none).step("make the new root read-only")?;
    // pivot_root(2), NOTES: with "." twice the old root ends on top of the new one; detach it.
    pivot_root(".", ".").step("change the root")?;
    umount2(".", MntFlags::MNT_DETACH).step("detach the old root")?;
    chdir("/").step("enter the new root")
}

fn mount_slot_folders(setup: &Setup) -> Result<(), StepError> {
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    let options = format!(
        "size={},nr_inodes={},mode=700,uid={PLUGIN_ID},gid={PLUGIN_ID}",
        setup.limits.tmp_bytes, setup.limits.tmp_inodes
    );
    for slot in 0..setup.slots {
        let folder = slot_folder(slot);
        let folder = &folder[1..];
        fs::create_dir(folder).step("make a slot's folder")?;
        mount(Some("slot"), folder, Some("tmpfs"), flags, Some(options.as_str())).step("mount a slot's folder")?;
    }
    Ok(())
}

/// Puts a detached mount at a new file of the new root, with these attributes added.
fn attach(tree: &OwnedFd, at: &str, attributes: u64) -> Result<(), StepError> {
    fs::write(at, "").step("make a mount point")?;
    let path = CString::new(at).map_err(|_| Errno::EINVAL).step("name a mount point")?;
    set_attributes(tree, attributes).step("set the attributes of a mount")?;
    // SAFETY: both paths are NUL-terminated and live through the call.
    let moved = unsafe {
        libc::syscall(
            libc::SYS_move_mount,
            tree.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_FDCWD,
            path.as_ptr(),
            libc::MOVE_MOUNT_F_EMPTY_PATH,
        )
    };
    Errno::result(moved).map(drop).step("attach a mount")
}

/// Copies the mount of one file, detached.
fn open_tree(path: &CStr) -> nix::Result<OwnedFd> {
    // SAFETY: the path is NUL-terminated and lives through the call.
    let fd = unsafe {
        libc::syscall(
            libc::SYS_open_tree,
            libc::AT_FDCWD,
            path.as_ptr(),
            libc::OPEN_TREE_CLONE | libc::OPEN_TREE_CLOEXEC,
        )
    };
    let fd = Errno::result(fd)?;
    // SAFETY: the kernel has just made this descriptor for us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

fn set_attributes(tree: &OwnedFd, attributes: u64) -> nix::Result<()> {
    let attributes = libc::mount_attr { attr_set: attributes, attr_clr: 0, propagation: 0, userns_fd: 0 };
    // SAFETY: the structure and its size are mount_setattr(2)'s and live through the call.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            tree.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH,
            &raw const attributes,
            size_of::<libc::mount_attr>(),
        )
    };
    Errno::result(result).map(drop)
}
