//! The rules for a plugin's file, checked without running any of it. What a rule lets through may
//! still fail to load: the sandboxed inspection that follows is the last word.

use object::elf;

use super::elf::{Image, lossy};
use super::host_libraries::{self, ALLOWED, glibc_version};

/// The symbol under which abi_stable exports a root module. Repeated from `bulkhead-abi`, which the
/// host does not link: its `ROOT_MODULE_SYMBOL`.
const ROOT_MODULE_SYMBOL: &str = "_1as_0lib_1header_0root_bmodule_bloader";
/// Most names that one error lists.
const MAX_LISTED: usize = 10;
/// Most bytes of the name of an undefined symbol that are kept. There may be many of them, and all may
/// share one long name in the file.
const MAX_UNDEFINED_BYTES: usize = 256;

/// What a library says of itself without being loaded.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct LibraryFacts {
    /// The architecture as Rust names it, as `x86_64`.
    pub arch: String,
    /// Shared libraries that it names, by soname, in its order.
    pub needed: Vec<String>,
    /// The newest glibc version that it needs, as `2.34`; none when it needs none.
    pub glibc: Option<String>,
    /// How many symbols it imports.
    pub imports: usize,
    /// Its size in bytes.
    pub bytes: u64,
}

/// Why a library cannot be a plugin here.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The first bytes are not those of an ELF file.
    #[error("the library is not an ELF file: give the `.so` that `bulkhead build` makes on Linux")]
    NotElf,
    /// Made for 32-bit processes.
    #[error("the library is {found}, this host loads 64-bit libraries only: build it for {}", host_target())]
    WrongClass {
        /// What it is.
        found: String,
    },
    /// Made for the other byte order.
    #[error("the library is {found}, this host is little-endian: build it for {}", host_target())]
    WrongEndianness {
        /// What it is.
        found: String,
    },
    /// Made for another processor.
    #[error("the library is for {found}, this host is {}: build it for {}", std::env::consts::ARCH, host_target())]
    WrongArch {
        /// The processor that it is for.
        found: String,
    },
    /// An executable, an object file or a core dump.
    #[error("the library is {found}, not a shared object: add crate-type = [\"cdylib\", \"rlib\"] under [lib]")]
    NotSharedObject {
        /// What it is.
        found: &'static str,
    },
    /// The file ends before what its headers speak of.
    #[error("the library is truncated: its {what} ends at byte {end} of {bytes}")]
    Truncated {
        /// What ends too late.
        what: &'static str,
        /// Where it would end.
        end: u64,
        /// The size of the file.
        bytes: u64,
    },
    /// Its tables contradict each other.
    #[error("the library is malformed: {detail}")]
    Malformed {
        /// How.
        detail: String,
    },
    /// It exports no root module.
    #[error(
        "not a Bulkhead plugin: it exports no root module. Add `bulkhead = {{ package = \"bulkhead-sdk\", … }}` under \
         [dependencies] and #[bulkhead::function] on a function"
    )]
    NotAPlugin,
    /// It needs shared libraries that a sandbox does not have.
    #[error(
        "the library needs {}, which the sandbox does not have: link {} statically",
        list(libraries),
        it_or_them(libraries)
    )]
    ForbiddenLibraries {
        /// Their sonames.
        libraries: Vec<String>,
    },
    /// It needs an allowed library that this machine lacks.
    #[error("the library needs {library}, which this host does not have: install it, or link it statically")]
    LibraryNotHere {
        /// Its soname.
        library: String,
    },
    /// Symbols that nothing provides.
    #[error(
        "the library uses {}, which no system library defines: link what defines {} statically",
        list(symbols),
        it_or_them(symbols)
    )]
    UndefinedSymbols {
        /// Their names.
        symbols: Vec<String>,
    },
    /// Linked against a newer C library than this machine has.
    #[error(
        "the library needs glibc {needed}, this host has {found}: build it on a system with glibc {found} or older"
    )]
    GlibcTooOld {
        /// The version that it needs.
        needed: String,
        /// The version that is here.
        found: String,
    },
    /// Linked against a version of another system library that this machine does not have.
    #[error("the library needs {version} of {library}, which this host does not have: build it on an older system")]
    VersionNotHere {
        /// The library's soname.
        library: String,
        /// The version.
        version: String,
    },
    /// It says where to look for libraries.
    #[error("the library carries a run path ({path}), which is refused: drop `-rpath` from its link arguments")]
    RunPath {
        /// The path.
        path: String,
    },
    /// Its code must be written to at load.
    #[error("the library has text relocations, which make code writable: compile its parts with -fPIC")]
    TextRelocations,
    /// A part of it is mapped writable and executable at once.
    #[error(
        "the library maps memory that is writable and executable at once: drop `-N` or `--omagic` from its link arguments"
    )]
    WritableCode,
    /// It asks for an executable stack.
    #[error(
        "the library asks for an executable stack: give assembler files a .note.GNU-stack section, or link with -z noexecstack"
    )]
    ExecutableStack,
}

/// Checks that a file can be a plugin on this machine. Runs nothing of it; safe on hostile bytes.
///
/// # Errors
/// Each rule has its own variant, whose text says what to do.
pub fn check_library(library: &[u8]) -> Result<LibraryFacts, Error> {
    let image = Image::parse(library)?;
    let arch = check_kind(&image)?;
    // First what makes it a plugin: whoever gives a wrong file learns that before its details.
    if !image.is_exported(ROOT_MODULE_SYMBOL) {
        return Err(Error::NotAPlugin);
    }
    check_hardening(&image)?;
    let needed = check_needed(&image)?;
    let glibc = check_versions(&image)?;
    let imports = check_imports(&image, &needed)?;
    Ok(LibraryFacts { arch: arch.to_owned(), needed, glibc, imports, bytes: library.len() as u64 })
}

fn check_kind(image: &Image<'_>) -> Result<&'static str, Error> {
    let arch = std::env::consts::ARCH;
    let found = match image.machine() {
        elf::EM_X86_64 => "x86_64".to_owned(),
        elf::EM_AARCH64 => "aarch64".to_owned(),
        elf::EM_RISCV => "riscv64".to_owned(),
        other => format!("the processor with ELF number {other}"),
    };
    if found != arch {
        return Err(Error::WrongArch { found });
    }
    let is_executable = image.dynamic(elf::DT_FLAGS_1).is_some_and(|flags| flags & elf::DF_1_PIE.0 != 0);
    let found = match image.file_type() {
        elf::ET_DYN if is_executable => "an executable",
        elf::ET_DYN => return Ok(arch),
        elf::ET_EXEC => "an executable",
        elf::ET_REL => "an object file",
        elf::ET_CORE => "a core dump",
        _ => "of an unknown kind",
    };
    Err(Error::NotSharedObject { found })
}

fn check_hardening(image: &Image<'_>) -> Result<(), Error> {
    if let Some(path) = image.dynamic_strings(&[elf::DT_RPATH, elf::DT_RUNPATH])?.into_iter().next() {
        return Err(Error::RunPath { path });
    }
    let flags = image.dynamic(elf::DT_FLAGS).unwrap_or(0);
    if image.dynamic(elf::DT_TEXTREL).is_some() || flags & elf::DF_TEXTREL.0 != 0 {
        return Err(Error::TextRelocations);
    }
    let has = |flags: elf::ProgramFlags, flag: elf::ProgramFlags| flags.0 & flag.0 != 0;
    if image.segments().any(|(kind, flags)| kind == elf::PT_LOAD && has(flags, elf::PF_W) && has(flags, elf::PF_X)) {
        return Err(Error::WritableCode);
    }
    // Without the header the dynamic linker takes the architecture's default, which may be executable.
    let stack = image.segments().find(|(kind, _)| *kind == elf::PT_GNU_STACK);
    if stack.is_none_or(|(_, flags)| has(flags, elf::PF_X)) {
        return Err(Error::ExecutableStack);
    }
    Ok(())
}

fn check_needed(image: &Image<'_>) -> Result<Vec<String>, Error> {
    // The dynamic linker loads what any of these tags names.
    let tags = [elf::DT_NEEDED, elf::DT_AUXILIARY, elf::DT_FILTER, elf::DT_AUDIT, elf::DT_DEPAUDIT];
    let needed = image.dynamic_strings(&tags)?;
    let forbidden: Vec<String> = needed.iter().filter(|name| !ALLOWED.contains(&name.as_str())).cloned().collect();
    if !forbidden.is_empty() {
        return Err(Error::ForbiddenLibraries { libraries: forbidden });
    }
    match needed.iter().find(|name| host_libraries::offer(name).is_none()) {
        Some(library) => Err(Error::LibraryNotHere { library: library.clone() }),
        None => Ok(needed),
    }
}

/// Checks that this machine has every version that is needed; returns the newest of glibc.
fn check_versions(image: &Image<'_>) -> Result<Option<String>, Error> {
    let needed = image.needed_versions()?;
    let glibc = needed.iter().filter_map(|needed| glibc_version(&lossy(needed.version))).max();
    let as_text = |(major, minor): (u32, u32)| format!("{major}.{minor}");
    let found = host_libraries::glibc();
    if glibc > found {
        let [needed, found] = [glibc, found].map(|version| version.map_or("none".to_owned(), as_text));
        return Err(Error::GlibcTooOld { needed, found });
    }
    for version in needed {
        let [library, version] = [version.library, version.version].map(lossy);
        if !ALLOWED.contains(&library.as_str()) {
            return Err(Error::ForbiddenLibraries { libraries: vec![library] });
        }
        let Some(offer) = host_libraries::offer(&library) else { return Err(Error::LibraryNotHere { library }) };
        if !offer.versions.contains(&version) {
            return Err(Error::VersionNotHere { library, version });
        }
    }
    Ok(glibc.map(as_text))
}

/// Checks that something defines each import; returns how many there are.
fn check_imports(image: &Image<'_>, needed: &[String]) -> Result<usize, Error> {
    let versions: std::collections::HashSet<u16> = image.needed_versions()?.iter().map(|needed| needed.index).collect();
    let imports = image.imports()?;
    // A symbol with a version was found in that library when the plugin was linked, and the version
    // was checked above. One without is looked for by name: in what the plugin names, and in the
    // C library, which every process has.
    let libraries = needed.iter().map(String::as_str).chain(["libc.so.6"]);
    let offers: Vec<_> = libraries.filter_map(host_libraries::offer).collect();
    let is_defined = |name: &[u8]| offers.iter().any(|offer| offer.symbols.contains(name));
    let undefined: Vec<String> = imports
        .iter()
        .filter(|import| !versions.contains(&import.version) && !is_defined(import.name))
        .map(|import| lossy(&import.name[..import.name.len().min(MAX_UNDEFINED_BYTES)]))
        .collect();
    if undefined.is_empty() { Ok(imports.len()) } else { Err(Error::UndefinedSymbols { symbols: undefined }) }
}

fn host_target() -> String {
    format!("{}-unknown-linux-gnu", std::env::consts::ARCH)
}

fn list(names: &[String]) -> String {
    let listed = names.iter().take(MAX_LISTED).map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(MAX_LISTED) {
        0 => listed,
        more => format!("{listed} and {more} more"),
    }
}

fn it_or_them(names: &[String]) -> &'static str {
    if names.len() == 1 { "it" } else { "them" }
}

#[cfg(test)]
mod tests;
