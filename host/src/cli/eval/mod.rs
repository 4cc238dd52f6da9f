//! `bulkhead eval`: starts clusters, measures them, draws and explains what came out.
//!
//! `args` is the command; `settings` what is asked for, checked; `plan` the steps that follow from it, with
//! how long each may take; `run` carries them out on a `cluster` (or a `target` that runs already) and writes
//! the files. What is measured: `batch` (throughput), `alone` (latency and payloads), `load` (open loop),
//! `stages`, `recovery`, and meanwhile `usage`. What the results are made of, and what is made of them, is
//! `bulkhead-eval`'s.

mod alone;
mod args;
mod batch;
mod files;
mod load;
mod pace;
mod plan;
mod recovery;
mod run;
mod settings;
mod show;
mod stages;

pub(super) use args::{Args, run};
