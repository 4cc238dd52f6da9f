//! Naming the step that failed.

use nix::errno::Errno;

/// A step of the set-up failed. What the host is told, and so its operator.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("failed to {step}: {errno}")]
pub(crate) struct StepError {
    /// What was tried, to follow "failed to".
    pub(crate) step: &'static str,
    /// What the system said.
    pub(crate) errno: Errno,
}

/// Gives a system call's error the name of its step.
pub(crate) trait Step<T> {
    fn step(self, step: &'static str) -> Result<T, StepError>;
}

impl<T> Step<T> for nix::Result<T> {
    fn step(self, step: &'static str) -> Result<T, StepError> {
        self.map_err(|errno| StepError { step, errno })
    }
}

impl<T> Step<T> for std::io::Result<T> {
    fn step(self, step: &'static str) -> Result<T, StepError> {
        self.map_err(|error| StepError { step, errno: Errno::from_raw(error.raw_os_error().unwrap_or(0)) })
    }
}
