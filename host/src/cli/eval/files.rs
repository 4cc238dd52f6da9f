//! The folder that an evaluation writes to.

use std::fs;
use std::path::{Path, PathBuf};

use bulkhead_eval::results::{self, Results};
use bulkhead_eval::{analysis, pictures};

use crate::cli::failure::{Exit, Failure};

/// What was measured.
pub(super) const RESULTS: &str = "performance_results.json";
/// What it means.
pub(super) const ANALYSIS: &str = "performance_analysis.md";
/// Two evaluations side by side.
pub(super) const COMPARISON: &str = "performance_comparison.md";

/// Makes the folder and checks that files can be written to it, before anything is measured.
pub(super) fn check_folder(folder: &Path) -> Result<(), Failure> {
    let cannot = |error: std::io::Error| {
        Failure::new(Exit::Usage, format!("failed to write to the folder {}", folder.display()))
            .detail(error.to_string())
            .hint("name another with --out DIR")
    };
    fs::create_dir_all(folder).map_err(cannot)?;
    tempfile::NamedTempFile::new_in(folder).map(drop).map_err(cannot)
}

/// Writes the results, the pictures and the analysis; gives the files.
pub(super) fn write(results: &Results, folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let path = folder.join(RESULTS);
    // First: everything else can be made of it again.
    results::write(results, &path)?;
    let mut written = vec![path];
    written.extend(pictures::draw(results, folder)?);
    written.push(write_text(folder, ANALYSIS, &analysis::to_markdown(results))?);
    Ok(written)
}

/// Writes a file of text; gives its path.
pub(super) fn write_text(folder: &Path, name: &str, text: &str) -> anyhow::Result<PathBuf> {
    let path = folder.join(name);
    fs::write(&path, text).map_err(|error| anyhow::anyhow!("failed to write {}: {error}", path.display()))?;
    Ok(path)
}
