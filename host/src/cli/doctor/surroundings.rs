//! What a server or a build needs here beside the sandbox.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use nix::sys::resource::{Resource, getrlimit};
use serde::Serialize;
use tokio::process::Command;

use super::super::server::OPEN_FILES;
use super::shown;
use crate::config::Config;
use crate::executor::Machine;
use crate::store::{RedisSettings, Store};

/// How long a program may take to tell its version, and Redis to answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// Open files below which a server is short of them with few connections.
const FEW_OPEN_FILES: u64 = 4096;

/// What was found of one thing.
#[derive(Debug, Serialize)]
pub(super) struct Finding {
    /// What was looked at.
    pub(super) what: &'static str,
    /// What that means.
    pub(super) verdict: Verdict,
    /// What was found.
    pub(super) found: String,
    /// What to do about it.
    pub(super) advice: Option<String>,
}

/// What a finding means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Verdict {
    /// It is as it should be.
    Good,
    /// It is not there, and not needed.
    Absent,
    /// It will do.
    Poor,
    /// It is needed and not there.
    Bad,
}

/// Looks at everything.
pub(super) async fn look(config: &Config, machine: &Machine) -> Vec<Finding> {
    let mut findings = vec![
        kernel(machine),
        user_namespaces(machine),
        landlock(machine),
        notification(machine),
        runner(config),
        open_files(),
    ];
    findings.extend(toolchain().await);
    findings.push(redis(config).await);
    findings
}

fn finding(what: &'static str, verdict: Verdict, found: impl Into<String>, advice: Option<&str>) -> Finding {
    Finding { what, verdict, found: found.into(), advice: advice.map(str::to_owned) }
}

fn kernel(machine: &Machine) -> Finding {
    let kernel = machine.kernel.as_str();
    if machine.kernel_is_new_enough {
        return finding("kernel", Verdict::Good, kernel, None);
    }
    finding("kernel", Verdict::Poor, format!("{kernel}, older than 5.13"), Some("use a kernel from 5.13 on"))
}

fn user_namespaces(machine: &Machine) -> Finding {
    let switches = &machine.user_namespaces;
    let named = [
        ("user.max_user_namespaces", switches.max_user_namespaces, 0),
        ("kernel.unprivileged_userns_clone", switches.unprivileged_userns_clone, 0),
        ("kernel.apparmor_restrict_unprivileged_userns", switches.apparmor_restrict_unprivileged_userns, 1),
    ];
    let found: Vec<_> = named.iter().filter_map(|(name, value, _)| Some(format!("{name}={}", (*value)?))).collect();
    let is_off = named.iter().any(|(name, value, off)| {
        // The other two are for ordinary users.
        *value == Some(*off) && (machine.user != 0 || *name == "user.max_user_namespaces")
    });
    // Whether that keeps a sandbox from being built is for the layers to say.
    finding("user namespaces", if is_off { Verdict::Poor } else { Verdict::Good }, found.join(", "), None)
}

fn landlock(machine: &Machine) -> Finding {
    match machine.landlock_abi {
        Some(abi) => finding("Landlock", Verdict::Good, format!("ABI {abi}"), None),
        None => finding("Landlock", Verdict::Poor, machine.landlock_missing.clone().unwrap_or_default(), None),
    }
}

fn notification(machine: &Machine) -> Finding {
    if machine.seccomp_notification {
        return finding("seccomp notification", Verdict::Good, "forbidden system calls can be named", None);
    }
    finding("seccomp notification", Verdict::Poor, "forbidden system calls cannot be named", None)
}

fn runner(config: &Config) -> Finding {
    let beside = || std::env::current_exe().unwrap_or_default().with_file_name("bulkhead-runner");
    let path: PathBuf = config.runner.clone().unwrap_or_else(beside);
    if path.is_file() {
        return finding("runner", Verdict::Good, path.display().to_string(), None);
    }
    // Told when the probe looks for it; here it is only shown where that is.
    finding("runner", Verdict::Poor, format!("not at {}", path.display()), None)
}

fn open_files() -> Finding {
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else {
        return finding("open files", Verdict::Poor, "the limit cannot be read", None);
    };
    let can_have = hard.min(OPEN_FILES);
    let found = format!("{soft}, which servers raise to {can_have}");
    if can_have >= FEW_OPEN_FILES {
        return finding("open files", Verdict::Good, found, None);
    }
    let advice = "raise the hard limit: LimitNOFILE=65536 in the systemd unit, or ulimit -Hn 65536";
    finding("open files", Verdict::Poor, found, Some(advice))
}

/// The programs that `bulkhead build` calls.
async fn toolchain() -> Vec<Finding> {
    let mut findings = Vec::new();
    for (what, program, advice) in [
        ("cargo", "cargo", "to build packages here, install Rust from https://rustup.rs"),
        ("C linker", "cc", "to build packages here, install a C compiler (apt-get install gcc)"),
    ] {
        findings.push(match version_of(program).await {
            Some(version) => finding(what, Verdict::Good, version, None),
            None => {
                let found = "not found; only `bulkhead build` and `register` from source need it";
                finding(what, Verdict::Absent, found, Some(advice))
            }
        });
    }
    findings
}

/// The first line of what a program says of its version.
async fn version_of(program: &str) -> Option<String> {
    let mut command = Command::new(program);
    command.arg("--version").stdin(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
    let ended = tokio::time::timeout(ANSWER_TIMEOUT, command.output()).await.ok()?.ok()?;
    let first = String::from_utf8_lossy(&ended.stdout).lines().next()?.to_owned();
    ended.status.success().then_some(first)
}

async fn redis(config: &Config) -> Finding {
    let Some(url) = &config.redis else {
        return finding("Redis", Verdict::Absent, "not configured; `bulkhead up` has a store of its own", None);
    };
    let settings = RedisSettings { namespace: config.redis_namespace.clone(), ..RedisSettings::new(url.expose()) };
    let opened = tokio::time::timeout(ANSWER_TIMEOUT, Store::open_redis(settings)).await;
    let failed = match opened {
        Ok(Ok(_)) => return finding("Redis", Verdict::Good, format!("{} answers", shown(url)), None),
        Ok(Err(error)) => error.to_string(),
        Err(_) => format!("no answer within {} s", ANSWER_TIMEOUT.as_secs()),
    };
    let advice = "start it, or set BULKHEAD_REDIS or --redis to where it is";
    finding("Redis", Verdict::Bad, format!("{}: {failed}", shown(url)), Some(advice))
}
