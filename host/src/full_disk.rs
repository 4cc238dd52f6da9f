//! What a failure to write says of the disk.

use std::io::{Error, ErrorKind};

/// Whether it failed as there is no room, on the disk or in its user's quota.
pub(crate) fn is_full(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded)
}
