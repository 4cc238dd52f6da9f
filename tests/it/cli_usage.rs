//! What the command line says of itself, and of mistakes.

use std::net::TcpListener;

use bulkhead_tests::{CommandLine, Ended, SHORT, run_within};
use serde_json::json;
use tempfile::TempDir;

use crate::surroundings::executables;

#[track_caller]
fn cli(arguments: &[&str]) -> Ended {
    let folder = TempDir::new().expect("a temporary folder");
    CommandLine::new(executables(), folder.path()).run(arguments)
}

#[test]
fn help_and_version_are_no_mistakes() {
    let help = cli(&["--help"]).expect(0);
    for command in ["up", "new", "build", "check", "run", "register", "invoke", "functions", "tasks", "completions"] {
        assert!(help.stdout.contains(&format!("\n  {command} ")), "{command} is not in {}", help.stdout);
        assert!(cli(&[command, "--help"]).expect(0).stdout.contains("Usage: "), "{command}");
    }
    assert_eq!(cli(&["--version"]).expect(0).stdout, format!("bulkhead {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn wrong_usage_ends_with_1_and_says_what_was_meant() {
    for (arguments, words) in [
        (&["frobnicate"][..], "frobnicate"),
        (&["invoke"], "<REF>"),
        (&["invoke", "f", "--async", "--wait", "1s"], "cannot be used with"),
        (&["invoke", "f", "--data", "{name: Ada}"], "line 1 column 2"),
        (&["invoke", "f", "--data-file", "/nowhere/x.json"], "/nowhere/x.json"),
        (&["invoke", "f", "--wait", "soon"], "soon"),
        (&["tasks", "get", "nonsense"], "nonsense"),
        (&["tasks", "ls", "--status", "done"], "use queued, running, completed or failed"),
        (&["tasks", "ls", "--label", "x"], "write it as key=value"),
        (&["functions", "alias", "hello", "1"], "write name and alias with a colon between them"),
        (&["register", "--name", "a b"], "a b"),
        (&["invoke", "f", "--server", "localhost:8000"], "write it as http://127.0.0.1:8000"),
        (&["completions", "tcsh"], "tcsh"),
    ] {
        let ended = cli(arguments).expect(1);
        assert_eq!(ended.stdout, "", "{arguments:?}");
        assert!(ended.stderr.contains(words), "{arguments:?}: no {words:?} in {}", ended.stderr);
        assert!(!ended.stderr.contains('\u{1b}'), "{arguments:?}: a pipe has no colours");
    }
    cli(&[]).expect(1);
}

#[test]
fn no_server_is_told_with_how_to_start_one() {
    // A port that was free a moment ago and has no listener.
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    drop(listener);
    for arguments in [&["invoke", "hello"][..], &["functions", "ls"], &["tasks", "ls"]] {
        let arguments = [arguments, &["--server", &url]].concat();
        let ended = cli(&arguments).expect(1);
        assert!(ended.stderr.contains(&format!("error: no server listens at {url}")), "{}", ended.stderr);
        assert!(ended.stderr.contains("`bulkhead up`"), "{}", ended.stderr);
        let failure = cli(&[&arguments[..], &["--json"]].concat()).expect(1).failure();
        assert_eq!(
            (&failure["exit_code"], &failure["error"]),
            (&json!(1), &json!(format!("no server listens at {url}")))
        );
    }
}

#[test]
fn a_platform_that_fails_ends_with_3() {
    let folder = TempDir::new().expect("a temporary folder");
    let packages = crate::surroundings::packages();
    std::fs::write(folder.path().join("hello.bhpkg"), packages.get("hello")).expect("a file");
    let command_line = CommandLine::new(executables(), folder.path()).variable("BULKHEAD_RUNNER", "/nowhere/runner");
    let ended = command_line.run(&["run", "--path", "hello.bhpkg", "--data", "[\"Ada\"]"]).expect(3);
    assert!(ended.stderr.contains("failed to find the runner at /nowhere/runner"), "{}", ended.stderr);
}

#[test]
fn run_without_a_server_has_the_exit_codes_of_a_call() {
    let folder = TempDir::new().expect("a temporary folder");
    let packages = crate::surroundings::packages();
    std::fs::write(folder.path().join("faulty.bhpkg"), packages.get("faulty")).expect("a file");
    let command_line = CommandLine::new(executables(), folder.path()).variable("TMPDIR", folder.path().join("tmp"));
    std::fs::create_dir(folder.path().join("tmp")).expect("a folder");
    let run = |function: &str, more: &[&str]| {
        command_line.run(&[&["run", function, "--path", "faulty.bhpkg"], more].concat())
    };
    assert_eq!(run("global_mutated", &[]).expect(0).stdout, "1\n");
    assert!(run("segv", &[]).expect(2).stderr.contains("SIGSEGV"));
    assert!(run("panics", &["--json"]).expect(2).json()["outcome"]["message"] == "a deliberate panic");
    run("spins", &["--timeout", "300ms"]).expect(124);
    assert!(run("nobody", &[]).expect(1).stderr.contains("the package has no function \"nobody\""));
    let several = command_line.run(&["run", "--path", "faulty.bhpkg"]).expect(1);
    assert!(several.stderr.contains("the package has several functions: name one"), "{}", several.stderr);
    let left = std::fs::read_dir(folder.path().join("tmp")).expect("it is there").count();
    assert_eq!(left, 0, "temporary files are left");
}

#[test]
fn completions_for_bash_complete() {
    let script = cli(&["completions", "bash"]).expect(0).stdout;
    let mut bash = std::process::Command::new("bash");
    bash.args(["--noprofile", "--norc", "-e"]);
    let test = "\nCOMP_WORDS=(bulkhead ta); COMP_CWORD=1; COMP_LINE='bulkhead ta'; COMP_POINT=11\n\
                _bulkhead bulkhead ta bulkhead\necho \"${COMPREPLY[@]}\"\n";
    let completed = run_within(bash, format!("{script}{test}").as_bytes(), SHORT).expect(0);
    assert_eq!(completed.stdout, "tasks\n", "{}", completed.stderr);
}
