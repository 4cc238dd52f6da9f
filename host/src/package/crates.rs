//! Finds crates that can become packages: those that depend on the SDK and make a cdylib.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use cargo_metadata::{CrateType, DependencyKind, MetadataCommand, Package};

/// The crate whose presence among the dependencies makes a function crate.
const SDK: &str = "bulkhead-sdk";

/// A crate to build a package from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FunctionCrate {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Its `Cargo.toml`.
    pub manifest: PathBuf,
    /// Where cargo puts what it compiles.
    pub target: PathBuf,
    /// Where its package goes, unless told otherwise.
    pub package: PathBuf,
}

/// Why no function crate was found.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no `Cargo.toml`.
    #[error("there is no Cargo.toml in {folder}: name the folder of a crate, or make one with `bulkhead new NAME`")]
    NoManifest {
        /// Where it was looked for.
        folder: PathBuf,
    },
    /// Cargo could not read the manifest.
    #[error("failed to read {manifest}")]
    Metadata {
        /// The manifest.
        manifest: PathBuf,
        /// What cargo said.
        #[source]
        source: Box<cargo_metadata::Error>,
    },
    /// The manifest is that of a workspace without a crate of its own.
    #[error("{manifest} is a workspace: name one of its crates, or build them all with --all")]
    Workspace {
        /// The manifest.
        manifest: PathBuf,
    },
    /// The crate does not depend on the SDK.
    #[error(
        "{manifest} does not depend on the SDK. Add these lines:\n\n[dependencies]\n\
         bulkhead = {{ package = \"bulkhead-sdk\", version = \"{}\" }}", env!("CARGO_PKG_VERSION")
    )]
    NoSdk {
        /// The manifest.
        manifest: PathBuf,
    },
    /// The crate makes no cdylib.
    #[error("{manifest} makes no cdylib. Add these lines:\n\n[lib]\ncrate-type = [\"cdylib\", \"rlib\"]")]
    NoCdylib {
        /// The manifest.
        manifest: PathBuf,
    },
    /// Nothing below the folder is a function crate.
    #[error("no crate in {folder} depends on bulkhead-sdk and makes a cdylib")]
    NoFunctionCrate {
        /// The folder.
        folder: PathBuf,
    },
}

/// The crate in `path`, a folder or its `Cargo.toml`.
///
/// # Errors
/// All but [`Error::NoFunctionCrate`].
pub fn find(path: &Path) -> Result<FunctionCrate, Error> {
    let manifest = manifest_of(path)?;
    let metadata = read(&manifest)?;
    let is_here = |package: &&Package| same_file(package.manifest_path.as_std_path(), &manifest);
    let Some(package) = metadata.packages.iter().find(is_here) else {
        return Err(Error::Workspace { manifest });
    };
    if !depends_on_sdk(package) {
        return Err(Error::NoSdk { manifest });
    }
    if !makes_cdylib(package) {
        return Err(Error::NoCdylib { manifest });
    }
    Ok(function_crate(package, &metadata))
}

/// All function crates at and below `folder`: members of its workspace, and crates in its
/// sub-folders. Crates of other kinds are passed over.
///
/// # Errors
/// [`Error::Metadata`], and [`Error::NoFunctionCrate`] when there are none.
pub fn find_all(folder: &Path) -> Result<Vec<FunctionCrate>, Error> {
    let mut manifests = vec![folder.join("Cargo.toml")];
    let entries = std::fs::read_dir(folder).map_err(|_| Error::NoManifest { folder: folder.to_owned() })?;
    manifests.extend(entries.flatten().map(|entry| entry.path().join("Cargo.toml")));
    manifests.sort();

    let folder = folder.canonicalize().map_err(|_| Error::NoManifest { folder: folder.to_owned() })?;
    let mut seen = HashSet::new();
    let mut found = Vec::new();
    for manifest in manifests.into_iter().filter_map(|manifest| manifest.canonicalize().ok()) {
        // One reading tells all members of a workspace.
        if seen.contains(&manifest) {
            continue;
        }
        let metadata = read(&manifest)?;
        for package in &metadata.packages {
            let member = package.manifest_path.as_std_path().to_owned();
            if !member.starts_with(&folder) || !seen.insert(member) {
                continue;
            }
            if depends_on_sdk(package) && makes_cdylib(package) {
                found.push(function_crate(package, &metadata));
            }
        }
        seen.insert(manifest);
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    if found.is_empty() { Err(Error::NoFunctionCrate { folder }) } else { Ok(found) }
}

fn manifest_of(path: &Path) -> Result<PathBuf, Error> {
    let manifest = if path.is_dir() { path.join("Cargo.toml") } else { path.to_owned() };
    let is_manifest = manifest.file_name().is_some_and(|name| name == "Cargo.toml") && manifest.is_file();
    if is_manifest { Ok(manifest) } else { Err(Error::NoManifest { folder: path.to_owned() }) }
}

fn read(manifest: &Path) -> Result<cargo_metadata::Metadata, Error> {
    let metadata = MetadataCommand::new().manifest_path(manifest).no_deps().exec();
    metadata.map_err(|source| Error::Metadata { manifest: manifest.to_owned(), source: Box::new(source) })
}

fn same_file(a: &Path, b: &Path) -> bool {
    matches!((a.canonicalize(), b.canonicalize()), (Ok(a), Ok(b)) if a == b)
}

fn depends_on_sdk(package: &Package) -> bool {
    let dependencies = &package.dependencies;
    dependencies.iter().any(|dependency| dependency.name == SDK && dependency.kind == DependencyKind::Normal)
}

fn makes_cdylib(package: &Package) -> bool {
    package.targets.iter().any(|target| target.crate_types.contains(&CrateType::CDyLib))
}

fn function_crate(package: &Package, metadata: &cargo_metadata::Metadata) -> FunctionCrate {
    let name = package.name.to_string();
    let folder = metadata.target_directory.as_std_path();
    FunctionCrate {
        version: package.version.to_string(),
        manifest: package.manifest_path.clone().into_std_path_buf(),
        target: target_folder(package, metadata),
        package: folder.join("bulkhead").join(format!("{name}.bhpkg")),
        name,
    }
}

/// The workspace's own folder for a member of one, or where the author configured it; else one
/// that all lone function crates share, so that each new one does not compile the SDK again.
fn target_folder(package: &Package, metadata: &cargo_metadata::Metadata) -> PathBuf {
    let own = metadata.target_directory.as_std_path();
    let is_lone = package.manifest_path.parent() == Some(metadata.workspace_root.as_path());
    let is_default = own == metadata.workspace_root.as_std_path().join("target");
    if !is_lone || !is_default || metadata.packages.len() > 1 {
        return own.to_owned();
    }
    if let Some(folder) = std::env::var_os("BULKHEAD_TARGET_DIR").filter(|folder| !folder.is_empty()) {
        return folder.into();
    }
    std::env::home_dir().map_or_else(|| own.to_owned(), |home| home.join(".cache/bulkhead/target"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Writes a crate into `folder` and returns what is made of it.
    fn find_in(folder: &Path, manifest: &str) -> Result<FunctionCrate, Error> {
        std::fs::create_dir_all(folder.join("src")).unwrap();
        std::fs::write(folder.join("src/lib.rs"), "").unwrap();
        std::fs::write(folder.join("Cargo.toml"), manifest).unwrap();
        find(folder)
    }

    const PACKAGE: &str = "[package]\nname = \"lone\"\nversion = \"1.2.3\"\nedition = \"2024\"\n";
    const CDYLIB: &str = "[lib]\ncrate-type = [\"cdylib\"]\n";
    const DEPENDENCY: &str = "[dependencies]\nbulkhead = { package = \"bulkhead-sdk\", version = \"0.1\" }\n";

    #[test]
    fn what_a_crate_lacks_is_said_with_the_lines_to_add() {
        let folder = tempfile::tempdir().unwrap();
        let error = find(folder.path()).unwrap_err();
        assert!(matches!(error, Error::NoManifest { .. }));
        let error = find_in(folder.path(), &format!("{PACKAGE}{CDYLIB}")).unwrap_err();
        assert!(error.to_string().contains("bulkhead = { package"), "{error}");
        let error = find_in(folder.path(), &format!("{PACKAGE}{DEPENDENCY}")).unwrap_err();
        assert!(error.to_string().contains("crate-type = [\"cdylib\", \"rlib\"]"), "{error}");
        let error = find_in(folder.path(), "[package").unwrap_err();
        assert!(matches!(error, Error::Metadata { .. }));
        let error = find_in(folder.path(), "[workspace]\nmembers = []\n").unwrap_err();
        assert!(matches!(error, Error::Workspace { .. }));
    }

    #[test]
    fn a_lone_crate_shares_its_compiled_dependencies_and_keeps_its_package() {
        let folder = tempfile::tempdir().unwrap();
        let found = find_in(folder.path(), &format!("{PACKAGE}{CDYLIB}{DEPENDENCY}")).unwrap();
        assert_eq!((found.name.as_str(), found.version.as_str()), ("lone", "1.2.3"));
        assert!(found.package.ends_with("bulkhead/lone.bhpkg"));
        assert!(!found.target.starts_with(folder.path().canonicalize().unwrap()), "{:?}", found.target);
    }

    #[test]
    fn all_finds_crates_in_sub_folders_and_passes_over_others() {
        let folder = tempfile::tempdir().unwrap();
        assert!(matches!(find_all(folder.path()), Err(Error::NoFunctionCrate { .. })));
        for name in ["b", "a"] {
            let manifest = format!("{PACKAGE}{CDYLIB}{DEPENDENCY}").replace("lone", name);
            find_in(&folder.path().join(name), &manifest).unwrap();
        }
        find_in(&folder.path().join("c"), PACKAGE).unwrap_err();
        let names: Vec<String> = find_all(folder.path()).unwrap().into_iter().map(|found| found.name).collect();
        assert_eq!(names, ["a", "b"]);
    }
}
