//! Opening a plugin and checking it before use.

#![expect(unsafe_code, reason = "dlopen runs foreign code and dlsym gives untyped addresses")]

use std::{error::Error as _, path::Path};

use abi_stable::{
    StableAbi,
    abi_stability::abi_checking::check_layout_compatibility,
    library::{AbiHeaderRef, LibHeader, LibraryError, ROOT_MODULE_LOADER_NAME_WITH_NUL, RootModuleError},
};
use libloading::os::unix::{Library, RTLD_LOCAL, RTLD_NOW};

use crate::PluginRef;

/// The most characters of [`LoadError::IncompatibleAbi::details`]: enough for dozens of differences.
const MAX_DETAILS_CHARS: usize = 4096;

/// Why a file is not a plugin that this runner can use.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// The dynamic linker refused the file.
    #[error("failed to open the library: {detail}")]
    Open {
        /// The text of `dlerror`.
        detail: String,
    },
    /// The library exports no root module: it was not built with the SDK, or never mentions it.
    #[error("failed to find the root module `{}`", crate::ROOT_MODULE_SYMBOL)]
    MissingRootModule,
    /// The library was built against another ABI.
    #[error("failed to match the plugin's ABI: {details} (rebuild it with the SDK of this version)")]
    IncompatibleAbi {
        /// Which type or version differs, for the author of the package.
        details: String,
    },
    /// The plugin's own code that makes the root module failed.
    #[error("failed to initialise the root module: {details}")]
    RootModule {
        /// What it said.
        details: String,
    },
}

/// Opens the cdylib at `path` and returns its entries, once their layout was found to be the expected one.
///
/// All symbols are bound at once (`RTLD_NOW`): a missing one is an error here rather than a crash in a child, and
/// children do not each resolve them again after the fork. The library stays loaded for the life of the process.
///
/// **ELF constructors of the file run inside this call.** Only the runner calls it, inside the finished sandbox.
///
/// # Errors
///
/// See [`LoadError`]. After an error the process may have the library mapped, and is best thrown away.
pub fn load(path: &Path) -> Result<PluginRef, LoadError> {
    // SAFETY: constructors of the library run foreign code. Whoever calls this function has taken that decision by its
    // documentation; nothing on this side relies on what they do.
    let library = unsafe { Library::open(Some(path), RTLD_NOW | RTLD_LOCAL) }.map_err(|error| {
        LoadError::Open {
            // libloading keeps the text of `dlerror` in the source.
            detail: error.source().map_or_else(|| error.to_string(), ToString::to_string),
        }
    })?;
    let header = {
        // SAFETY: the symbol's name is reserved for abi_stable, whose headers begin with the `AbiHeader` that this
        // reference points to; its magic number is checked before anything else is read.
        let symbol = unsafe { library.get::<AbiHeaderRef>(ROOT_MODULE_LOADER_NAME_WITH_NUL.as_bytes()) };
        *symbol.map_err(|_| LoadError::MissingRootModule)?
    };
    // The root module points into the library, so it must never be closed.
    std::mem::forget(library);

    let header = header.upgrade().map_err(LoadError::from_library_error)?;
    check_layout(header)?;
    // SAFETY: the layout was checked just now.
    unsafe { header.init_root_module_with_unchecked_layout::<PluginRef>() }.map_err(LoadError::from_library_error)
}

/// Checks every type of the root module, letting either side be the newer one.
///
/// abi_stable's own check takes the loader for the older side: it accepts a prefix type of the plugin that has more
/// fields, and refuses one with fewer, although accessors look at run time whether a field is there. Versions follow
/// one another, so whichever side is newer has the longer prefix types throughout, and one of both directions fits.
fn check_layout(header: &'static LibHeader) -> Result<(), LoadError> {
    let ours = <PluginRef as StableAbi>::LAYOUT;
    let Some(theirs) = header.layout() else {
        return Err(LoadError::IncompatibleAbi { details: "the plugin carries no layout of its types".to_owned() });
    };
    let Err(newer_plugin) = check_layout_compatibility(ours, theirs) else {
        return Ok(());
    };
    check_layout_compatibility(theirs, ours)
        .map_err(|_| LoadError::IncompatibleAbi { details: differences(&newer_plugin.to_string()) })
}

impl LoadError {
    fn from_library_error(error: LibraryError) -> Self {
        match error {
            LibraryError::RootModule { err: RootModuleError::Unwound, .. } => {
                Self::RootModule { details: "its constructor panicked".to_owned() }
            }
            LibraryError::RootModule { err, .. } => Self::RootModule { details: err.to_string() },
            // Its text is both headers, byte by byte, which nobody can act on.
            LibraryError::InvalidAbiHeader(_) => {
                Self::IncompatibleAbi { details: "its header is of another version of abi_stable".to_owned() }
            }
            other => Self::IncompatibleAbi { details: differences(&other.to_string()) },
        }
    }
}

/// The differences alone out of abi_stable's report, which prints the whole layout of both sides around each.
fn differences(report: &str) -> String {
    let found: Vec<&str> = report
        .split("\n\n")
        .filter_map(|paragraph| paragraph.split_once("Error:"))
        .map(|(_, difference)| difference.trim())
        .collect();
    let text = if found.is_empty() { report.trim().to_owned() } else { found.join("; ").replace('\n', " ") };
    text.chars().take(MAX_DETAILS_CHARS).collect()
}
