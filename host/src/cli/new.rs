//! `bulkhead new`: a function crate to begin with.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use bulkhead_protocol::function::check_name;
use serde_json::json;

use super::failure::{Exit, Failure};
use super::output::Output;
use super::packaging::shown;
use crate::package::build;

const MANIFEST: &str = include_str!("new/Cargo.toml.template");
const LIBRARY: &str = include_str!("new/lib.rs.template");
const README: &str = include_str!("new/README.md.template");
const IGNORED: &str = "/target\n*.bhpkg\n";

/// Names that a crate or its function cannot have: Rust's keywords (the Reference, "Keywords"),
/// crates that come with Rust, and the SDK's own name in the crate.
const RESERVED: &[&str] = &[
    "abstract",
    "alloc",
    "as",
    "async",
    "await",
    "become",
    "box",
    "break",
    "bulkhead",
    "const",
    "continue",
    "core",
    "crate",
    "do",
    "dyn",
    "else",
    "enum",
    "extern",
    "false",
    "final",
    "fn",
    "for",
    "gen",
    "if",
    "impl",
    "in",
    "let",
    "loop",
    "macro",
    "match",
    "mod",
    "move",
    "mut",
    "override",
    "priv",
    "proc_macro",
    "pub",
    "ref",
    "return",
    "self",
    "static",
    "std",
    "struct",
    "super",
    "test",
    "trait",
    "true",
    "try",
    "type",
    "typeof",
    "unsafe",
    "unsized",
    "use",
    "virtual",
    "where",
    "while",
    "yield",
    "_",
];

/// What to write.
#[derive(Debug, clap::Args)]
#[command(
    long_about = "Write a new function crate: Cargo.toml, src/lib.rs with a function and its test, README.md.\n\n\
        Nothing that exists is overwritten.",
    after_help = "\
Examples:
  bulkhead new greet
  bulkhead new word-count --path functions/word-count"
)]
pub(super) struct Args {
    /// The crate's name; its function is called the same, with _ for -.
    name: String,
    /// The folder to make; NAME when absent.
    #[arg(long, value_name = "DIR")]
    path: Option<PathBuf>,
}

/// Writes the crate and says what to do with it.
pub(super) fn run(args: Args, output: &Output) -> anyhow::Result<Exit> {
    let folder = args.path.unwrap_or_else(|| PathBuf::from(&args.name));
    let files = write(&args.name, &folder)?;
    if output.is_json() {
        output.value(&json!({"name": args.name, "folder": std::path::absolute(&folder)?, "files": files}))?;
        return Ok(Exit::Success);
    }
    let here = shown(&folder);
    output.line(format_args!("wrote {}", here.display()))?;
    for line in next_steps(&args.name, &here, enclosing_workspace(&folder)?.as_deref()) {
        output.note(line);
    }
    Ok(Exit::Success)
}

/// Writes the files of the crate and returns their names.
fn write(name: &str, folder: &Path) -> anyhow::Result<Vec<&'static str>> {
    check(name)?;
    let mut entries = folder.read_dir().into_iter().flatten();
    if folder.is_file() || entries.next().is_some() {
        let failure = Failure::new(Exit::Usage, format!("{} exists already; nothing was written", folder.display()));
        return Err(failure.hint("choose another name, or another folder with --path").into());
    }
    let files = files(name, &sdk_dependency(sdk_of_checkout().as_deref()));
    for (path, text) in &files {
        build::write(&folder.join(path), text.as_bytes())?;
    }
    Ok(files.iter().map(|(path, _)| *path).collect())
}

fn check(name: &str) -> anyhow::Result<()> {
    check_name(name)?;
    let function = name.replace('-', "_");
    if RESERVED.contains(&function.as_str()) {
        let failure = Failure::new(Exit::Usage, format!("{name:?} has a meaning of its own in Rust"));
        return Err(failure.hint(format!("choose another name: {name}-function")).into());
    }
    Ok(())
}

/// The files with their contents.
fn files(name: &str, dependency: &str) -> [(&'static str, String); 4] {
    let fill = |template: &str| {
        let text = template.replace("{{name}}", name).replace("{{function}}", &name.replace('-', "_"));
        text.replace("{{dependency}}", dependency)
    };
    [
        ("Cargo.toml", fill(MANIFEST)),
        ("src/lib.rs", fill(LIBRARY)),
        ("README.md", fill(README)),
        (".gitignore", IGNORED.to_owned()),
    ]
}

/// The SDK of the checkout that this program was built from, while that is there.
fn sdk_of_checkout() -> Option<PathBuf> {
    let sdk = Path::new(env!("CARGO_MANIFEST_DIR")).join("../sdk");
    sdk.join("Cargo.toml").is_file().then(|| sdk.canonicalize().ok())?
}

/// The line for `[dependencies]`.
fn sdk_dependency(checkout: Option<&Path>) -> String {
    let origin = match checkout {
        // TOML escapes in basic strings as JSON does.
        Some(path) => format!("path = {}", json!(path.to_string_lossy())),
        None => format!("version = \"{}\"", env!("CARGO_PKG_VERSION")),
    };
    format!("bulkhead = {{ package = \"bulkhead-sdk\", {origin} }}")
}

/// The manifest of the workspace around a folder: cargo refuses a crate below it that is no member.
fn enclosing_workspace(folder: &Path) -> anyhow::Result<Option<PathBuf>> {
    let folder = std::path::absolute(folder).context("failed to find the current folder")?;
    let manifests = folder.ancestors().skip(1).map(|above| above.join("Cargo.toml"));
    let is_workspace = |manifest: &PathBuf| {
        let text = std::fs::read_to_string(manifest).ok();
        text.and_then(|text| text.parse::<toml::Table>().ok()).is_some_and(|table| table.contains_key("workspace"))
    };
    Ok(manifests.into_iter().find(is_workspace))
}

fn next_steps(name: &str, folder: &Path, workspace: Option<&Path>) -> Vec<String> {
    let folder = folder.display();
    let function = name.replace('-', "_");
    let mut lines = Vec::new();
    if let Some(manifest) = workspace {
        let manifest = shown(manifest);
        lines
            .push(format!("add \"{folder}\" to `members` in {}, unless a pattern there covers it", manifest.display()));
    }
    lines.push(format!("cd {folder} && cargo test"));
    lines.push(format!("bulkhead run --path {folder} --data '{{\"name\": \"Ada\"}}'"));
    lines.push(format!("bulkhead register {folder}  # with a server: bulkhead up"));
    lines.push(format!("bulkhead invoke {function} --data '{{\"name\": \"Ada\"}}'"));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_cannot_work_are_refused() {
        for wrong in ["", "1st", "a b", "fn", "async", "test", "std", "bulkhead", "proc-macro", "_"] {
            assert!(check(wrong).is_err(), "{wrong:?} was taken");
        }
        for right in ["greet", "word-count", "_x", "Resize2"] {
            check(right).unwrap();
        }
    }

    #[test]
    fn the_manifest_says_all_that_a_plugin_needs() {
        let files = files("word-count", &sdk_dependency(Some(Path::new("/check\"out/sdk"))));
        let manifest: toml::Table = files[0].1.parse().unwrap();
        assert_eq!(manifest["package"]["name"].as_str(), Some("word-count"));
        assert_eq!(manifest["lib"]["crate-type"][0].as_str(), Some("cdylib"));
        let sdk = &manifest["dependencies"]["bulkhead"];
        assert_eq!(sdk["package"].as_str(), Some("bulkhead-sdk"));
        assert_eq!(sdk["path"].as_str(), Some("/check\"out/sdk"));
        assert!(files[1].1.contains("#[bulkhead::function]\npub fn word_count("), "{}", files[1].1);
        assert!(files.iter().all(|(_, text)| !text.contains("{{")), "a place was not filled");
    }

    #[test]
    fn without_a_checkout_the_sdk_comes_by_version() {
        let line = sdk_dependency(None);
        let table: toml::Table = line.parse().unwrap();
        assert_eq!(table["bulkhead"]["version"].as_str(), Some(env!("CARGO_PKG_VERSION")));
    }

    #[test]
    fn nothing_is_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("greet");
        write("greet", &path).unwrap();
        let before = std::fs::read(path.join("src/lib.rs")).unwrap();
        let error = write("greet", &path).unwrap_err();
        assert!(error.to_string().contains("exists already"), "{error}");
        assert_eq!(std::fs::read(path.join("src/lib.rs")).unwrap(), before);
    }

    #[test]
    fn a_workspace_around_the_folder_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let below = folder.path().join("functions/greet");
        assert_eq!(enclosing_workspace(&below).unwrap(), None);
        let manifest = folder.path().join("Cargo.toml");
        std::fs::write(&manifest, "[workspace]\nmembers = []\n").unwrap();
        assert_eq!(enclosing_workspace(&below).unwrap(), Some(manifest));
    }
}
