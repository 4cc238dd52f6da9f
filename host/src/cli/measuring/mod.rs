//! What `eval` and `bench` measure with: a `cluster` of real processes of this very executable, the `server`
//! at its front, the `functions` that are called, the `machine`, and the `usage` of it by processes.

pub(in crate::cli) mod cluster;
pub(in crate::cli) mod functions;
pub(in crate::cli) mod machine;
pub(in crate::cli) mod server;
pub(in crate::cli) mod usage;
