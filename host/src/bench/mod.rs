//! What `bulkhead bench` measures with and what it finds, without knowing a command line: the `floor`s of
//! this machine, the `load` generator, the `helper` processes that measure for it, the `line`s of what came
//! out with their `goal`s and `spread`s, the `record` that is kept, and its `comparison` with another.
//! `cli/bench` has the cases.

pub(crate) mod case;
pub(crate) mod comparison;
pub(crate) mod floor;
pub(crate) mod goal;
pub(crate) mod helper;
pub(crate) mod line;
pub(crate) mod load;
pub(crate) mod record;
pub(crate) mod spread;
pub(crate) mod unit;
