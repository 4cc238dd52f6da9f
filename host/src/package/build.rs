//! Turns a function crate into a package: cargo compiles it, the file is checked, and what the
//! sandboxed inspection said of it is written beside it.

use std::ffi::OsString;
use std::io::BufReader;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

use bulkhead_protocol::function::PackageDescription;
use bulkhead_protocol::package::{self, Manifest};
use cargo_metadata::Message;

use super::check::LibraryFacts;
use super::crates::FunctionCrate;

/// Why a crate could not be compiled.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Cargo is not installed, or its output ended unexpectedly.
    #[error("failed to run cargo ({cargo}): is Rust installed? See https://rustup.rs")]
    NoCargo {
        /// What was started.
        cargo: String,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// Cargo failed; it has said why on stderr.
    #[error("cargo failed to compile {name} ({status}); its messages are above")]
    Cargo {
        /// The crate.
        name: String,
        /// How it ended.
        status: ExitStatus,
    },
    /// Cargo was content and yet named no library.
    #[error("cargo compiled {name} without naming a library")]
    NoLibrary {
        /// The crate.
        name: String,
    },
    /// A file could not be read or written.
    #[error("failed to use {path}")]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
}

/// Compiles a crate in release and returns its library. Cargo's own messages and progress go to
/// stderr. Blocks for as long as cargo runs.
///
/// One call of cargo per crate, as arguments for the linker alone can be given to `cargo rustc`
/// only: `RUSTFLAGS` would compile every dependency anew.
///
/// # Errors
/// See [`Error`].
pub fn compile(source: &FunctionCrate) -> Result<Vec<u8>, Error> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
    let failed = |source| Error::NoCargo { cargo: cargo.to_string_lossy().into_owned(), source };
    let mut command = Command::new(&cargo);
    command.args(["rustc", "--release", "--lib", "--message-format=json-render-diagnostics", "--manifest-path"]);
    command.arg(&source.manifest).arg("--target-dir").arg(&source.target).arg("--");
    // A debug build of the standard library's line tables alone has megabytes.
    command.args(["-C", "strip=debuginfo"]);
    if let Some(folder) = static_unwinder(&source.target)? {
        let mut search = OsString::from("link-arg=-L");
        search.push(folder);
        command.arg("-C").arg(search);
    }
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().map_err(failed)?;
    let stdout = child.stdout.take().map(BufReader::new);
    let mut library = None;
    for message in stdout.into_iter().flat_map(Message::parse_stream) {
        if let Message::CompilerArtifact(artifact) = message.map_err(failed)?
            && artifact.manifest_path.as_std_path() == source.manifest
            && artifact.target.is_cdylib()
        {
            library = artifact.filenames.into_iter().find(|file| file.extension() == Some("so"));
        }
    }
    let status = child.wait().map_err(failed)?;
    if !status.success() {
        return Err(Error::Cargo { name: source.name.clone(), status });
    }
    let library = library.ok_or_else(|| Error::NoLibrary { name: source.name.clone() })?;
    read(library.as_std_path())
}

/// A folder whose `libgcc_s.so` is a linker script for the static libgcc, or `None` where the C
/// compiler has none.
///
/// The standard library asks for `-lgcc_s` by name, so `-static-libgcc` changes nothing (measured
/// with Rust 1.95); a folder that is searched first does. A plugin without libgcc_s.so.1 has five mappings
/// fewer, at 0.5 µs each per fork.
fn static_unwinder(target: &Path) -> Result<Option<PathBuf>, Error> {
    let locate = |name: &str| {
        let output = Command::new("cc").arg(format!("-print-file-name={name}")).stderr(Stdio::null()).output().ok()?;
        let path = PathBuf::from(String::from_utf8(output.stdout).ok()?.trim());
        // A name that comes back bare was not found.
        (path.is_absolute() && path.is_file()).then_some(path)
    };
    let (Some(unwinder), Some(rest)) = (locate("libgcc_eh.a"), locate("libgcc.a")) else { return Ok(None) };
    let folder = target.join("bulkhead").join("link");
    let script = folder.join("libgcc_s.so");
    write(&script, format!("INPUT(\"{}\" \"{}\")\n", unwinder.display(), rest.display()).as_bytes())?;
    Ok(Some(folder))
}

/// Makes a package of a checked library and of what it said of itself in a sandbox.
///
/// # Errors
/// [`package::Error::TooLarge`] and [`package::Error::LibraryTooLarge`] at the bounds.
pub fn assemble(
    source: &FunctionCrate,
    library: &[u8],
    facts: &LibraryFacts,
    description: &PackageDescription,
) -> Result<Vec<u8>, package::Error> {
    let manifest = Manifest {
        name: source.name.clone(),
        version: source.version.clone(),
        arch: facts.arch.clone(),
        abi_version: description.abi_version,
        sdk_version: description.sdk_version.clone(),
        glibc: facts.glibc.clone(),
        needed: facts.needed.clone(),
        description: serde_json::to_string(description).unwrap_or_default(),
        library_sha256: [0; 32],
        library_bytes: 0,
    };
    package::pack(manifest, library)
}

/// Reads a file whole.
///
/// # Errors
/// [`Error::File`].
pub fn read(path: &Path) -> Result<Vec<u8>, Error> {
    std::fs::read(path).map_err(|source| Error::File { path: path.to_owned(), source })
}

/// Writes a file and the folders above it, replacing it in one step: a reader sees the old one or
/// the new one, whole.
///
/// # Errors
/// [`Error::File`].
pub fn write(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let failed = |source| Error::File { path: path.to_owned(), source };
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder).map_err(failed)?;
    // The default is readable by the owner alone; these bits are cut down by the umask as usual.
    let readable = std::fs::Permissions::from_mode(0o666);
    let mut file = tempfile::Builder::new().permissions(readable).tempfile_in(folder).map_err(failed)?;
    std::io::Write::write_all(&mut file, bytes).map_err(failed)?;
    file.persist(path).map_err(|error| failed(error.error))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_says_what_was_found_out_of_its_library() {
        let source = FunctionCrate {
            name: "sample".to_owned(),
            version: "1.2.3".to_owned(),
            manifest: "Cargo.toml".into(),
            target: "target".into(),
            package: "sample.bhpkg".into(),
        };
        let facts = LibraryFacts {
            arch: "x86_64".to_owned(),
            needed: vec!["libc.so.6".to_owned()],
            glibc: Some("2.34".to_owned()),
            imports: 3,
            bytes: 7,
        };
        let description =
            PackageDescription { abi_version: 1, sdk_version: "0.1.0".to_owned(), functions: vec![], error: None };
        let read = package::unpack(&assemble(&source, b"library", &facts, &description).unwrap()).unwrap();
        assert_eq!(read.library, b"library");
        assert_eq!(read.manifest.glibc.as_deref(), Some("2.34"));
        assert_eq!(serde_json::from_str::<PackageDescription>(&read.manifest.description).unwrap(), description);
    }

    #[test]
    fn writing_makes_folders_and_replaces() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/b/file");
        for text in ["first", "second"] {
            write(&path, text.as_bytes()).unwrap();
            assert_eq!(read(&path).unwrap(), text.as_bytes());
        }
        assert!(matches!(read(folder.path()), Err(Error::File { .. })));
    }
}
