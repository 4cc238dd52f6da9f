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
//! `fork_floor` is none of it: the plainest loop of forks and calls, which `bulkhead bench` holds the rest against.

mod child;
mod fork_floor;
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
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    if let Some((name, rest)) = arguments.split_first()
        && name == fork_floor::NAME
    {
        return fork_floor::run(rest);
    }
    if !arguments.is_empty() || !bulkhead_protocol::packet::is_packet_socket(&std::io::stdin()) {
        eprintln!(
            "bulkhead-runner {} runs functions for `bulkhead`, which starts it; it is of no use by hand.",
            env!("CARGO_PKG_VERSION")
        );
        return ExitCode::FAILURE;
    }
    launch::run()
}
