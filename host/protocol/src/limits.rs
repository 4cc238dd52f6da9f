//! What one call may use, and the bounds of everything that enters the platform. Every bound has
//! its name and default here and nowhere else.

use std::time::Duration;

use serde::{Deserialize, Serialize};

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;

/// Largest package file in bytes.
pub const MAX_PACKAGE_BYTES: u64 = 256 * MIB;
/// Largest uncompressed cdylib in bytes.
pub const MAX_LIBRARY_BYTES: u64 = 512 * MIB;
/// Largest input of a task in bytes.
pub const MAX_INPUT_BYTES: u64 = 64 * MIB;
/// Largest result of a task in bytes.
pub const MAX_RESULT_BYTES: u64 = 64 * MIB;
/// Largest answer of a package to "what functions do you have" in bytes.
pub const MAX_DESCRIPTION_BYTES: u64 = 4 * MIB;
/// Most functions in one package.
pub const MAX_FUNCTIONS_PER_PACKAGE: usize = 256;
/// Longest name of a function or alias in bytes.
pub const MAX_NAME_BYTES: usize = 64;
/// Most stdout or stderr bytes of one attempt that are kept with its outcome.
pub const MAX_TAIL_BYTES: u64 = 4 * KIB;

/// What one attempt may use. A breach of each is an outcome of its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Limits {
    /// Wall time in milliseconds from the moment the child has the request.
    pub timeout_ms: u64,
    /// Memory in bytes.
    pub memory_bytes: u64,
    /// CPU time in milliseconds over all threads; none: the wall time alone bounds it.
    pub cpu_ms: Option<u64>,
    /// Threads, the one that runs the function included.
    pub threads: u32,
    /// Open file descriptors.
    pub open_files: u32,
    /// Bytes in the private temporary folder.
    pub tmp_bytes: u64,
    /// Files and folders in the private temporary folder.
    pub tmp_inodes: u64,
    /// Bytes of stdout and stderr together that are kept; the rest is cut with a mark.
    pub log_bytes: u64,
    /// Bytes of stdout and stderr together at which the attempt is killed.
    pub output_bytes: u64,
    /// Bytes of the result.
    pub result_bytes: u64,
    /// What the sandbox refuses to others.
    #[serde(default)]
    pub grants: Grants,
}

/// What a function is allowed that the sandbox refuses otherwise. A breach is refused by the system call
/// filter, with an error inside the function.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(default)]
pub struct Grants {
    /// Connections over TCP and UDP to whatever the host reaches.
    pub network: bool,
    /// Copies of its process, within [`Limits::threads`]; they end with the call.
    pub processes: bool,
    /// New executable memory.
    pub jit: bool,
}

impl Limits {
    /// Wall time.
    pub fn timeout(&self) -> Duration {
        Duration::from_millis(self.timeout_ms)
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            timeout_ms: 60_000,
            memory_bytes: 256 * MIB,
            cpu_ms: None,
            threads: 64,
            open_files: 64,
            tmp_bytes: 64 * MIB,
            tmp_inodes: 16_384,
            log_bytes: 256 * KIB,
            output_bytes: 16 * MIB,
            result_bytes: MAX_RESULT_BYTES,
            grants: Grants::default(),
        }
    }
}

/// Which limit an attempt broke, where the outcome has no kind of its own for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum LimitKind {
    /// [`Limits::cpu_ms`].
    CpuTime,
    /// [`Limits::threads`].
    Threads,
    /// [`Limits::open_files`].
    OpenFiles,
    /// The size of one file, [`Limits::tmp_bytes`].
    FileSize,
    /// [`Limits::output_bytes`].
    Output,
    /// [`Limits::result_bytes`].
    Result,
}
