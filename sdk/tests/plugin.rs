//! Libraries that the SDK is in, loaded as the runner loads them.
//!
//! Without the runner's sandbox, so the crates with constructors are not for here.

use std::path::{Path, PathBuf};
use std::{env, process::Command};

use bulkhead_abi::{Host, LoadError, PluginRef, RSlice, RSliceMut, RStr, Request, Seed, encoding, load, response_kind};
use serde_json::{Value, json};

/// Builds the cdylib of a workspace member, next to the programs of this test run.
fn build(package: &str) -> PathBuf {
    // CARGO_TARGET_TMPDIR is the folder `tmp` of the target folder.
    let target = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).parent().expect("the target folder").to_owned();
    let status = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "--package", package, "--target-dir"])
        .arg(&target)
        .status()
        .expect("cargo starts");
    assert!(status.success(), "{package} builds");
    target.join(format!("debug/lib{}.so", package.replace('-', "_")))
}

extern "C" fn log(_: u8, _: RStr<'_>) {}

extern "C" fn progress(_: f64, _: RStr<'_>) {}

fn call(plugin: PluginRef, function: u32, args: &[u8]) -> (u8, Value) {
    let mut output = vec![0; bulkhead_abi::MIN_OUTPUT_BYTES];
    let request = Request {
        encoding: encoding::JSON,
        attempt: 1,
        deadline_ns: 0,
        task_id: [0; 16],
        input: RSlice::from_slice(args),
        config: RSlice::EMPTY,
        output: RSliceMut::from_mut_slice(&mut output),
        host: Host { log, progress }.leak(),
    };
    let response = plugin.call()(function, request);
    let length = usize::try_from(response.length).unwrap();
    (response.kind, serde_json::from_slice(&output[..length]).unwrap_or_default())
}

#[test]
fn a_library_with_one_function_is_a_plugin() {
    let plugin = load(&build("hello")).expect("hello loads");
    plugin.after_fork().expect("this ABI has it")(Seed { bytes: [1; 32] });

    let description: Value = serde_json::from_slice(&plugin.describe()()).unwrap();
    assert_eq!(description["abi_version"], bulkhead_abi::ABI_VERSION);
    assert_eq!(description["functions"][0]["name"], "hello");
    assert_eq!(description.get("error"), None);

    let greeted = call(plugin, 0, br#"{"who":"Ada"}"#);
    assert_eq!(greeted, (response_kind::SUCCEEDED, json!("Hello, Ada!")));
    let (kind, fault) = call(plugin, 0, br#"{"who":5}"#);
    assert_eq!(kind, response_kind::INVALID_INPUT);
    assert_eq!(fault["path"], "args.who");
    assert_eq!(call(plugin, 1, b"").0, response_kind::NO_SUCH_FUNCTION);
}

#[test]
fn a_library_with_many_functions_tells_all_of_them() {
    let plugin = load(&build("faulty")).expect("faulty loads");
    let description: Value = serde_json::from_slice(&plugin.describe()()).unwrap();
    let functions = description["functions"].as_array().unwrap();
    assert_eq!(functions.len(), attributes_in("faulty"));
    let panics = functions.iter().position(|one| one["name"] == "panics");
    let (kind, fault) = call(plugin, u32::try_from(panics.unwrap()).unwrap(), b"");
    assert_eq!(kind, response_kind::PANICKED);
    assert_eq!(fault["message"], "a deliberate panic");
}

/// How many functions the source of a sample declares.
fn attributes_in(sample: &str) -> usize {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../sample-functions").join(sample).join("src");
    let files = std::fs::read_dir(folder).expect("its source is there");
    let texts = files.map(|file| std::fs::read_to_string(file.unwrap().path()).unwrap());
    texts.map(|text| text.lines().filter(|line| line.starts_with("#[bulkhead::function")).count()).sum()
}

#[test]
fn unusable_libraries_say_why() {
    let other_abi = load(&build("faulty-abi")).err();
    assert!(matches!(other_abi, Some(LoadError::IncompatibleAbi { .. })), "{other_abi:?}");
    let no_plugin = load(&build("faulty-no-root-module")).err();
    assert!(matches!(no_plugin, Some(LoadError::MissingRootModule)), "{no_plugin:?}");
    let describe = |package: &str| -> Value {
        let plugin = load(&build(package)).expect("it loads");
        serde_json::from_slice(&plugin.describe()()).unwrap()
    };
    assert_eq!(describe("faulty-no-functions")["functions"], json!([]));
    let twins = describe("faulty-duplicate-names");
    let complaint = twins["error"].as_str().unwrap();
    assert!(complaint.contains("two functions are named `twin`"), "{complaint}");
}
