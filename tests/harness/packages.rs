//! Packages of the sample functions, built once per run with the real `bulkhead build`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use bulkhead_protocol::package::{self, Manifest};
use tempfile::TempDir;

use super::command::{CommandLine, Ended, run_within};
use super::deadline::LONG;
use super::member::Executables;

/// The packages, and how their build went.
pub struct Packages {
    /// What `bulkhead build` said, the last time.
    pub build: Ended,
    /// Package files by the crate's name.
    files: BTreeMap<String, Vec<u8>>,
    /// Where cargo puts libraries.
    target: PathBuf,
}

/// The root of the source checkout.
pub fn checkout() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().expect("the checkout is there")
}

impl Packages {
    /// Builds everything in `sample-functions`. Cargo uses the folder that it uses for everybody else, so
    /// that nothing is compiled twice.
    pub fn build(executables: &Executables) -> Self {
        let out = TempDir::new().expect("a temporary folder");
        let command_line = CommandLine::new(executables, &checkout());
        let folder = out.path().to_str().expect("a path in UTF-8");
        let build = command_line.run(&["build", "sample-functions", "--all", "--json", "--out", folder]);
        let mut files = BTreeMap::new();
        for entry in fs::read_dir(out.path()).expect("packages").flatten() {
            let name = entry.path().file_stem().expect("a name").to_string_lossy().into_owned();
            files.insert(name, fs::read(entry.path()).expect("a package"));
        }
        Self { build, files, target: target_folder() }
    }

    /// Builds some of the sample functions.
    pub fn of(executables: &Executables, names: &[&str]) -> Self {
        let command_line = CommandLine::new(executables, &checkout());
        let out = TempDir::new().expect("a temporary folder");
        let mut files = BTreeMap::new();
        let mut build = None;
        for name in names {
            let file = out.path().join(name);
            let (source, to) = (format!("sample-functions/{name}"), file.to_str().expect("a path in UTF-8"));
            build = Some(command_line.run(&["build", &source, "--out", to]).expect(0));
            files.insert((*name).to_owned(), fs::read(file).expect("a package"));
        }
        Self { build: build.expect("at least one is named"), files, target: target_folder() }
    }

    /// The package of a crate.
    #[track_caller]
    pub fn get(&self, name: &str) -> &[u8] {
        self.files.get(name).unwrap_or_else(|| panic!("{name} was not built: {:#?}", self.build))
    }

    /// The names of the crates that were built.
    pub fn names(&self) -> Vec<&str> {
        self.files.keys().map(String::as_str).collect()
    }

    /// The library that cargo made of a crate of the workspace, without any check.
    #[track_caller]
    pub fn library(&self, name: &str) -> Vec<u8> {
        let mut cargo = Command::new(cargo());
        cargo.args(["build", "--quiet", "--release", "--package", name]).current_dir(checkout());
        run_within(cargo, b"", LONG).expect(0);
        let file = format!("release/lib{}.so", name.replace('-', "_"));
        fs::read(self.target.join(file)).expect("the library is where cargo puts it")
    }

    /// A package of a library that `bulkhead build` would refuse, with the manifest of another.
    pub fn forge(&self, library: &[u8], manifest_of: &str) -> Vec<u8> {
        let manifest = package::unpack(self.get(manifest_of)).expect("a package").manifest;
        self.forge_with(library, manifest)
    }

    /// A package of a library with a manifest; both digests are right.
    pub fn forge_with(&self, library: &[u8], manifest: Manifest) -> Vec<u8> {
        package::pack(manifest, library).expect("it can be packed")
    }
}

/// The cargo that runs the tests, or the one on the path.
pub fn cargo() -> std::ffi::OsString {
    std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}

fn target_folder() -> PathBuf {
    let mut command = Command::new(cargo());
    command.args(["metadata", "--no-deps", "--format-version", "1"]).current_dir(checkout());
    let metadata = run_within(command, b"", LONG).expect(0).json();
    metadata["target_directory"].as_str().expect("cargo says where").into()
}
