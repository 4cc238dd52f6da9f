//! How much is measured.

use std::time::Duration;

use super::args::Args;
use crate::cli::failure::{Exit, Failure};

/// Most repeats.
const MAX_REPEAT: u32 = 100;

/// How much is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Plan {
    /// Whether it is to be over soon.
    pub(super) quick: bool,
    /// How often each floor and figure is measured.
    pub(super) repeat: u32,
}

impl Plan {
    /// What the arguments ask for.
    ///
    /// # Errors
    /// A number of repeats that cannot be.
    pub(super) fn new(args: &Args) -> Result<Self, Failure> {
        let repeat = args.repeat.unwrap_or(if args.quick { 3 } else { 5 });
        if !(1..=MAX_REPEAT).contains(&repeat) {
            return Err(Failure::new(Exit::Usage, format!("--repeat is {repeat}; it may be 1 to {MAX_REPEAT}")));
        }
        Ok(Self { quick: args.quick, repeat })
    }

    fn choose<T>(self, quick: T, whole: T) -> T {
        if self.quick { quick } else { whole }
    }

    /// How long calls over HTTP are counted.
    pub(super) fn load_time(self) -> Duration {
        self.choose(Duration::from_secs(1), Duration::from_secs(3))
    }

    /// How long the floors are measured that are steps of a call.
    pub(super) fn step_time(self) -> Duration {
        self.choose(Duration::from_millis(200), Duration::from_secs(1))
    }

    /// Forks of each zygote.
    pub(super) fn forks(self) -> u32 {
        self.choose(3_000, 15_000)
    }

    /// New sandboxes: below the number of runners that an executor keeps, so that none has to end for another.
    pub(super) fn sandboxes(self) -> u32 {
        self.choose(20, 50)
    }

    /// Tasks of a batch.
    pub(super) fn tasks(self) -> u32 {
        self.choose(10_000, 50_000)
    }

    /// Tasks of a batch whose calls each have a process of their own.
    pub(super) fn fresh_tasks(self) -> u32 {
        self.choose(4_000, 20_000)
    }

    /// Tasks that a store is filled with.
    pub(super) fn stored_tasks(self) -> u32 {
        self.choose(100_000, 1_000_000)
    }

    /// Calls that come after a second of quiet.
    pub(super) fn quiet_calls(self) -> u32 {
        self.choose(3, 5)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeats_have_bounds_and_defaults() {
        let plan = |quick, repeat| Plan::new(&Args { quick, repeat, ..Args::default() });
        assert_eq!(plan(true, None).unwrap().repeat, 3);
        assert_eq!(plan(false, None).unwrap().repeat, 5);
        assert_eq!(plan(false, Some(100)).unwrap().repeat, 100);
        assert!(plan(false, Some(101)).unwrap_err().line.contains("1 to 100"));
        assert!(plan(false, Some(0)).unwrap_err().line.contains("--repeat is 0"));
    }
}
