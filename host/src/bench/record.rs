//! A run, as it is kept in a file.

use std::fs;
use std::path::Path;

use bulkhead_eval::results::{Commit, Machine};
use serde::{Deserialize, Serialize};

use super::case::Case;
use super::line::Line;

/// The version of the file. Others are refused: figures of different meanings are not comparable.
pub(crate) const FORMAT: u32 = 1;
/// Largest file that is read.
const MAX_FILE_BYTES: u64 = 16 * 1024 * 1024;

/// A run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Record {
    /// [`FORMAT`].
    pub(crate) format: u32,
    /// The version of Bulkhead.
    pub(crate) bulkhead: String,
    /// Its source, where that is known.
    pub(crate) commit: Option<Commit>,
    /// `release` or `debug`.
    pub(crate) profile: String,
    /// Where it ran.
    pub(crate) machine: Machine,
    /// When it began, RFC 3339.
    pub(crate) began_at: String,
    /// When it ended.
    pub(crate) ended_at: String,
    /// Whether it was a short one.
    pub(crate) quick: bool,
    /// How often each floor and figure was measured.
    pub(crate) repeat: u32,
    /// What came out.
    pub(crate) lines: Vec<Line>,
    /// Cases that could not be measured here.
    pub(crate) skipped: Vec<Skipped>,
    /// What a reader has to know.
    pub(crate) notes: Vec<String>,
    /// Why it ended early, if it did.
    pub(crate) partial: Option<String>,
}

/// A case that could not be measured.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Skipped {
    /// Which.
    pub(crate) case: Case,
    /// Why.
    pub(crate) why: String,
}

/// Why a saved run cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// It cannot be read.
    #[error("failed to read {path}")]
    Read {
        /// The file.
        path: String,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// It is too large to be one.
    #[error("failed to read {path}: it has {bytes} bytes, a saved run at most {MAX_FILE_BYTES}")]
    TooLarge {
        /// The file.
        path: String,
        /// Its size.
        bytes: u64,
    },
    /// It is something else.
    #[error("failed to read {path}: it is no output of `bulkhead bench --json`")]
    NotARecord {
        /// The file.
        path: String,
        /// Where it differs.
        #[source]
        source: serde_json::Error,
    },
    /// Its figures mean something else.
    #[error("failed to read {path}: it has format {found}, this version of Bulkhead has {FORMAT}")]
    OtherFormat {
        /// The file.
        path: String,
        /// Its format.
        found: u32,
    },
}

impl Record {
    /// Reads a saved run.
    ///
    /// # Errors
    /// See [`Error`].
    pub(crate) fn read(file: &Path) -> Result<Self, Error> {
        let path = file.display().to_string();
        let text = fs::metadata(file).and_then(|metadata| match metadata.len() {
            bytes if bytes > MAX_FILE_BYTES => Ok(Err(bytes)),
            _ => fs::read_to_string(file).map(Ok),
        });
        let text = match text {
            Ok(Ok(text)) => text,
            Ok(Err(bytes)) => return Err(Error::TooLarge { path, bytes }),
            Err(source) => return Err(Error::Read { path, source }),
        };
        /// The one field that every format has.
        #[derive(Deserialize)]
        struct Head {
            format: u32,
        }
        let head: Head =
            serde_json::from_str(&text).map_err(|source| Error::NotARecord { path: path.clone(), source })?;
        if head.format != FORMAT {
            return Err(Error::OtherFormat { path, found: head.format });
        }
        serde_json::from_str(&text).map_err(|source| Error::NotARecord { path, source })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::goal::{Bound, Goal};
    use crate::bench::line::{Repeat, Subject};
    use crate::bench::unit::Unit;

    fn record() -> Record {
        let subject = Subject {
            case: Case::P2,
            what: "median time".to_owned(),
            unit: Unit::Microseconds,
            floor: Some("echo + round trip".to_owned()),
            goal: Goal::ratio(Bound::AtMost(1.0)),
        };
        let repeats = vec![Repeat::over_sum([("echo", 60.0), ("round trip", 40.0)], 150.0)];
        let memory = Subject {
            case: Case::P9,
            what: "server at rest".to_owned(),
            unit: Unit::Bytes,
            floor: None,
            goal: Goal::figure(Bound::AtMost(30e6)),
        };
        let lines = [(subject, repeats), (memory, vec![Repeat::alone(2e7)])];
        Record {
            format: FORMAT,
            bulkhead: "0.1.0".to_owned(),
            commit: Some(Commit { hash: "abc".to_owned(), changed: true }),
            profile: "release".to_owned(),
            machine: Machine {
                cpu: "some".to_owned(),
                cores: 2,
                memory_bytes: 1 << 30,
                kernel: "Linux 6.18 x86_64".to_owned(),
                load_before: 0.5,
                steal_share: 0.0,
                busy_share: 0.5,
            },
            began_at: "2026-01-01T00:00:00Z".to_owned(),
            ended_at: "2026-01-01T00:01:00Z".to_owned(),
            quick: true,
            repeat: 1,
            lines: lines.into_iter().map(|(subject, repeats)| Line::new(subject, repeats).unwrap()).collect(),
            skipped: vec![Skipped { case: Case::P7, why: "no redis-server".to_owned() }],
            notes: vec!["a note".to_owned()],
            partial: None,
        }
    }

    #[test]
    fn the_file_has_this_shape_and_is_read_again() {
        let text = serde_json::to_string_pretty(&record()).unwrap();
        assert_eq!(text, include_str!("record/shape.json").trim_end());
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), text).unwrap();
        assert_eq!(Record::read(file.path()).unwrap(), record());
    }

    #[test]
    fn what_is_no_saved_run_is_refused_by_name() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let read = |text: &str| {
            fs::write(file.path(), text).unwrap();
            Record::read(file.path()).unwrap_err().to_string()
        };
        assert!(read("{}").contains("no output of `bulkhead bench --json`"));
        assert!(read("{\"format\":1}").contains("no output of `bulkhead bench --json`"));
        assert!(read("{\"format\":2}").contains("format 2, this version of Bulkhead has 1"));
        file.as_file().set_len(MAX_FILE_BYTES + 1).unwrap();
        assert!(Record::read(file.path()).unwrap_err().to_string().contains("at most 16777216"));
        assert!(Record::read(Path::new("/nowhere")).unwrap_err().to_string().contains("/nowhere"));
    }
}
