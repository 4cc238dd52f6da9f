//! From nothing to a registered function on the command line: new, build, check, run, register, invoke.

use std::fs;
use std::path::{Path, PathBuf};

use bulkhead_tests::{CommandLine, Options, checkout};
use serde_json::json;
use tempfile::TempDir;

use crate::surroundings::{executables, start};

/// A crate that `bulkhead new` wrote, and the command line to use it with.
pub(crate) struct NewCrate {
    /// Where it is.
    pub(crate) folder: TempDir,
    /// Runs in the folder above it.
    pub(crate) command_line: CommandLine,
}

/// The folder of the tests' own compiled artefacts.
pub(crate) fn target() -> PathBuf {
    executables().bulkhead.parent().and_then(Path::parent).expect("target/debug").to_owned()
}

/// The command line in a new folder, whose crates share what the workspace has compiled already.
pub(crate) fn in_new_folder() -> NewCrate {
    let folder = TempDir::new().expect("a temporary folder");
    let command_line = CommandLine::new(executables(), folder.path())
        .variable("BULKHEAD_TARGET_DIR", target())
        // As the workspace's own profile says; other flags would compile every dependency anew.
        .variable("CARGO_PROFILE_RELEASE_DEBUG", "line-tables-only")
        .without("CARGO_TARGET_DIR");
    NewCrate { folder, command_line }
}

impl NewCrate {
    /// Pins its dependencies to the versions that the workspace uses.
    pub(crate) fn pin(&self, name: &str) {
        let lock = self.folder.path().join(name).join("Cargo.lock");
        fs::copy(checkout().join("Cargo.lock"), lock).expect("the workspace has a lock file");
    }
}

#[test]
fn a_new_function_is_written_checked_run_registered_and_invoked() {
    let new = in_new_folder();
    let cli = |arguments: &[&str]| new.command_line.run(arguments);
    let written = cli(&["new", "greet-all"]).expect(0);
    assert_eq!(written.stdout, "wrote greet-all\n");
    assert!(written.stderr.contains("bulkhead run --path greet-all"), "{}", written.stderr);
    for file in ["Cargo.toml", "src/lib.rs", "README.md", ".gitignore"] {
        assert!(new.folder.path().join("greet-all").join(file).is_file(), "{file}");
    }
    let again = cli(&["new", "greet-all"]).expect(1);
    assert!(again.stderr.contains("exists already; nothing was written"), "{}", again.stderr);
    new.pin("greet-all");

    let built = cli(&["build", "greet-all", "--out", "greet.bhpkg"]).expect(0);
    let lines: Vec<&str> = built.stdout.lines().collect();
    assert_eq!(lines[0], "PACKAGE\tFUNCTIONS\tSIZE\tGLIBC\tFILE");
    assert!(lines[1].starts_with("greet-all\tgreet_all\t"), "{}", built.stdout);
    assert_eq!(lines.len(), 2);
    assert!(built.stderr.contains("register it with `bulkhead register greet.bhpkg`"), "{}", built.stderr);

    let checked = cli(&["check", "greet.bhpkg"]).expect(0);
    assert!(checked.stdout.contains("package\tgreet-all 0.1.0\n"), "{}", checked.stdout);
    assert!(checked.stdout.contains("\ngreet_all\tname\tfresh\tGreets somebody.\n"), "{}", checked.stdout);
    let checked = cli(&["check", "greet.bhpkg", "--json"]).expect(0).json();
    assert_eq!((&checked["name"], &checked["functions"][0]["name"]), (&json!("greet-all"), &json!("greet_all")));

    let run = cli(&["run", "--path", "greet.bhpkg", "--data", "{\"name\": \"Ada\"}"]).expect(0);
    assert_eq!(run.stdout, "\"Hello, Ada!\"\n");
    // The crate itself, by name and by position.
    let run = cli(&["run", "greet_all", "--path", "greet-all", "--data", "[\"Bob\"]", "--json"]).expect(0).json();
    assert_eq!((&run["result"], &run["outcome"]["kind"]), (&json!("Hello, Bob!"), &json!("Succeeded")));
    let failed = cli(&["run", "--path", "greet.bhpkg", "--data", "[\" \"]"]).expect(2);
    assert_eq!(failed.stdout, "");
    assert!(failed.stderr.contains("the name is empty"), "{}", failed.stderr);

    let server = start(Options::default());
    let remote = |arguments: &[&str]| new.command_line.clone().variable("BULKHEAD_URL", server.url()).run(arguments);
    let registered = remote(&["register", "greet-all", "--alias", "prod"]).expect(0);
    assert!(
        registered.stdout.starts_with("FUNCTION\tVERSION\tALIAS\tFUNCTION ID\t\ngreet_all\t1\tprod\t"),
        "{}",
        registered.stdout
    );
    assert!(registered.stdout.ends_with("\tnew\n"), "{}", registered.stdout);
    let again = remote(&["register", "greet-all/target/bulkhead/greet-all.bhpkg", "--json"]).expect(0).json();
    assert_eq!(again["functions"][0]["created"], false);
    let invoked = remote(&["invoke", "greet_all:prod", "--data", "{\"name\": \"Ada\"}"]).expect(0);
    assert_eq!(invoked.stdout, "\"Hello, Ada!\"\n");
    server.stop();
}

#[test]
fn a_crate_that_does_not_compile_says_so() {
    let new = in_new_folder();
    new.command_line.run(&["new", "broken"]).expect(0);
    new.pin("broken");
    let library = new.folder.path().join("broken/src/lib.rs");
    fs::write(&library, "#[bulkhead::function]\npub fn broken() -> u8 { \"text\" }\n").expect("it can be written");
    let built = new.command_line.run(&["build", "broken"]).expect(1);
    assert!(built.stderr.contains("mismatched types"), "{}", built.stderr);
    assert!(built.stderr.contains("cargo failed to compile broken"), "{}", built.stderr);
    assert!(!new.folder.path().join("broken/target/bulkhead/broken.bhpkg").exists());
}

#[test]
fn what_is_no_crate_or_package_is_told_with_what_to_do() {
    let new = in_new_folder();
    let cli = |arguments: &[&str]| new.command_line.run(arguments);
    let at = |name: &str| new.folder.path().join(name);
    assert!(cli(&["build"]).expect(1).stderr.contains("there is no Cargo.toml in .: name the folder of a crate"));
    assert!(cli(&["build", "--all"]).expect(1).stderr.contains("no crate in"));
    fs::write(at("x.bhpkg"), "\x7fELF").expect("a file");
    assert!(cli(&["register", "x.bhpkg"]).expect(1).stderr.contains("make one with `bulkhead build`"));
    assert!(cli(&["check", "x.bhpkg"]).expect(1).stderr.contains("library"));
    assert!(cli(&["check", "none.bhpkg"]).expect(1).stderr.contains("No such file"));
    for wrong in ["1st", "a b", "fn", "std"] {
        cli(&["new", wrong]).expect(1);
        assert!(!at(wrong).exists(), "{wrong}");
    }
    let workspace = checkout();
    let library = CommandLine::new(executables(), &workspace).run(&["build", "host/protocol"]).expect(1);
    assert!(library.stderr.contains("does not depend on the SDK"), "{}", library.stderr);
}
