//! The floor under `fresh` calls, for `bulkhead bench`: fork, call, exit and wait in a plain loop, with the
//! plugin loaded as the zygote loads it, in a pid and a user namespace of its own where the system gives them.
//! Without slots, reports, and the other layers of the sandbox: the plugin is one that the measuring machine
//! has just built itself, and its calls are no one else's.
//!
//! Started by `bulkhead bench` as `bulkhead-runner fork-floor LIBRARY FUNCTION CORE`. It says `ready …`; each
//! line of its standard input is a number of forks, answered by the nanoseconds that they took all together.
//! It ends with the input.

use std::ffi::OsString;
use std::io::{self, BufRead as _, Write as _};
use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use bulkhead_abi::{
    Host, HostRef, MIN_OUTPUT_BYTES, PluginRef, RSlice, RSliceMut, RStr, Request, Seed, encoding, response_kind,
};
use bulkhead_protocol::runner_message::HostIds;
use nix::sched::{CpuSet, sched_setaffinity};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{Pid, getgid, getuid, pipe, read, write};

use crate::init::exit;
use crate::launch::{clone, write_id_maps};

/// The argument that asks for this.
pub(crate) const NAME: &str = "fork-floor";
/// Most forks of one line.
const MAX_FORKS: u32 = 1_000_000;
/// The namespaces whose processes cost more to make and to end.
const NAMESPACES: i32 = libc::CLONE_NEWUSER | libc::CLONE_NEWPID;
/// Exit code of a child whose call did not succeed.
const CALL_FAILED: i32 = 1;
/// An input of no arguments.
const INPUT: &[u8] = b"[]";

/// What is run in the loop.
struct Work {
    plugin: PluginRef,
    function: u32,
    host: HostRef,
}

/// Runs it, with the arguments after its name.
pub(crate) fn run(arguments: &[OsString]) -> ExitCode {
    let [library, function, core] = arguments else { return failed("expected LIBRARY FUNCTION CORE") };
    let number = |text: &OsString| text.to_str().and_then(|text| text.parse::<u32>().ok());
    let (Some(function), Some(core)) = (number(function), number(core)) else {
        return failed("FUNCTION and CORE are numbers");
    };
    let Ok((go_read, go_write)) = pipe() else { return failed("no pipe could be made") };
    match clone(NAMESPACES | libc::SIGCHLD, std::ptr::null_mut()) {
        Ok(0) => {
            drop(go_write);
            // One byte: the ids are set. End of file: they could not be.
            let is_mapped = read(&go_read, &mut [0]) == Ok(1);
            drop(go_read);
            let ended = if is_mapped { serve(Path::new(library), function, core, "in") } else { ExitCode::FAILURE };
            exit(i32::from(ended != ExitCode::SUCCESS));
        }
        Ok(pid) => {
            drop(go_read);
            let pid = Pid::from_raw(pid);
            let ids = HostIds::User { uid: getuid().as_raw(), gid: getgid().as_raw() };
            let mapped = write_id_maps(pid, ids).is_ok() && write(&go_write, &[0]).is_ok();
            drop(go_write);
            match waitpid(pid, None) {
                Ok(WaitStatus::Exited(_, 0)) => ExitCode::SUCCESS,
                _ if !mapped => serve(Path::new(library), function, core, "without"),
                _ => ExitCode::FAILURE,
            }
        }
        // A system that lets nobody have namespaces.
        Err(_) => serve(Path::new(library), function, core, "without"),
    }
}

fn failed(why: &str) -> ExitCode {
    eprintln!("bulkhead-runner {NAME}: {why}");
    ExitCode::FAILURE
}

/// Loads the plugin and forks as often as it is told to.
fn serve(library: &Path, function: u32, core: u32, namespaces: &str) -> ExitCode {
    let mut only = CpuSet::new();
    if only.set(core as usize).and_then(|()| sched_setaffinity(Pid::from_raw(0), &only)).is_err() {
        return failed("the core cannot be had");
    }
    let plugin = match bulkhead_abi::load(library) {
        Ok(plugin) => plugin,
        Err(error) => return failed(&error.to_string()),
    };
    let work = Work { plugin, function, host: Host { log, progress }.leak() };
    let mut out = io::stdout();
    if writeln!(out, "ready {namespaces} namespaces").is_err() {
        return ExitCode::SUCCESS;
    }
    for line in io::stdin().lock().lines() {
        let forks = line.ok().and_then(|line| line.parse().ok()).filter(|forks| *forks <= MAX_FORKS);
        let Some(forks) = forks else { return failed("expected a number of forks") };
        match work.repeat(forks) {
            Ok(nanoseconds) if writeln!(out, "{nanoseconds}").is_ok() => {}
            Ok(_) => break,
            Err(why) => return failed(&why),
        }
    }
    ExitCode::SUCCESS
}

impl Work {
    /// Forks so often; gives the nanoseconds that it took.
    fn repeat(&self, forks: u32) -> Result<u128, String> {
        let began = Instant::now();
        for _ in 0..forks {
            match clone(libc::SIGCHLD, std::ptr::null_mut()) {
                Ok(0) => exit(self.call()),
                Ok(child) => match waitpid(Pid::from_raw(child), None) {
                    Ok(WaitStatus::Exited(_, 0)) => {}
                    Ok(ended) => return Err(format!("a child did not succeed: {ended:?}")),
                    Err(errno) => return Err(format!("failed to wait for a child: {errno}")),
                },
                Err(errno) => return Err(format!("failed to fork: {errno}")),
            }
        }
        Ok(began.elapsed().as_nanos())
    }

    /// What a child does; gives its exit code.
    fn call(&self) -> i32 {
        if let Some(after_fork) = self.plugin.after_fork() {
            after_fork(Seed { bytes: [7; 32] });
        }
        let mut output = vec![0; MIN_OUTPUT_BYTES];
        let request = Request {
            encoding: encoding::JSON,
            attempt: 1,
            deadline_ns: 0,
            task_id: [0; 16],
            input: RSlice::from_slice(INPUT),
            config: RSlice::from_slice(&[]),
            output: RSliceMut::from_mut_slice(&mut output),
            host: self.host,
        };
        let answer = self.plugin.call()(self.function, request);
        if answer.kind == response_kind::SUCCEEDED { 0 } else { CALL_FAILED }
    }
}

extern "C" fn log(_: u8, _: RStr<'_>) {}

extern "C" fn progress(_: f64, _: RStr<'_>) {}
