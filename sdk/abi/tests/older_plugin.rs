//! A package that was built against an older ABI still loads, and its missing entry is seen as missing.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

use bulkhead_abi::{Host, LoadError, RSlice, RSliceMut, RStr, Request, encoding, load, response_kind};

/// Builds a fixture, which is no member of this workspace, and returns its cdylib.
fn build(fixture: &str) -> PathBuf {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures").join(fixture).join("Cargo.toml");
    // One folder for all, so that abi_stable is built once.
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("fixtures");
    let status = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "--locked", "--manifest-path"])
        .arg(&manifest)
        .arg("--target-dir")
        .arg(&target)
        .status()
        .expect("cargo starts");
    assert!(status.success(), "the fixture builds");
    target.join(format!("debug/lib{}.so", fixture.replace('-', "_")))
}

extern "C" fn log(level: u8, message: RStr<'_>) {
    assert_eq!((level, message.as_str()), (3, "from the past"));
}

extern "C" fn progress(_: f64, _: RStr<'_>) {}

#[test]
fn a_plugin_without_after_fork_loads_and_runs() {
    let plugin = load(&build("abi-v1-plugin")).expect("the older plugin loads");
    assert!(plugin.after_fork().is_none());
    assert!(plugin.describe()().starts_with(b"{\"abi_version\":1"));

    let mut output = vec![0; bulkhead_abi::MIN_OUTPUT_BYTES];
    let request = Request {
        encoding: encoding::JSON,
        attempt: 1,
        deadline_ns: 0,
        task_id: [0; 16],
        input: RSlice::from_slice(b"\"quiet\""),
        config: RSlice::EMPTY,
        output: RSliceMut::from_mut_slice(&mut output),
        host: Host { log, progress }.leak(),
    };
    let response = plugin.call()(0, request);
    assert_eq!(response.kind, response_kind::SUCCEEDED);
    assert_eq!(&output[..response.length as usize], b"\"QUIET\"");
}

#[test]
fn a_plugin_of_another_layout_is_refused_with_the_difference() {
    let refused = load(&build("abi-wrong-layout-plugin")).err();
    assert!(
        matches!(&refused, Some(LoadError::IncompatibleAbi { details })
            if details.contains("u64") && details.contains("u32")),
        "{refused:?}"
    );
}

#[test]
fn what_is_no_plugin_is_refused_with_the_reason() {
    let missing = load(Path::new("/nonexistent/plugin.so"));
    assert!(
        matches!(&missing, Err(LoadError::Open { detail }) if detail.contains("/nonexistent/plugin.so")),
        "{:?}",
        missing.err()
    );
    // Every test process on Linux has the C library, and it is no plugin.
    let libc = load(Path::new("libc.so.6"));
    assert!(matches!(libc, Err(LoadError::MissingRootModule)), "{:?}", libc.err());
}
