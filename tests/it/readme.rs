//! The lines of the README, copied and pasted.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use bulkhead_tests::{Ended, LONG, Options, Server, checkout, run_within};
use serde_json::Value;
use tempfile::TempDir;

use crate::cli_crates::{in_new_folder, target};
use crate::surroundings::{executables, packages, start};

/// What the README takes for granted.
const ADDRESS: &str = "http://127.0.0.1:8000";

/// The fenced blocks of a language, in order.
fn blocks(language: &str) -> Vec<String> {
    let readme = fs::read_to_string(checkout().join("README.md")).expect("there is a README");
    let mut blocks = Vec::new();
    let mut lines = readme.lines();
    while let Some(line) = lines.next() {
        if line.trim() == format!("```{language}") {
            let block: Vec<&str> = lines.by_ref().take_while(|line| line.trim() != "```").collect();
            blocks.push(block.join("\n"));
        }
    }
    blocks
}

/// The only block of a language that holds `text`.
#[track_caller]
fn block_with(language: &str, text: &str) -> String {
    let found: Vec<String> = blocks(language).into_iter().filter(|block| block.contains(text)).collect();
    assert_eq!(found.len(), 1, "README.md has {} blocks of {language} with {text:?}", found.len());
    found.into_iter().next().unwrap_or_default()
}

/// Runs a block as bash does, with `bulkhead` on the path and the server's address in place of the README's.
#[track_caller]
fn paste(block: &str, server: &Server) -> Ended {
    let folder = TempDir::new().expect("a temporary folder");
    symlink(&executables().bulkhead, folder.path().join("bulkhead")).expect("a link");
    symlink(&executables().runner, folder.path().join("bulkhead-runner")).expect("a link");
    let new = in_new_folder();
    // The README means the folder of the checkout, which gets nothing written into it here.
    let samples = format!(" {}/sample-functions/", checkout().display());
    let block = block.replace(" sample-functions/", &samples);
    let lines =
        block.replace(ADDRESS, server.url()).replace("/tmp/greet", &format!("{}/greet", new.folder.path().display()));
    // A lone crate would ask the network for the newest versions.
    let lines = lines.replace("bulkhead new greet --path", "new_pinned");
    let pinned = format!(
        "new_pinned() {{ bulkhead new greet --path \"$1\" && cp {}/Cargo.lock \"$1\"; }}\n",
        checkout().display()
    );
    let mut bash: Command = new.command_line.program(Path::new("bash"), &["-e", "-u", "-o", "pipefail"]);
    let path = format!("{}:{}", folder.path().display(), std::env::var("PATH").unwrap_or_default());
    bash.current_dir(folder.path()).env("PATH", path).env("BULKHEAD_URL", server.url());
    bash.env("BULKHEAD_RUNNER", &executables().runner).env("CARGO_TARGET_DIR", target());
    run_within(bash, format!("{pinned}{lines}\n").as_bytes(), LONG).expect(0)
}

#[test]
fn the_curl_lines_work() {
    packages();
    let server = start(Options::default());
    let printed = paste(&block_with("sh", "curl"), &server).stdout;
    // What the last three lines print, one after the other without line feeds, after the table of the build.
    let answers = &printed[printed.find('{').unwrap_or_default()..];
    let mut documents = serde_json::Deserializer::from_str(answers).into_iter::<Value>();
    let mut next = || documents.next().expect("another answer").expect("JSON");
    let status = next();
    assert!(status["task_id"].is_string() && status["status"].is_string(), "{printed}");
    let result = next();
    assert_eq!((&result["status"], &result["result"]), (&"COMPLETED".into(), &832_040.into()), "{printed}");
    assert_eq!(next(), 832_040, "{printed}");
    server.stop();
}

#[test]
fn the_five_minutes_work() {
    packages();
    let server = start(Options::default());
    let printed = paste(&block_with("console", "bulkhead new"), &server).stdout;
    assert_eq!(printed.matches("\"Hello, Ada!\"\n").count(), 2, "{printed}");
    server.stop();
}

#[test]
fn the_two_first_commands_are_those_of_the_ci() {
    let all = blocks("console");
    assert_eq!(all[0], "cargo build --release --locked && ./target/release/bulkhead up --samples");
    assert_eq!(all[1], "cargo test --workspace --locked");
    let ci = fs::read_to_string(checkout().join(".ci/run")).expect("there is a script for the CI");
    // It takes the test command out of the README.
    assert!(ci.contains("README.md") && ci.contains("cargo test"), "{ci}");
}
