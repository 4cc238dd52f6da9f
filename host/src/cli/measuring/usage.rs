//! What each part of a cluster uses: processor time and memory, from /proc.

use std::collections::BTreeMap;
use std::fs;

use bulkhead_eval::results::PartUse;
use nix::unistd::{SysconfVar, sysconf};

/// The name under which sandboxed processes are counted.
const FUNCTIONS: &str = "functions";

/// A look at the processes of a cluster.
#[derive(Clone, Debug, Default)]
pub(in crate::cli) struct Look(BTreeMap<String, Used>);

#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Used {
    processes: u32,
    cpu_ticks: u64,
    memory_bytes: u64,
}

/// A process as proc_pid_stat(5) has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stat {
    parent: u32,
    /// Its own.
    ticks: u64,
    /// Of its children that ended and were reaped.
    ticks_of_children: u64,
    resident_pages: u64,
}

impl Look {
    /// Looks at the parts and at everything below them. Of processes below, what their ended children used
    /// counts as well.
    pub(in crate::cli) fn at(parts: &[(&'static str, u32)]) -> Self {
        let all = processes();
        let page_bytes = sysconf(SysconfVar::PAGE_SIZE).ok().flatten().and_then(|it| u64::try_from(it).ok());
        let page_bytes = page_bytes.unwrap_or(4096);
        let mut used: BTreeMap<String, Used> = BTreeMap::new();
        let mut above: Vec<u32> = Vec::new();
        for (kind, pid) in parts {
            let Some(stat) = all.get(pid) else { continue };
            let part = used.entry((*kind).to_owned()).or_default();
            part.processes += 1;
            part.cpu_ticks += stat.ticks;
            part.memory_bytes += stat.resident_pages * page_bytes;
            above.push(*pid);
        }
        while let Some(parent) = above.pop() {
            for (pid, stat) in all.iter().filter(|(_, stat)| stat.parent == parent) {
                let part = used.entry(FUNCTIONS.to_owned()).or_default();
                part.processes += 1;
                part.cpu_ticks += stat.ticks + stat.ticks_of_children;
                part.memory_bytes += proportional_bytes(*pid).unwrap_or(stat.resident_pages * page_bytes);
                above.push(*pid);
            }
        }
        Self(used)
    }

    /// What was used since an earlier look; memory as it is now.
    pub(in crate::cli) fn since(&self, before: &Self) -> Vec<PartUse> {
        let per_second = sysconf(SysconfVar::CLK_TCK).ok().flatten().filter(|ticks| *ticks > 0).unwrap_or(100);
        let part = |(name, now): (&String, &Used)| {
            let then = before.0.get(name).map_or(0, |used| used.cpu_ticks);
            PartUse {
                part: name.clone(),
                processes: now.processes,
                // What ended meanwhile took its time with it.
                cpu_seconds: now.cpu_ticks.saturating_sub(then) as f64 / per_second as f64,
                memory_bytes: now.memory_bytes,
            }
        };
        self.0.iter().map(part).collect()
    }
}

/// The processes below one, theirs too.
pub(in crate::cli) fn below(top: u32) -> Vec<u32> {
    let all = processes();
    let (mut above, mut found) = (vec![top], Vec::new());
    while let Some(parent) = above.pop() {
        let children = all.iter().filter(|(_, stat)| stat.parent == parent).map(|(pid, _)| *pid);
        above.extend(children.clone());
        found.extend(children);
    }
    found
}

fn processes() -> BTreeMap<u32, Stat> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.filter_map(|pid| Some((pid, parse(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)?))).collect()
}

fn parse(stat: &str) -> Option<Stat> {
    // The name may hold anything, also parentheses.
    let fields: Vec<&str> = stat.rsplit_once(") ")?.1.split_whitespace().collect();
    let field = |place: usize| fields.get(place)?.parse::<i64>().ok().map(|value| u64::try_from(value).unwrap_or(0));
    Some(Stat {
        parent: u32::try_from(field(1)?).ok()?,
        ticks: field(11)? + field(12)?,
        ticks_of_children: field(13)? + field(14)?,
        resident_pages: field(21)?,
    })
}

/// Resident memory with shared pages divided among those that share them; none where it may not be read.
pub(in crate::cli) fn proportional_bytes(pid: u32) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:"))?;
    Some(line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()? * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_proc_is_read_whatever_the_name() {
        let line = "42 (a) (b) S 7 42 42 0 -1 4194560 100 0 0 0 3 4 5 6 20 0 1 0 100 1000000 250 0";
        let expected = Stat { parent: 7, ticks: 7, ticks_of_children: 11, resident_pages: 250 };
        assert_eq!(parse(line), Some(expected));
        assert_eq!(parse("nonsense"), None);
    }

    #[test]
    fn this_process_uses_memory_and_what_is_below_it_counts_as_functions() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let look = Look::at(&[("server", std::process::id())]);
        let used = look.since(&Look::default());
        child.kill().unwrap();
        child.wait().unwrap();
        let part = |name: &str| used.iter().find(|part| part.part == name).unwrap();
        assert_eq!(part("server").processes, 1);
        assert!(part("server").memory_bytes > 0 && part(FUNCTIONS).processes >= 1);
    }
}
