//! The file on disk.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use schemars::Schema;
use serde::Deserialize;

use super::{FORMAT, Results};

/// The largest file that is read. A full evaluation makes less than a tenth.
pub const MAX_FILE_BYTES: u64 = 64 * 1024 * 1024;

/// Why results cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file is not there, or cannot be read or written.
    #[error("failed to use {path}")]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// Larger than [`MAX_FILE_BYTES`].
    #[error("{path} has {bytes} bytes; results have at most {MAX_FILE_BYTES}")]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its length.
        bytes: u64,
    },
    /// It is from another version.
    #[error("{path} has results in format {found}; this version reads format {FORMAT}")]
    Format {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u64,
    },
    /// It holds something else.
    #[error("{path} holds no results of an evaluation")]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: serde_json::Error,
    },
}

/// The one field that every format has.
#[derive(Deserialize)]
struct Format {
    format: u64,
}

/// Reads results.
///
/// # Errors
/// See [`Error`].
pub fn read(path: &Path) -> Result<Results, Error> {
    let path = path.to_owned();
    let failed = |source| Error::File { path: path.clone(), source };
    let bytes = fs::metadata(&path).map_err(failed)?.len();
    if bytes > MAX_FILE_BYTES {
        return Err(Error::TooLarge { path, bytes });
    }
    let text = fs::read(&path).map_err(failed)?;
    let content = |source| Error::Content { path: path.clone(), source };
    let Format { format: found } = serde_json::from_slice(&text).map_err(content)?;
    if found != u64::from(FORMAT) {
        return Err(Error::Format { path, found });
    }
    serde_json::from_slice(&text).map_err(content)
}

/// Writes results. What was there before stays whole until the new file is.
///
/// # Errors
/// [`Error::File`].
pub fn write(results: &Results, path: &Path) -> Result<(), Error> {
    let failed = |source| Error::File { path: path.to_owned(), source };
    let mut text = serde_json::to_vec(results).map_err(|source| failed(source.into()))?;
    text.push(b'\n');
    let beside = path.with_extension("json.new");
    let mut file = fs::File::create(&beside).map_err(failed)?;
    file.write_all(&text).and_then(|()| file.sync_all()).map_err(failed)?;
    fs::rename(&beside, path).map_err(failed)
}

/// The JSON Schema of the file.
pub fn schema() -> Schema {
    schemars::schema_for!(Results)
}
