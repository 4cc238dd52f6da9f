//! Counts with callgrind: this program again, under valgrind.

use std::process::Command;

use anyhow::{Context as _, ensure};
use bulkhead_instructions::paths::Path;
use serde::{Deserialize, Serialize};

/// Has glibc copy and compare memory as on any x86-64, whatever the processor offers: its faster ways take other
/// numbers of instructions on each processor. With one arena, as their number follows that of the cores.
const TUNABLES: &str = "glibc.cpu.hwcaps=-AVX512F,-AVX512VL,-AVX512BW,-AVX2,-AVX,-AVX_Fast_Unaligned_Load,-ERMS,-FSRM\
                        :glibc.malloc.arena_max=1";

/// What counts and what made the code, as each tells it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Tools {
    /// The compiler.
    pub(crate) rustc: String,
    /// What counts.
    pub(crate) valgrind: String,
    /// The C library, whose copies and allocations are counted as well.
    pub(crate) libc: String,
}

impl Tools {
    /// Those of this machine.
    pub(crate) fn find() -> anyhow::Result<Self> {
        let valgrind = first_line("valgrind", "--version").context("install it: apt-get install valgrind")?;
        let libc = first_line("getconf", "GNU_LIBC_VERSION").unwrap_or_else(|_| "unknown".to_owned());
        Ok(Self { rustc: env!("BUILT_BY").to_owned(), valgrind, libc })
    }
}

fn first_line(program: &str, argument: &str) -> anyhow::Result<String> {
    let output = Command::new(program).arg(argument).output().with_context(|| format!("failed to run {program}"))?;
    ensure!(output.status.success(), "{program} {argument} failed");
    Ok(String::from_utf8_lossy(&output.stdout).lines().next().unwrap_or_default().to_owned())
}

/// Instructions of one operation.
pub(crate) fn count(path: &Path) -> anyhow::Result<u64> {
    let [once, twice] = [path.runs, 2 * path.runs].map(|times| collected(&path.name, times));
    let difference = twice?.saturating_sub(once?);
    let operations = path.runs * path.operations;
    Ok((difference + operations / 2) / operations)
}

/// Instructions of the whole program, with so many runs of a path.
fn collected(name: &str, times: u64) -> anyhow::Result<u64> {
    let myself = std::env::current_exe().context("failed to find this program")?;
    let mut valgrind = Command::new("valgrind");
    valgrind.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]);
    valgrind.arg(myself).args(["run", name, &times.to_string()]);
    // Whatever else is in the environment moves the stack.
    let path = std::env::var_os("PATH").unwrap_or_default();
    let output = valgrind.env_clear().env("PATH", path).env("GLIBC_TUNABLES", TUNABLES).output();
    let output = output.context("failed to run valgrind")?;
    let told = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "failed to run {name} under valgrind: {told}");
    let line = told.lines().find_map(|line| line.split_once("Collected :"));
    let number = line.and_then(|(_, number)| number.trim().parse().ok());
    number.with_context(|| format!("callgrind tells no number of instructions of {name}: {told}"))
}
