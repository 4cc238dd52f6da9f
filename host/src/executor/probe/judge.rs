//! What a trial amounts to, layer by layer. Pure.

use bulkhead_protocol::probe::Act;

use super::advice;
use super::machine::Machine;
use super::report::{Check, Layer, LayerName, State};
use super::trial::{Seen, Tried};
use crate::executor::cgroup::{Finding, Version};

/// Landlock's interface from which on signals and abstract sockets end at the fence: landlock(7), ABI 6.
const LANDLOCK_WITH_SCOPES: u32 = 6;
/// What may stand in the root of a sandbox.
const ROOT: [&str; 3] = ["dev", "plugin.so", "tmp"];
/// The name that every sandbox gives the machine.
const HOST_NAME: &str = "bulkhead";
/// The sets of capabilities in `/proc/PID/status`, proc_pid_status(5).
const CAPABILITY_SETS: [&str; 5] = ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"];

/// A layer while it is looked at.
struct Draft {
    name: LayerName,
    checks: Vec<Check>,
    /// What makes the layer weaker than it could be, and what to do about that.
    weaker: Vec<(String, String)>,
    /// What to do about it when it is missing.
    advice: Option<String>,
}

/// Judges every layer.
pub(super) fn judge(seen: &Seen, machine: &Machine, cgroups: &[Finding]) -> Vec<Layer> {
    if let Some((step, errno)) = &seen.failure {
        return without_sandbox(step, *errno, machine);
    }
    let drafts = [
        namespaces(seen),
        ids(seen, machine),
        files(seen),
        privileges(seen),
        child(seen, machine),
        system_calls(seen),
        network(seen),
        limits(seen, cgroups),
        kill(seen, cgroups),
    ];
    drafts.into_iter().map(Draft::finish).collect()
}

/// No sandbox could be built: one layer is to blame, and of the others nothing is known.
fn without_sandbox(step: &str, errno: i32, machine: &Machine) -> Vec<Layer> {
    let blamed = advice::layer_of_step(step);
    let reason = if errno == 0 { String::new() } else { format!(": {}", std::io::Error::from_raw_os_error(errno)) };
    let layer = |name| {
        let is_blamed = name == blamed;
        Layer {
            name,
            state: if is_blamed { State::Missing } else { State::Unknown },
            why: if is_blamed {
                format!("failed to {step}{reason}")
            } else {
                format!("no sandbox could be built to try it in, for want of {}", blamed.as_str())
            },
            advice: is_blamed.then(|| advice::for_step(step, errno, machine)),
            checks: Vec::new(),
        }
    };
    LayerName::ALL.into_iter().map(layer).collect()
}

impl Draft {
    fn new(name: LayerName) -> Self {
        Self { name, checks: Vec::new(), weaker: Vec::new(), advice: None }
    }

    /// Notes something that was looked at.
    fn check(mut self, what: &str, held: bool, found: impl Into<String>) -> Self {
        self.checks.push(Check { what: what.to_owned(), held, found: found.into() });
        self
    }

    /// Notes what came of an act, if it was tried.
    fn act(self, seen: &Seen, act: Act, what: &str) -> Self {
        let Some((_, tried)) = seen.acts.iter().find(|(tried, _)| *tried == act) else { return self };
        let what = format!("cannot {what}");
        match tried {
            Tried::Refused(by) => self.check(&what, true, by.as_str()),
            Tried::Done => self.check(&what, false, "it was done"),
            Tried::Odd(what_happened) => self.check(&what, false, format!("unexpected: {what_happened}")),
        }
    }

    /// Notes what makes it weaker, where that is so.
    fn weaker_if(mut self, is_so: bool, why: impl Into<String>, advice: impl Into<String>) -> Self {
        if is_so {
            self.weaker.push((why.into(), advice.into()));
        }
        self
    }

    fn advise(mut self, advice: String) -> Self {
        self.advice = Some(advice);
        self
    }

    fn finish(self) -> Layer {
        let Self { name, checks, weaker, advice } = self;
        let failed: Vec<_> = checks.iter().filter(|check| !check.held).collect();
        if !failed.is_empty() {
            let why = failed.iter().map(|check| format!("{}: {}", check.what, check.found));
            let why = why.collect::<Vec<_>>().join("; ");
            let advice = advice.unwrap_or_else(|| "report this with the output of `bulkhead doctor --json`".to_owned());
            return Layer { name, state: State::Missing, why, advice: Some(advice), checks };
        }
        if weaker.is_empty() {
            let count = checks.len();
            let why = if count == 1 { "1 check".to_owned() } else { format!("{count} checks") };
            return Layer { name, state: State::Held, why, advice: None, checks };
        }
        let join = |texts: Vec<String>| texts.join("; ");
        let (why, advice): (Vec<_>, Vec<_>) = weaker.into_iter().unzip();
        let mut advice = advice;
        advice.dedup();
        Layer { name, state: State::Weaker, why: join(why), advice: Some(join(advice)), checks }
    }
}

/// A field of `/proc/PID/status`.
fn field<'a>(status: &'a str, name: &str) -> &'a str {
    let lines = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    lines.map(str::trim).unwrap_or_default()
}

fn namespaces(seen: &Seen) -> Draft {
    let pids = field(&seen.status, "NSpid");
    let draft = Draft::new(LayerName::Namespaces)
        .check("a sandbox in seven new namespaces can be built", true, "it was built")
        .check("its processes have pids of their own", pids.split_whitespace().count() > 1, format!("NSpid {pids}"));
    let Some(around) = &seen.around else { return draft };
    draft
        .check("the parent of a call is the sandbox's init", around.parent == 1, format!("pid {}", around.parent))
        .check("the machine has another name inside", around.host_name == HOST_NAME, around.host_name.as_str())
}

fn ids(seen: &Seen, machine: &Machine) -> Draft {
    let users = field(&seen.status, "Uid");
    let own = machine.user.to_string();
    let mut draft = Draft::new(LayerName::Ids);
    if machine.user == 0 {
        let is_nobody = users.split_whitespace().count() == 4 && users.split_whitespace().all(|user| user != "0");
        draft = draft.check("calls run as a user that is nobody else on the host", is_nobody, format!("user {users}"));
    } else {
        let is_own = users.split_whitespace().count() == 4 && users.split_whitespace().all(|user| user == own);
        draft = draft.check("calls run as the server's user and no other", is_own, format!("user {users}"));
    }
    let groups = field(&seen.status, "Groups");
    draft.act(seen, Act::BecomeRoot, "become root").weaker_if(
        machine.user != 0
            && groups
                .split_whitespace()
                .any(|group| group != field(&seen.status, "Gid").split_whitespace().next().unwrap_or_default()),
        format!("the server's supplementary groups stay with calls ({groups}), as an ordinary user cannot drop them"),
        "start the server without them: setpriv --clear-groups, or a systemd unit with User= and no extra groups",
    )
}

fn files(seen: &Seen) -> Draft {
    let mut draft = Draft::new(LayerName::Files);
    if let Some(around) = &seen.around {
        let is_bare = around.root == ROOT;
        draft = draft.check("the root holds nothing of the host", is_bare, around.root.join(" "));
    }
    draft
        .act(seen, Act::ReadProc, "read /proc")
        .act(seen, Act::ReadHostFile, "read /etc/passwd")
        .act(seen, Act::WriteRoot, "write to the root")
        .act(seen, Act::MakeDevice, "make a device")
        .act(seen, Act::FillFolder, "fill more than its folder")
}

fn privileges(seen: &Seen) -> Draft {
    let mut draft = Draft::new(LayerName::Privileges);
    for set in CAPABILITY_SETS {
        let found = field(&seen.status, set);
        let is_empty = !found.is_empty() && found.bytes().all(|digit| digit == b'0');
        draft = draft.check(&format!("{set} is empty"), is_empty, found);
    }
    let promise = field(&seen.status, "NoNewPrivs");
    draft = draft.check("no privilege can be gained", promise == "1", format!("NoNewPrivs {promise}"));
    if let Some(around) = &seen.around {
        let open = format!("{} beyond the standard three", around.open_files);
        draft = draft.check("no file of the host is open", around.open_files == 0, open).check(
            "no core file is written",
            !around.core_files,
            format!("{}", around.core_files),
        );
    }
    draft.act(seen, Act::RaiseLimit, "raise its limits")
}

fn child(seen: &Seen, machine: &Machine) -> Draft {
    let draft = Draft::new(LayerName::Child)
        .check(
            "Landlock is there",
            machine.landlock_abi.is_some(),
            match (machine.landlock_abi, &machine.landlock_missing) {
                (Some(abi), _) => format!("ABI {abi}"),
                (None, Some(why)) => why.clone(),
                (None, None) => "it is not".to_owned(),
            },
        )
        .act(seen, Act::OpenSibling, "open another call's folder")
        .act(seen, Act::WriteZero, "get memory from /dev/zero")
        .act(seen, Act::SignalAll, "signal others")
        .act(seen, Act::SignalInit, "signal init")
        .act(seen, Act::NewCode, "make memory executable");
    let abi = machine.landlock_abi.unwrap_or(0);
    draft
        .weaker_if(
            abi > 0 && abi < LANDLOCK_WITH_SCOPES,
            format!(
                "Landlock's ABI {abi} does not end signals and abstract sockets at a call; the system call filter does"
            ),
            "use a kernel from 6.12 on",
        )
        .advise(advice::for_landlock())
}

fn system_calls(seen: &Seen) -> Draft {
    let mode = field(&seen.status, "Seccomp");
    Draft::new(LayerName::SystemCalls)
        .check("a filter is in force", mode == "2", format!("Seccomp {mode}"))
        .act(seen, Act::Fork, "make a process")
        .act(seen, Act::Execute, "execute a file")
        .act(seen, Act::IoUring, "set up an io_uring")
        .act(seen, Act::Trace, "trace a process")
        .act(seen, Act::Unshare, "make a namespace")
        .weaker_if(
            !seen.is_supervised,
            "a forbidden system call ends its call without being named, as the kernel's notifications cannot be had",
            "let the container's profile allow seccomp's notifications (Linux 5.0)",
        )
}

fn network(seen: &Seen) -> Draft {
    Draft::new(LayerName::Network)
        .check("a network namespace of its own, with nothing in it", true, "it was made with the others")
        .act(seen, Act::SocketInet, "make an IPv4 socket")
        .act(seen, Act::SocketUnix, "make a Unix socket")
        .act(seen, Act::SocketVsock, "make a socket to the hypervisor")
        .act(seen, Act::SocketNetlink, "make a socket to the kernel")
}

fn limits(seen: &Seen, cgroups: &[Finding]) -> Draft {
    let mut draft = Draft::new(LayerName::Limits);
    for (name, instead) in [
        ("memory", "RLIMIT_DATA holds the memory of each process"),
        ("pids", "RLIMIT_NPROC holds threads, counted over all calls of a function"),
    ] {
        let Some(finding) = cgroups.iter().find(|finding| finding.name == name) else { continue };
        match &finding.found {
            Ok((version, folder)) => {
                let version = if *version == Version::V1 { 1 } else { 2 };
                let found = format!("version {version}, in {}", folder.display());
                draft = draft.check(&format!("a cgroup counts {name}"), true, found);
            }
            Err(missing) => {
                let why = format!("no cgroup counts {name} ({missing}); {instead}");
                draft = draft.weaker_if(true, why, advice::for_cgroup(missing));
            }
        }
    }
    draft
        .act(seen, Act::MuchMemory, "take more memory than its limit")
        .act(seen, Act::ManyThreads, "start more threads than its limit")
        .act(seen, Act::ManyFiles, "open more files than its limit")
}

fn kill(seen: &Seen, cgroups: &[Finding]) -> Draft {
    let by_file = cgroups.iter().any(|finding| finding.name == "cgroup.kill" && finding.found.is_ok());
    let found = if by_file { "by init, by cgroup.kill, by the end of init" } else { "by init, by the end of init" };
    Draft::new(LayerName::Kill).check("all that runs in a sandbox can be killed", true, found).act(
        seen,
        Act::SleepForever,
        "run on after its deadline",
    )
}

#[cfg(test)]
mod tests;
