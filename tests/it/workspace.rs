//! Dependencies point one way, as the design says.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use bulkhead_tests::checkout;
use cargo_metadata::{DependencyKind, Metadata, MetadataCommand};

fn metadata() -> Metadata {
    let mut command = MetadataCommand::new();
    command.manifest_path(checkout().join("Cargo.toml")).no_deps().exec().expect("the workspace can be read")
}

/// The crates of each crate's dependencies that count when it runs or is built, by name.
fn dependencies(metadata: &Metadata) -> BTreeMap<String, BTreeSet<String>> {
    let packages = metadata.packages.iter().map(|package| {
        let used = package.dependencies.iter().filter(|dependency| dependency.kind != DependencyKind::Development);
        (package.name.to_string(), used.map(|dependency| dependency.name.clone()).collect())
    });
    packages.collect()
}

#[test]
fn crates_depend_on_each_other_as_the_design_says() {
    let metadata = metadata();
    let all = dependencies(&metadata);
    let ours = |name: &str| -> BTreeSet<&str> {
        let used = all.get(name).unwrap_or_else(|| panic!("there is no crate {name}"));
        used.iter().map(String::as_str).filter(|used| all.contains_key(*used)).collect()
    };
    let named: [(&str, &[&str]); 10] = [
        ("bulkhead-protocol", &[]),
        ("bulkhead-abi", &[]),
        ("bulkhead-macros", &[]),
        ("bulkhead-dispatch", &["bulkhead-protocol"]),
        ("bulkhead-eval", &[]),
        ("bulkhead-sdk", &["bulkhead-abi", "bulkhead-macros"]),
        ("bulkhead-runner", &["bulkhead-abi", "bulkhead-protocol"]),
        ("bulkhead", &["bulkhead-dispatch", "bulkhead-eval", "bulkhead-protocol"]),
        ("bulkhead-instructions", &["bulkhead-dispatch", "bulkhead-protocol"]),
        ("bulkhead-tests", &["bulkhead", "bulkhead-dispatch", "bulkhead-protocol", "bulkhead-runner"]),
    ];
    for (name, expected) in named {
        assert_eq!(ours(name), expected.iter().copied().collect(), "{name}");
    }
    let samples: Vec<&String> = all.keys().filter(|name| !named.iter().any(|(known, _)| known == name)).collect();
    assert!(samples.len() > 15, "{samples:?}");
    for name in samples {
        // Attackers read the source: those who forge answers know how answers look.
        let allowed: &[&str] =
            if name.starts_with("faulty") { &["bulkhead-sdk", "bulkhead-protocol"] } else { &["bulkhead-sdk"] };
        let allowed = allowed.iter().copied().collect();
        assert!(ours(name).is_subset(&allowed), "{name} depends on {:?}", ours(name));
    }
}

#[test]
fn finished_crates_are_named_where_they_can_be_replaced() {
    let metadata = metadata();
    let users = |name: &str| -> BTreeSet<String> {
        let all = dependencies(&metadata);
        all.into_iter().filter(|(_, used)| used.contains(name)).map(|(user, _)| user).collect()
    };
    // The SDK decodes arguments inside the sandbox, and may not depend on the host's protocol.
    assert_eq!(users("bincode"), ["bulkhead-protocol", "bulkhead-sdk"].map(str::to_owned).into());
    let allowed = ["bulkhead-abi", "bulkhead-macros", "bulkhead-runner"].map(str::to_owned).into();
    assert!(users("abi_stable").is_subset(&allowed), "{:?}", users("abi_stable"));
}

#[test]
fn each_names_bincode_in_one_module() {
    let mut modules = BTreeSet::new();
    for folder in ["host", "sdk", "tests/harness"] {
        sources(&checkout().join(folder), &mut |path, text| {
            // Tests may hold what the module makes against the crate itself.
            if path.ends_with("tests.rs")
                || path.components().any(|part| part.as_os_str() == "tests") && folder != "tests/harness"
            {
                return;
            }
            let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
            if code.into_iter().any(|line| line.contains("bincode::")) {
                modules
                    .insert(path.strip_prefix(checkout()).expect("below the checkout").to_string_lossy().into_owned());
            }
        });
    }
    assert_eq!(modules, ["host/protocol/src/codec.rs", "sdk/src/codec.rs"].map(str::to_owned).into());
}

/// Visits every source file below a folder.
fn sources(folder: &Path, visit: &mut dyn FnMut(&Path, &str)) {
    for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
        let path = entry.path();
        if path.is_dir() && entry.file_name() != "target" {
            sources(&path, visit);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            visit(&path, &std::fs::read_to_string(&path).expect("a source file"));
        }
    }
}

#[test]
fn inside_the_host_workers_and_executor_know_nothing_of_the_store() {
    let below = |folder: &str, forbidden: &[&str]| {
        sources(&checkout().join("host/src").join(folder), &mut |path, text| {
            for name in forbidden {
                assert!(!text.contains(name), "{} names {name}", path.display());
            }
        });
    };
    below("executor", &["crate::store", "crate::gateway", "crate::dispatcher"]);
    below("store", &["crate::gateway", "crate::dispatcher", "crate::executor"]);
    below("dispatcher", &["crate::gateway", "crate::cli"]);
    below("gateway", &["crate::cli"]);
}
