//! The small process in which plugins live. The host starts it by path and talks to it over sockets
//! and shared memory; see `bulkhead_protocol::runner_message` and `bulkhead_protocol::slot`.
//!
//! ```text
//! host ── exec ──▶ launcher ── clone with new namespaces ──▶ init (PID 1) ── fork ──▶ zygote (dlopen)
//!                  (exits)                                   reaps, kills             │ fork, CLONE_PARENT: one a slot
//!                                                              ▲                    keeper
//!                                                              │                       │ fork, CLONE_PARENT
//!                                                              └───── parent of ──── child ▶ plugin
//! ```
//!
//! In the order of a runner's life: `launch` makes the namespaces and exits, `init` builds the
//! sandbox and afterwards reaps and kills, with a `supervisor` to which the kernel tells refused system
//! calls, `zygote` gives up all privileges, loads the plugin and
//! forks, a `keeper` for each slot joins the slot's cgroups and forks, `child` runs calls. `sandbox` holds the layers.

mod child;
mod fork_table;
mod init;
mod keeper;
mod launch;
mod probe;
mod reaper;
mod sandbox;
mod slot_memory;
mod step;
mod supervisor;
mod warm;
mod zygote;

use std::process::ExitCode;

/// The executable's entry.
pub fn main() -> ExitCode {
    if std::env::args_os().len() > 1 || !bulkhead_protocol::packet::is_packet_socket(&std::io::stdin()) {
        eprintln!(
            "bulkhead-runner {} runs functions for `bulkhead`, which starts it; it is of no use by hand.",
            env!("CARGO_PKG_VERSION")
        );
        return ExitCode::FAILURE;
    }
    launch::run()
}
