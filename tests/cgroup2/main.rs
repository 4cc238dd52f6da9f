//! The hostile suite's rows about memory and processes on a machine with cgroup version 2 alone: Debian's own
//! kernel (6.1, with an older Landlock) under software emulation, as root and as an ordinary user, each in
//! a group that was delegated to it. Run it with `just test-cgroup2`; it takes two to four minutes.

mod machine;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Instant;

use bulkhead_tests::{CommandLine, Executables, checkout, require_or_skip};
use machine::Parts;
use serde_json::Value;
use tempfile::TempDir;

/// The rows, as far as the crate of faulty functions has them.
const ROWS: [(&str, Expected); 7] = [
    ("anonymous_bomb", Expected::OutOfMemory),
    ("memfd_bomb", Expected::OutOfMemory),
    ("tmpfs_bomb", Expected::OutOfMemory),
    ("sparse_page_tables", Expected::OutOfMemory),
    ("many_small_mappings", Expected::OutOfMemory),
    ("thread_bomb", Expected::Stopped { least: 32, most: 63, errnos: &[EAGAIN] }),
    ("fork_bomb", Expected::Stopped { least: 0, most: 0, errnos: &[EPERM, EAGAIN] }),
];
const EPERM: u64 = 1;
const EAGAIN: u64 = 11;
/// Whom the guest runs the suite as; also the names of their groups.
const SETTINGS: [&str; 2] = ["root", "user"];
/// Landlock's interface in Linux 6.1.
const LANDLOCK_ABI: u64 = 2;

/// What a row has to come to.
#[derive(Clone, Copy)]
enum Expected {
    /// Killed for lack of memory, or a failed allocation.
    OutOfMemory,
    /// A result that tells how far it came and with which error number it was stopped.
    Stopped { least: u64, most: u64, errnos: &'static [u64] },
}

/// What the guest said of one thing.
struct Said {
    code: i32,
    json: Value,
}

/// What the guest said, by kind and name.
struct Console {
    text: String,
    said: BTreeMap<(String, String), String>,
}

impl Console {
    fn read(text: String) -> Self {
        let lines = text.lines().filter_map(|line| line.split_once("@@ ").map(|(_, line)| line));
        let said = lines.filter_map(|line| {
            let mut words = line.splitn(3, ' ');
            let (kind, name) = (words.next()?.to_owned(), words.next()?.to_owned());
            Some(((kind, name), words.next().unwrap_or_default().to_owned()))
        });
        Self { said: said.collect(), text }
    }

    #[track_caller]
    fn line(&self, kind: &str, name: &str) -> &str {
        let line = self.said.get(&(kind.to_owned(), name.to_owned()));
        line.unwrap_or_else(|| panic!("the guest said nothing of {kind} {name}:\n{}", self.text))
    }

    /// An exit code and what was printed.
    #[track_caller]
    fn said(&self, kind: &str, name: &str) -> Said {
        let line = self.line(kind, name);
        let (code, json) = line.split_once(' ').unwrap_or((line, ""));
        let json = serde_json::from_str(json).unwrap_or_else(|error| panic!("{kind} {name}: {error}: {line}"));
        Said { code: code.parse().expect("an exit code"), json }
    }
}

#[test]
fn memory_and_processes_are_held_by_cgroup_version_2() {
    let begun = Instant::now();
    let parts = match Parts::find() {
        Ok(parts) => parts,
        Err(why) => return drop(require_or_skip(false, &why)),
    };
    let kernel = match parts.kernel() {
        Ok(kernel) => kernel,
        Err(why) => return drop(require_or_skip(false, &why)),
    };
    let executables = Executables {
        bulkhead: env!("CARGO_BIN_EXE_bulkhead-under-test").into(),
        runner: env!("CARGO_BIN_EXE_bulkhead-runner-under-test").into(),
    };
    let packages = TempDir::new().expect("a temporary folder");
    let rows = pack(&executables, packages.path());
    let initramfs = parts.initramfs(&executables, packages.path());
    println!("packed after {} s; the machine starts", begun.elapsed().as_secs());
    let console = Console::read(parts.run(&kernel, &initramfs));
    println!("the machine ended after {} s", begun.elapsed().as_secs());
    assert!(console.text.contains("@@ end "), "the guest did not come to its end:\n{}", console.text);

    check_doctor(&console.said("doctor", "everybody"));
    for setting in SETTINGS {
        check_doctor(&console.said("doctor", setting));
        for (function, expected) in &rows {
            let name = format!("{setting}/{function}");
            println!("{name}: {}", console.line("row", &name));
            check_row(&name, *expected, &console.said("row", &name));
            let canary = console.said("canary", &name);
            assert_eq!((canary.code, &canary.json["result"]), (0, &Value::from("Hello, Ada!")), "after {name}");
        }
        // It made room in the group that it was started in, and took its own groups away again.
        let stands = console.line("stands", setting);
        assert!(stands.starts_with(&format!("0::/{setting}/bulkhead-")) && stands.ends_with("-host"), "{stands}");
        assert_eq!(console.line("left", setting), "", "{setting}: groups are left");
        assert_eq!(console.line("processes", setting), "0", "{setting}");
    }
}

/// Builds the packages, and the list of functions to call.
fn pack(executables: &Executables, folder: &Path) -> Vec<(&'static str, Expected)> {
    let command_line = CommandLine::new(executables, &checkout());
    let out = folder.to_str().expect("a path in UTF-8");
    for name in ["faulty", "hello"] {
        command_line.run(&["build", &format!("sample-functions/{name}"), "--out", out]).expect(0);
    }
    let package = folder.join("faulty.bhpkg");
    let described = command_line.run(&["check", "--json", package.to_str().expect("UTF-8")]).expect(0).json();
    let functions = described["functions"].as_array().expect("a list");
    let has = |name: &str| functions.iter().any(|function| function["name"] == name);
    let (rows, absent): (Vec<_>, Vec<_>) = ROWS.into_iter().partition(|(name, _)| has(name));
    for (name, _) in absent {
        println!("left out: sample-functions/faulty has no {name}");
    }
    assert!(rows.len() >= 3, "the rows are called otherwise now");
    let names: Vec<_> = rows.iter().map(|(name, _)| *name).collect();
    fs::write(folder.join("functions"), names.join("\n")).expect("a file");
    rows
}

/// Checks that memory and processes are counted by version 2, and that an older Landlock will do.
#[track_caller]
fn check_doctor(said: &Said) {
    let report = &said.json;
    assert_eq!(said.code, 0, "{report:#}");
    assert_eq!(report["floor"]["met"], true, "{report:#}");
    assert_eq!(report["machine"]["landlock_abi"], LANDLOCK_ABI, "{report:#}");
    let layers = report["layers"].as_array().expect("a list");
    let state = |name: &str| layers.iter().find(|layer| layer["name"] == name).map(|layer| &layer["state"]);
    assert_eq!(state("limits"), Some(&Value::from("held")), "{report:#}");
    assert_eq!(state("child"), Some(&Value::from("weaker")), "{report:#}");
    for controller in report["cgroups"].as_array().expect("a list") {
        assert_eq!(controller["version"], 2, "{controller:#}");
    }
}

#[track_caller]
fn check_row(name: &str, expected: Expected, said: &Said) {
    let json = &said.json;
    match expected {
        Expected::OutOfMemory => {
            // A call that takes longer is answered as a task.
            let outcome = if json["outcome"].is_null() { &json["problem"]["outcome"] } else { &json["outcome"] };
            assert_eq!((said.code, &outcome["kind"]), (2, &Value::from("OutOfMemory")), "{name}: {json:#}");
            // Told by memory.events, and not concluded from a message.
            let by_the_kernel = outcome["inferred"] == false;
            assert!(by_the_kernel || name.ends_with("many_small_mappings"), "{name}: {json:#}");
        }
        Expected::Stopped { least, most, errnos } => {
            assert_eq!(said.code, 0, "{name}: {json:#}");
            let result = &json["result"];
            let (count, errno) = (result["count"].as_u64(), result["errno"].as_u64());
            assert!(count.is_some_and(|count| (least..=most).contains(&count)), "{name}: {json:#}");
            assert!(errno.is_some_and(|errno| errnos.contains(&errno)), "{name}: {json:#}");
        }
    }
}
