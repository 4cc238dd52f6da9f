//! The layers of the sandbox, each in a module of its own, in the order in which they are put up:
//! [`root`] the file system, [`privileges`] ids and capabilities, [`limits`] rlimits, [`seccomp`]
//! system calls, [`landlock`] a last fence around each child's own folder.

pub(crate) mod landlock;
pub(crate) mod limits;
pub(crate) mod privileges;
pub(crate) mod root;
pub(crate) mod seccomp;
