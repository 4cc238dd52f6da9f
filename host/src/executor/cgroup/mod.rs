//! Control groups: memory and process counts of slots, and a way to kill a whole group at once. Each
//! controller is used in whichever version it is mounted, found out from mountinfo and then by doing.
//! Where there is none, rlimits in the runner take its place.
//!
//! `hierarchy` reads what is mounted, `detect` tries it, with `delegation` where version 2 wants it, and `group`
//! makes and limits the groups of runners.

mod delegation;
mod detect;
mod group;
mod hierarchy;

pub(super) use detect::{Cgroups, Finding};
pub(super) use group::{Leaf, RunnerCgroup};
pub(super) use hierarchy::{Missing, Version};
