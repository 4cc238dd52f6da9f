//! The machine, and how quiet it is.

use std::fs;
use std::path::Path;
use std::process::Command;

use bulkhead_eval::results::{Commit, Machine};

/// Processor time of the whole machine so far, in clock ticks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::cli) struct Ticks {
    all: u64,
    idle: u64,
    stolen: u64,
}

impl Ticks {
    /// Reads them; nothing where /proc/stat is not as proc(5) has it.
    pub(in crate::cli) fn read() -> Self {
        fs::read_to_string("/proc/stat").map(|text| Self::parse(&text)).unwrap_or_default()
    }

    fn parse(text: &str) -> Self {
        let first = text.lines().next().unwrap_or_default();
        let fields: Vec<u64> = first.split_whitespace().skip(1).filter_map(|field| field.parse().ok()).collect();
        let field = |place: usize| fields.get(place).copied().unwrap_or_default();
        // user nice system idle iowait irq softirq steal; the two after those are part of user and nice.
        Self { all: fields.iter().take(8).sum(), idle: field(3) + field(4), stolen: field(7) }
    }

    /// The shares that were stolen by other virtual machines and that were used by anybody, since then.
    pub(in crate::cli) fn shares_since(self, before: Self) -> (f64, f64) {
        let all = self.all.saturating_sub(before.all) as f64;
        if all == 0.0 {
            return (0.0, 0.0);
        }
        let stolen = self.stolen.saturating_sub(before.stolen) as f64;
        let idle = self.idle.saturating_sub(before.idle) as f64;
        (stolen / all, ((all - idle - stolen) / all).max(0.0))
    }
}

/// Looks at the machine.
pub(in crate::cli) fn look() -> Machine {
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let meminfo = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let after_colon = |text: &str, name: &str| -> Option<String> {
        let line = text.lines().find(|line| line.starts_with(name))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    };
    let kibibytes = after_colon(&meminfo, "MemTotal").and_then(|text| text.split(' ').next()?.parse::<u64>().ok());
    let kernel = nix::sys::utsname::uname()
        .map(|name| format!("{} {} {}", name.sysname().display(), name.release().display(), name.machine().display()));
    Machine {
        // Arm has no such line.
        cpu: after_colon(&cpuinfo, "model name").unwrap_or_else(|| std::env::consts::ARCH.to_owned()),
        cores: cores(),
        memory_bytes: kibibytes.unwrap_or_default() * 1024,
        kernel: kernel.unwrap_or_else(|_| "unknown".to_owned()),
        load_before: load_average(),
        steal_share: 0.0,
        busy_share: 0.0,
    }
}

/// Processors that this process may use.
pub(in crate::cli) fn cores() -> u32 {
    std::thread::available_parallelism().map_or(1, |cores| u32::try_from(cores.get()).unwrap_or(u32::MAX))
}

fn load_average() -> f64 {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().and_then(|first| first.parse().ok()).unwrap_or_default()
}

/// The source that this program was built from, where its checkout and git are there.
pub(in crate::cli) fn commit() -> Option<Commit> {
    let checkout = Path::new(env!("CARGO_MANIFEST_DIR"));
    let git = |arguments: &[&str]| -> Option<String> {
        let told = Command::new("git").arg("-C").arg(checkout).args(arguments).output().ok()?;
        told.status.success().then(|| String::from_utf8_lossy(&told.stdout).trim().to_owned())
    };
    Some(Commit { hash: git(&["rev-parse", "HEAD"])?, changed: !git(&["status", "--porcelain"])?.is_empty() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_of_the_time_between() {
        let before = Ticks::parse("cpu  100 0 50 800 50 0 0 0 0 0\ncpu0 1 2\n");
        let after = Ticks::parse("cpu  150 0 70 810 60 0 0 10 5 5\n");
        // 100 ticks went by: 50 + 20 used, 20 idle, 10 stolen.
        assert_eq!(after.shares_since(before), (0.1, 0.7));
        assert_eq!(Ticks::parse("nonsense").shares_since(Ticks::default()), (0.0, 0.0));
    }

    #[test]
    fn this_machine_is_known() {
        let machine = look();
        assert!(machine.cores > 0 && machine.memory_bytes > 0 && machine.kernel.starts_with("Linux "), "{machine:?}");
    }
}
