//! The hot paths, each in isolation, with nothing of a machine in them that changes from run to run: fixed
//! inputs, no clock, no randomness. `instructions` counts them, and the bench beside it times the slot.
//!
//! What is here in place of the surroundings of a path is shared with the benches that time it: [`paths`] names
//! the files.

pub mod paths;
pub mod slot;
