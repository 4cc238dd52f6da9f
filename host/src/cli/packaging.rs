//! From a crate to a package: cargo, the checks of the file, the sandboxed inspection.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use bulkhead_protocol::function::PackageDescription;
use bulkhead_protocol::limits::MAX_PACKAGE_BYTES;
use bulkhead_protocol::package::{self as package_file, MAGIC};

use super::progress;
use super::sandbox::{Sandbox, SandboxArgs};
use crate::package::crates::{self, FunctionCrate};
use crate::package::{LibraryFacts, build, check_library};

/// A package that was just built.
pub(super) struct Built {
    /// What it was built from.
    pub(super) source: FunctionCrate,
    /// What its library says of itself.
    pub(super) facts: LibraryFacts,
    /// Its functions.
    pub(super) description: PackageDescription,
    /// The package file.
    pub(super) package: Vec<u8>,
}

/// Builds a crate. Cargo shows its own progress on stderr; the checks after it show a spinner.
pub(super) async fn build_crate(source: FunctionCrate, sandbox: &Sandbox) -> anyhow::Result<Built> {
    let compiled = tokio::task::spawn_blocking(move || build::compile(&source).map(|library| (source, library)));
    let (source, library) = compiled.await??;
    let spinner = progress::spinner(format!("checking {}", source.name));
    let checked = async {
        let facts = check_library(&library)?;
        let description = sandbox.inspect(&library).await?;
        let package = build::assemble(&source, &library, &facts, &description)?;
        anyhow::Ok((facts, description, package))
    };
    let checked = checked.await;
    spinner.finish_and_clear();
    let (facts, description, package) = checked.with_context(|| format!("{} cannot be a package", source.name))?;
    Ok(Built { source, facts, description, package })
}

/// The package at `path`: the file itself, or what its crate builds to.
pub(super) async fn load_or_build(path: &Path, sandbox: &SandboxArgs) -> anyhow::Result<Vec<u8>> {
    if !is_crate(path) {
        return read_package(path);
    }
    let source = crates::find(path)?;
    let sandbox = Sandbox::start(sandbox).await?;
    let built = build_crate(source, &sandbox).await;
    sandbox.shutdown().await;
    let built = built?;
    build::write(&built.source.package, &built.package)?;
    Ok(built.package)
}

/// Whether a path names a crate to build rather than a file to read.
pub(super) fn is_crate(path: &Path) -> bool {
    path.is_dir() || path.file_name().is_some_and(|name| name == "Cargo.toml")
}

/// Reads a package file. It is taken apart by whoever uses it; here its first bytes are enough to
/// tell a wrong file.
fn read_package(path: &Path) -> anyhow::Result<Vec<u8>> {
    let bytes = read_bounded(path)?;
    if !bytes.starts_with(&MAGIC) {
        return Err(package_file::Error::NotAPackage).with_context(|| format!("failed to use {}", path.display()));
    }
    Ok(bytes)
}

/// Reads a file that is not larger than a package can be.
pub(super) fn read_bounded(path: &Path) -> anyhow::Result<Vec<u8>> {
    let context = || format!("failed to read {}", path.display());
    let metadata = std::fs::metadata(path).with_context(context)?;
    anyhow::ensure!(metadata.is_file(), "failed to read {}: it is not a file", path.display());
    if metadata.len() > MAX_PACKAGE_BYTES {
        return Err(package_file::Error::TooLarge { bytes: metadata.len() }).with_context(context);
    }
    std::fs::read(path).with_context(context)
}

/// A path as it is shown: relative to the current folder where it is below it.
pub(super) fn shown(path: &Path) -> PathBuf {
    let here = std::env::current_dir().ok();
    here.and_then(|here| path.strip_prefix(here).ok().map(Path::to_owned)).unwrap_or_else(|| path.to_owned())
}

/// A size for people.
pub(super) fn shown_bytes(bytes: u64) -> String {
    indicatif::BinaryBytes(bytes).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crates_and_files_are_told_apart() {
        let folder = tempfile::tempdir().unwrap();
        assert!(is_crate(folder.path()));
        assert!(is_crate(Path::new("x/Cargo.toml")));
        assert!(!is_crate(Path::new("x/hello.bhpkg")));
    }

    #[test]
    fn wrong_files_are_told_before_they_are_sent() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.bhpkg");
        assert!(read_package(&path).unwrap_err().to_string().contains("x.bhpkg"));
        std::fs::write(&path, b"\x7fELF").unwrap();
        let error = read_package(&path).unwrap_err();
        assert!(format!("{error:#}").contains("bulkhead build"), "{error:#}");
    }
}
